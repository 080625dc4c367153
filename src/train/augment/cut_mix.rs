//! Rectangles of other images.
use crate::{
    check::positive,
    kernels::images::with_rectangles,
    registry::{Argument, Entry},
    train::augment::{
        made, own_share, partners, pixels::only_images, pixels::rectangle, probability, probability_text,
        BatchTransform, MixedBatch, TransformBatch, PROBABILITY,
    },
    Result, Seed,
};
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
/// Use it for classes of images, with `α` 1, where a network that is trained for long overfits; the source takes a
/// probability of 0.5 for small images. Do not use it where a small part of the image makes its class.
///
/// # Errors
/// [`BatchTransform::check`] names a parameter that is out of range. The first step fails unless there is one input
/// `(B, C, H, W)`.
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

    const MIXES: bool = true;

    fn check(&self) -> Result<()> {
        positive("CutMix::alpha", self.alpha)?;
        probability("CutMix::probability", self.probability)
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
    let images = with_rectangles(&images, &partners.iter().map(of).collect::<Vec<_>>())?;
    let mut batch = batch.mix_targets(1. - cut as f64 / all.max(1) as f64, partners)?;
    batch.batch.inputs = images.into();
    Ok(batch)
}

impl fmt::Display for CutMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cutmix:{}{}", self.alpha, probability_text(self.probability))
    }
}
