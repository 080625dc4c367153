//! Rectangles of other images.
use crate::{
    check::positive,
    data::Positions,
    kernels::images::{with_rectangles, Rectangle},
    registry::{Argument, Entry},
    train::augment::{
        made, own_share, partners,
        pixels::{only_images, rectangle},
        probability, probability_text, BatchTransform, MixedBatch, TransformBatch, PROBABILITY,
    },
    Result, Seed,
};
use candle_core::Tensor;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// CutMix: a rectangle of each image of a batch is replaced by that of another image. See [`BatchTransform`].
///
/// ```text
/// rectangle: sides H √(1 − λ) and W √(1 − λ), centre uniform over the image, clipped;    λ ~ Beta(α, α), one for each batch
/// loss = λ' l(y) + (1 − λ') l(y')       λ' = the share of the pixels that stay
/// ```
///
/// The rectangle is the same for all images of the batch, and the partner of each image is that of a random permutation, as
/// in the source. Each target counts with the weight of the row that it is from.
///
/// Where targets are classes of pixels, the classes in the rectangle are replaced with the pixels, so each pixel has one
/// class, with the weight of the row that it is from (French et al. 2020, arXiv:1906.01916, use it so for segmentation).
///
/// Use it for classes of images, with `α` 1, where a network that is trained for long overfits; the source takes a
/// probability of 0.5 for small images. Do not use it where a small part of the image makes its class.
///
/// # Errors
/// [`BatchTransform::check`] names a parameter that is out of range. The first step fails unless there is one input
/// `(B, C, H, W)`. A session with classes of other positions than pixels fails before it trains.
///
/// # Source
/// Yun et al. 2019, arXiv:1905.04899.
///
/// ```
/// use candle_ensemble::train::{BatchTransform, CutMix};
///
/// let half = CutMix::new(1.).probability(0.5);
/// assert_eq!(BatchTransform::registry().parse("cutmix:1:0.5")?, half.into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CutMix {
    /// The parameter `α` of the distribution of `λ`, above 0.
    pub alpha: f64,
    /// The probability with which a batch is mixed, from 0 to 1. Default 1.
    pub probability: f64,
}

impl CutMix {
    /// Rectangles in every batch with this `α`.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha, probability: 1. }
    }

    /// Sets the probability with which a batch is mixed.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }
}

impl TransformBatch for CutMix {
    const ENTRY: Entry<BatchTransform> =
        Entry::new("cutmix", "BatchTransform::CutMix", "Rectangles of other images", |arguments| {
            let cut_mix = CutMix::new(arguments.get("alpha")?);
            made(cut_mix.probability(arguments.get("probability")?))
        })
        .with_arguments(&[
            Argument::new("alpha", "1", "The parameter of the Beta distribution of the shares"),
            PROBABILITY,
        ])
        .with_source("Yun et al. 2019, arXiv:1905.04899");

    /// The pixels of an image have one class each.
    fn mixes(positions: Positions) -> bool {
        !matches!(positions, Positions::Many { .. })
    }

    fn check(&self) -> Result<()> {
        positive("CutMix::alpha", self.alpha)?;
        probability("CutMix::probability", self.probability)
    }

    fn check_batch(&self, batch: &MixedBatch) -> Result<()> {
        only_images(batch, "CutMix").map(drop)
    }

    fn apply(&self, batch: MixedBatch, seed: Seed) -> Result<MixedBatch> {
        let (_, size) = only_images(&batch, "CutMix")?;
        let mut rng = seed.rng();
        if rng.random::<f64>() >= self.probability {
            return Ok(batch);
        }
        let side = (1. - own_share(self.alpha, &mut rng)?).sqrt();
        let partners = partners(batch.batch.inputs.rows(), &mut rng);
        let centre = size.map(|side| rng.random_range(0..side.max(1)));
        mix(batch, centre, size.map(|whole| (whole as f64 * side) as usize), &partners)
    }
}

/// Replaces the rectangle with this centre and these sides, rows first, by that of each image's partner.
pub(super) fn mix(
    batch: MixedBatch,
    centre: [usize; 2],
    sides: [usize; 2],
    partners: &[u32],
) -> Result<MixedBatch> {
    let (images, size) = only_images(&batch, "CutMix")?;
    let rectangle = rectangle(centre, sides, size);
    let [cut, all] = [rectangle.clone().map(|of| of.len()), size].map(|[height, width]| height * width);
    let of = |partner: &u32| (rectangle.clone(), Some(*partner));
    let rectangles: Vec<_> = partners.iter().map(of).collect();
    let images = with_rectangles(&images, &rectangles)?;
    let mut batch = match batch.positions {
        Positions::Many { .. } => cut_targets(batch, &rectangles)?,
        _ => batch.mix_targets(1. - cut as f64 / all.max(1) as f64, partners)?,
    };
    batch.batch.inputs = images.into();
    Ok(batch)
}

/// Replaces the rectangles of the classes of pixels, and of their weights, by those of other images. No class of the batch is
/// lost: each image is the partner of one other.
fn cut_targets(mut batch: MixedBatch, rectangles: &[(Rectangle, Option<u32>)]) -> Result<MixedBatch> {
    let cut =
        |of: &Tensor| -> Result<Tensor> { Ok(with_rectangles(&of.unsqueeze(1)?, rectangles)?.squeeze(1)?) };
    let replace = |targets: &mut Tensor, weights: &mut Option<Tensor>| -> Result<()> {
        if let Some(weights) = weights {
            // The weights of rows, unless they are those of pixels already.
            let of_pixels = match *weights.dims() {
                [rows] => weights.reshape((rows, 1, 1))?.broadcast_as(targets.shape())?,
                _ => weights.clone(),
            };
            *weights = cut(&of_pixels)?;
        }
        *targets = cut(targets)?;
        Ok(())
    };
    replace(&mut batch.batch.targets, &mut batch.batch.weights)?;
    batch.others.iter_mut().try_for_each(|other| replace(&mut other.targets, &mut other.weights))?;
    Ok(batch)
}

impl fmt::Display for CutMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cutmix:{}{}", self.alpha, probability_text(self.probability))
    }
}
