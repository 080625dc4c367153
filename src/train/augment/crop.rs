//! Shifts.
use crate::{
    data::Positions,
    kernels::images::Source,
    registry::{Argument, Entry},
    train::augment::{
        made,
        pixels::{check_images, move_images, sizes},
        BatchTransform, MixedBatch, TransformBatch,
    },
    Error, Result, Seed,
};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Shifts each image by up to some pixels: a random part, of the size of the image, of the image with a border of zeros. See
/// [`BatchTransform`].
///
/// ```text
/// x[c, i, j] ← x[c, i + a, j + b], or 0 outside of the image        a, b uniform over −padding … padding
/// ```
///
/// The border is 0 after scaling: of standardized inputs it is the mean. The classes of pixels are shifted with the image,
/// and those of the border are the ignored id of the data set
/// ([`TensorDataset::dense`](crate::data::TensorDataset::dense)).
///
/// Use it for almost all images, with a padding of an eighth of their side, as in the source.
///
/// # Errors
/// The first step fails if no input is `(B, C, H, W)`, or if the padding is not below height and width. A session with
/// classes of pixels and no ignored id fails before it trains.
///
/// # Source
/// He et al. 2016, arXiv:1512.03385, section 4.2.
///
/// ```
/// use candle_ensemble::train::{BatchTransform, RandomCrop};
///
/// assert_eq!(BatchTransform::registry().parse("crop:4")?, RandomCrop::new(4).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RandomCrop {
    /// The width of the border in pixels: the largest shift.
    pub padding: usize,
}

impl RandomCrop {
    /// Shifts by up to this many pixels.
    #[must_use]
    pub fn new(padding: usize) -> Self {
        Self { padding }
    }
}

impl TransformBatch for RandomCrop {
    const ENTRY: Entry<BatchTransform> =
        Entry::new("crop", "BatchTransform::RandomCrop", "Shifts by a few pixels", |arguments| {
            made(RandomCrop::new(arguments.get("padding")?))
        })
        .with_arguments(&[Argument::new("padding", "4", "The largest shift in pixels")])
        .with_source("He et al. 2016, arXiv:1512.03385");

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn check_batch(&self, batch: &MixedBatch) -> Result<()> {
        check_images(batch, "RandomCrop")?;
        if let Some([height, width]) = sizes(batch).find(|size| size.iter().any(|side| self.padding >= *side))
        {
            let must = format!("below height and width of the images, which are {height} × {width}");
            return Err(Error::invalid("RandomCrop::padding", must, self.padding));
        }
        match (batch.positions, self.padding) {
            (_, 0)
            | (Positions::One | Positions::Labels { .. } | Positions::Many { ignore_index: Some(_) }, _) => {
                Ok(())
            }
            (Positions::Many { ignore_index: None }, _) => {
                let must = "of an ignored id for the pixels from outside of the image, such as 255 or -100 (it is an \
                            argument of TensorDataset::dense, and no target needs to have it), or without shifts";
                Err(Error::invalid("the data of a training with RandomCrop", must, "without an ignored id"))
            }
        }
    }

    fn apply(&self, batch: MixedBatch, seed: Seed) -> Result<MixedBatch> {
        move_images(batch, |images, _| {
            let (mut rng, most) = (seed.rng(), self.padding as i64);
            let shift = |_| [0, 1].map(|_: usize| rng.random_range(-most..=most));
            let shifts = (0..images).map(shift);
            shifts.map(|from| (from != [0, 0]).then_some(Source { from, ..Source::SAME })).collect()
        })
    }
}

impl fmt::Display for RandomCrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crop:{}", self.padding)
    }
}
