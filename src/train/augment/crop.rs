//! Shifts.
use crate::{
    kernels::images::Source,
    registry::{Argument, Entry},
    train::augment::{made, pixels::move_images, BatchTransform, MixedBatch, TransformBatch},
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
/// The border is 0 after scaling: of standardized inputs it is the mean.
///
/// Use it for almost all images, with a padding of an eighth of their side, as in the source.
///
/// # Errors
/// The first step fails if no input is `(B, C, H, W)`, or if the padding is not below height and width.
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

    fn apply(&self, batch: MixedBatch, seed: Seed) -> Result<MixedBatch> {
        move_images(batch, "RandomCrop", |images, [height, width]| {
            if self.padding >= height.min(width) {
                let must = format!("below height and width of the images, which are {height} × {width}");
                return Err(Error::invalid("RandomCrop::padding", must, self.padding));
            }
            let (mut rng, most) = (seed.rng(), self.padding as i64);
            let shift = |_| [0, 1].map(|_: usize| rng.random_range(-most..=most));
            let shifts = (0..images).map(shift);
            Ok(shifts.map(|from| (from != [0, 0]).then_some(Source { from, ..Source::SAME })).collect())
        })
    }
}

impl fmt::Display for RandomCrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crop:{}", self.padding)
    }
}
