//! Squares of 0.
use crate::{
    kernels::images::with_rectangles,
    registry::{Argument, Entry},
    train::augment::{
        made,
        pixels::{change_images, has_images, rectangle},
        probability, probability_text, BatchTransform, MixedBatch, TransformBatch, PROBABILITY,
    },
    Error, Result, Seed,
};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Cutout: a square of each image is set to 0. See [`BatchTransform`].
///
/// ```text
/// x[c, i, j] ← 0   for i, j in a square of side `size`, whose centre is uniform over the image
/// ```
///
/// The part of the square outside of the image is cut off, as in the source. It is 0 after scaling: of standardized inputs
/// it is the mean. Targets stay as they are, also those of pixels: a network learns to find the classes of the square by what
/// is around it.
///
/// Use it for classes of images with a side of a quarter to half of theirs, on top of flips and shifts. Do not use it where
/// a small part of the image makes its class, or for classes of pixels with squares that hide whole objects.
///
/// # Errors
/// [`BatchTransform::check`] names a parameter that is out of range. The first step fails if no input is `(B, C, H, W)`.
///
/// # Source
/// DeVries and Taylor 2017, arXiv:1708.04552.
///
/// ```
/// use candle_ensemble::train::{BatchTransform, Cutout};
///
/// assert_eq!(BatchTransform::registry().parse("cutout:8")?, Cutout::new(8).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cutout {
    /// The side of the square in pixels, at least 1.
    pub size: usize,
    /// The probability with which an image has a square, from 0 to 1. Default 1.
    pub probability: f64,
}

impl Cutout {
    /// Squares of this side in all images.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { size, probability: 1. }
    }

    /// Sets the probability with which an image has a square.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }
}

impl TransformBatch for Cutout {
    const ENTRY: Entry<BatchTransform> =
        Entry::new("cutout", "BatchTransform::Cutout", "A square of 0 in each image", |arguments| {
            let cutout = Cutout::new(arguments.get("size")?);
            made(cutout.probability(arguments.get("probability")?))
        })
        .with_arguments(&[Argument::new("size", "8", "The side of the square in pixels"), PROBABILITY])
        .with_source("DeVries and Taylor 2017, arXiv:1708.04552");

    fn check(&self) -> Result<()> {
        if self.size == 0 {
            return Err(Error::invalid("Cutout::size", "at least 1 pixel", 0));
        }
        probability("Cutout::probability", self.probability)
    }

    fn check_batch(&self, batch: &MixedBatch) -> Result<()> {
        has_images(batch, "Cutout")
    }

    fn apply(&self, batch: MixedBatch, seed: Seed) -> Result<MixedBatch> {
        change_images(batch, |images, size| {
            let mut rng = seed.rng();
            let square = |_| {
                let acts = rng.random::<f64>() < self.probability;
                let centre = size.map(|side| rng.random_range(0..side.max(1)));
                let sides = if acts { [self.size; 2] } else { [0; 2] };
                (rectangle(centre, sides, size), None)
            };
            with_rectangles(images, &(0..images.dim(0)?).map(square).collect::<Vec<_>>())
        })
    }
}

impl fmt::Display for Cutout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cutout:{}{}", self.size, probability_text(self.probability))
    }
}
