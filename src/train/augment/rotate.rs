//! Turns by multiples of 90°.
use crate::{
    kernels::images::Source,
    registry::Entry,
    train::augment::{
        made,
        pixels::{check_images, move_images, sizes},
        probability, BatchTransform, MixedBatch, TransformBatch, PROBABILITY,
    },
    Error, Result, Seed,
};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Turns each image, with a probability, by 0°, 90°, 180° or 270°, each alike. See [`BatchTransform`].
///
/// ```text
/// 90°:  x[c, i, j] ← x[c, j, W − 1 − i]      anticlockwise
/// ```
///
/// Use it for pictures without an up and down, such as those of microscopes and satellites. Images must be as high as wide.
/// The classes of pixels are turned with the image.
///
/// # Errors
/// [`BatchTransform::check`] names a probability that is out of range. The first step fails if no input is `(B, C, H, W)`,
/// or if one has other than square images.
///
/// ```
/// use candle_ensemble::train::{BatchTransform, RandomRotate90};
///
/// assert_eq!(BatchTransform::registry().parse("rotate90")?, RandomRotate90::new().into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RandomRotate90 {
    /// The probability with which an image is turned by one of the four angles, from 0 to 1. Default 1.
    pub probability: f64,
}

impl RandomRotate90 {
    /// Turns of all images.
    #[must_use]
    pub fn new() -> Self {
        Self { probability: 1. }
    }

    /// Sets the probability with which an image is turned.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        Self { probability }
    }
}

impl Default for RandomRotate90 {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the pixels of an image of this side come from after some quarter turns; `None` after none.
pub(super) fn quarter_turns(turns: u32, side: usize) -> Option<Source> {
    let last = side as i64 - 1;
    match turns % 4 {
        1 => Some(Source { from: [0, last], by_row: [0, -1], by_column: [1, 0] }),
        2 => Some(Source { from: [last, last], by_row: [-1, 0], by_column: [0, -1] }),
        3 => Some(Source { from: [last, 0], by_row: [0, 1], by_column: [-1, 0] }),
        _ => None,
    }
}

impl TransformBatch for RandomRotate90 {
    const ENTRY: Entry<BatchTransform> = Entry::new(
        "rotate90",
        "BatchTransform::RandomRotate90",
        "Turns by a multiple of a right angle",
        |arguments| made(RandomRotate90::new().probability(arguments.get("probability")?)),
    )
    .with_arguments(&[PROBABILITY]);

    fn check(&self) -> Result<()> {
        probability("RandomRotate90::probability", self.probability)
    }

    fn check_batch(&self, batch: &MixedBatch) -> Result<()> {
        check_images(batch, "RandomRotate90")?;
        match sizes(batch).find(|[height, width]| height != width) {
            None => Ok(()),
            Some([height, width]) => {
                let what = "the images of a training with RandomRotate90";
                Err(Error::invalid(what, "as high as wide", format!("{height} × {width}")))
            }
        }
    }

    fn apply(&self, batch: MixedBatch, seed: Seed) -> Result<MixedBatch> {
        move_images(batch, |images, [height, _]| {
            let mut rng = seed.rng();
            let turned = |_| {
                // Both draws for every image, so that the probability does not change the angles.
                let (acts, turns) = (rng.random::<f64>() < self.probability, rng.random_range(0..4));
                quarter_turns(turns, height).filter(|_| acts)
            };
            (0..images).map(turned).collect()
        })
    }
}

impl fmt::Display for RandomRotate90 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rotate90:{}", self.probability)
    }
}
