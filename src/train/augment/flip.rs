//! Mirror images.
use crate::{
    kernels::images::Source,
    registry::{Argument, Entry},
    train::augment::{
        made,
        pixels::{check_images, move_images},
        probability, BatchTransform, MixedBatch, TransformBatch,
    },
    Result, Seed,
};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The axis along which pixels are mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlipAxis {
    /// Left and right are exchanged.
    #[default]
    Horizontal,
    /// Top and bottom are exchanged.
    Vertical,
}

/// Mirrors each image with a probability. See [`BatchTransform`].
///
/// ```text
/// horizontal:  x[c, i, j] ← x[c, i, W − 1 − j]
/// vertical:    x[c, i, j] ← x[c, H − 1 − i, j]
/// ```
///
/// Use horizontal flips for photographs, whose class is that of their mirror image; vertical ones for pictures without an up
/// and down, such as those of microscopes and satellites. Do not use them for letters and digits. The classes of pixels are
/// mirrored with the image.
///
/// # Errors
/// [`BatchTransform::check`] names a probability that is out of range. The first step fails if no input is `(B, C, H, W)`.
///
/// ```
/// use candle_ensemble::train::{BatchTransform, FlipAxis, RandomFlip};
///
/// let vertical = RandomFlip::new(FlipAxis::Vertical);
/// assert_eq!(BatchTransform::registry().parse("flip:vertical")?, vertical.into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RandomFlip {
    /// The axis.
    pub axis: FlipAxis,
    /// The probability with which an image is mirrored, from 0 to 1. Default 0.5.
    pub probability: f64,
}

impl RandomFlip {
    /// Flips along this axis of half of the images.
    #[must_use]
    pub fn new(axis: FlipAxis) -> Self {
        Self { axis, probability: 0.5 }
    }

    /// Sets the probability with which an image is mirrored.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }
}

const AXES: &[(&str, FlipAxis)] = &[("horizontal", FlipAxis::Horizontal), ("vertical", FlipAxis::Vertical)];

impl TransformBatch for RandomFlip {
    const ENTRY: Entry<BatchTransform> =
        Entry::new("flip", "BatchTransform::RandomFlip", "Mirror images", |arguments| {
            let flip = RandomFlip::new(arguments.choice("axis", AXES)?.unwrap_or_default());
            made(flip.probability(arguments.get("probability")?))
        })
        .with_arguments(&[
            Argument::new("axis", "horizontal", "Whether it is horizontal or vertical"),
            Argument::new("probability", "0.5", "The probability for each image"),
        ]);

    fn check(&self) -> Result<()> {
        probability("RandomFlip::probability", self.probability)
    }

    fn check_batch(&self, batch: &MixedBatch) -> Result<()> {
        check_images(batch, "RandomFlip")
    }

    fn apply(&self, batch: MixedBatch, seed: Seed) -> Result<MixedBatch> {
        move_images(batch, |images, [height, width]| {
            let flip = match self.axis {
                FlipAxis::Horizontal => {
                    Source { from: [0, width as i64 - 1], by_column: [0, -1], ..Source::SAME }
                }
                FlipAxis::Vertical => {
                    Source { from: [height as i64 - 1, 0], by_row: [-1, 0], ..Source::SAME }
                }
            };
            let mut rng = seed.rng();
            (0..images).map(|_| (rng.random::<f64>() < self.probability).then_some(flip)).collect()
        })
    }
}

impl fmt::Display for RandomFlip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axis = AXES.iter().find(|(_, axis)| *axis == self.axis).map_or("horizontal", |(name, _)| name);
        write!(f, "flip:{axis}:{}", self.probability)
    }
}
