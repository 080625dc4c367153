//! Batch transforms: what changes the batches of a training, and of nothing else.
//!
//! Each transform has a file with its parameters and its formula. To add one, write a file with a type that implements
//! [`TransformBatch`] and add one line to the list below.
mod crop;
mod cut_mix;
mod cutout;
mod flip;
mod list;
mod mixed;
mod mixup;
mod own;
mod pixels;
mod rotate;

pub use crop::RandomCrop;
pub use cut_mix::CutMix;
pub use cutout::Cutout;
pub use flip::{FlipAxis, RandomFlip};
pub use list::BatchTransforms;
pub use mixed::{MixedBatch, TargetShare};
pub use mixup::Mixup;
pub(crate) use own::OwnTransforms;
pub use rotate::RandomRotate90;

use crate::{
    check::require,
    data::Positions,
    registry::{Argument, Entry, Registry},
    Error, Result, Seed,
};
use rand::{seq::SliceRandom, Rng};
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// A transform of the batches of a training.
pub(crate) trait TransformBatch: fmt::Display {
    /// Its entry in the registry.
    const ENTRY: Entry<BatchTransform>;
    /// Whether rows, or their positions, have several targets after it.
    fn mixes(_: Positions) -> bool {
        false
    }

    /// Checks the parameters.
    fn check(&self) -> Result<()>;

    /// Checks whether it is for batches with inputs and targets of this kind and these shapes.
    fn check_batch(&self, batch: &MixedBatch) -> Result<()>;

    /// The batch after the transform. All draws are from the seed.
    fn apply(&self, batch: MixedBatch, seed: Seed) -> Result<MixedBatch>;
}

macro_rules! transforms {
    ($($(#[$doc:meta])* $kind:ident,)+) => {
        /// A transform of the batches of a training, as data: augmentation of images, and mixtures of rows.
        ///
        /// | Transform | In text | What it does in each step |
        /// |---|---|---|
        /// | [`Mixup`] | `mixup:0.2` | mixes each row with another row of the batch |
        /// | [`CutMix`] | `cutmix:1` | replaces a rectangle of each image by that of another image of the batch |
        /// | [`RandomFlip`] | `flip:horizontal:0.5` | mirrors some of the images |
        /// | [`RandomCrop`] | `crop:4` | shifts each image by a few pixels |
        /// | [`RandomRotate90`] | `rotate90:1` | turns each image by a multiple of 90° |
        /// | [`Cutout`] | `cutout:8` | sets a square of each image to 0 |
        ///
        /// Transforms act on the batches that a network is trained on, after [scaling](crate::train::Trainer::input_scaling)
        /// and before [`Noise`](crate::train::Noise), which adds normal noise to inputs
        /// ([`InputNoise`](crate::train::InputNoise)). Validation and prediction have none. Draws depend on the seed of the
        /// run, the epoch, the batch and the place in the list, and on nothing else, so a resumed training continues to
        /// the bit.
        ///
        /// The recorded training loss is that of the transformed batches, and the training metric counts against the target
        /// with the largest share, so both look worse than they are: compare figures of validation rows.
        ///
        /// Transforms of images act on every input `(B, C, H, W)`, of any type, and leave other inputs alone; several inputs
        /// of images are changed alike. Targets of whole images must not depend on the place in the image.
        ///
        /// Of rows with a class at each position, [`Positions::Many`](crate::data::Positions), the targets must be
        /// `(B, H, W)`, a class for each pixel. Flips, turns and shifts move the classes with the pixels, [`CutMix`] replaces
        /// them with the pixels, and [`Cutout`] leaves them as they are. Shifts need an ignored id, which becomes that of
        /// pixels from outside of the image. A batch that would have no class left stays as it was. [`Mixup`] gives each
        /// position both classes with their shares. Transforms of images are refused for texts, `(B, T)`, before training.
        ///
        /// Use augmentation where a class stays the same under the change: flips for photographs and not for digits, shifts
        /// for almost all images. Use mixtures against overfitting of long trainings; they need more epochs.
        ///
        /// Cost: one copy of the inputs for each transform, on the CPU; [`Mixup`] computes the loss twice, and so does
        /// [`CutMix`] for targets of whole images.
        ///
        /// # Errors
        /// [`check`](Self::check) names a parameter that is out of range. The first step fails if the inputs are none that
        /// the transform is for; where rows have positions, the session fails before it trains.
        ///
        /// ```
        /// use candle_ensemble::train::{BatchTransform, BatchTransforms, Mixup, RandomCrop};
        ///
        /// let transforms = BatchTransforms::parse("flip:horizontal,crop:4,mixup:0.2")?;
        /// assert_eq!(transforms[1], RandomCrop::new(4).into());
        /// assert_eq!(transforms.to_string(), "flip:horizontal:0.5,crop:4,mixup:0.2");
        /// assert!(BatchTransform::from(Mixup::new(-1.)).check().is_err());
        /// # Ok::<(), candle_ensemble::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum BatchTransform {
            $(
                $(#[$doc])*
                $kind($kind),
            )+
        }

        $(
            impl From<$kind> for BatchTransform {
                fn from(transform: $kind) -> Self {
                    Self::$kind(transform)
                }
            }
        )+

        impl BatchTransform {
            /// Whether rows, or their positions, have several targets after it.
            pub(crate) fn mixes(&self, positions: Positions) -> bool {
                match self {
                    $(Self::$kind(_) => $kind::mixes(positions),)+
                }
            }
        }

        /// Evaluates an expression with the parameters of the transform, whichever it is.
        macro_rules! each {
            ($of:expr, $transform:ident => $expression:expr) => {
                match $of {
                    $(BatchTransform::$kind($transform) => $expression,)+
                }
            };
        }
        use each;

        const ENTRIES: &[Entry<BatchTransform>] = &[$($kind::ENTRY,)+];
    };
}

transforms! {
    /// Mixtures of rows. See [`Mixup`].
    Mixup,
    /// Rectangles of other images. See [`CutMix`].
    CutMix,
    /// Mirror images. See [`RandomFlip`].
    RandomFlip,
    /// Shifts. See [`RandomCrop`].
    RandomCrop,
    /// Turns by multiples of 90°. See [`RandomRotate90`].
    RandomRotate90,
    /// Squares of 0. See [`Cutout`].
    Cutout,
}

impl BatchTransform {
    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        each!(self, transform => TransformBatch::check(transform))
    }

    /// The transforms by name. The trainer reads a list of such texts from a run's setting `"augment"`.
    ///
    /// ```
    /// use candle_ensemble::train::{BatchTransform, CutMix};
    ///
    /// let parse = |text| BatchTransform::registry().parse(text);
    /// assert_eq!(parse("cutmix:1:probability=0.5")?, CutMix::new(1.).probability(0.5).into());
    /// assert!(parse("cutmix:0").is_err());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<BatchTransform>> =
            LazyLock::new(|| Registry::new("batch transform", ENTRIES.to_vec()));
        &REGISTRY
    }
}

/// As in text: `mixup:0.2`.
impl fmt::Display for BatchTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(self, transform => write!(f, "{transform}"))
    }
}

/// The transform, if its parameters are in range.
fn made(transform: impl Into<BatchTransform>) -> Result<BatchTransform> {
    let transform = transform.into();
    transform.check()?;
    Ok(transform)
}

/// The argument of the probability with which something is changed.
const PROBABILITY: Argument = Argument::new("probability", "1", "The probability with which it acts");

/// Checks that a value is from 0 to 1.
fn probability(what: &str, value: f64) -> Result<()> {
    require((0.0..=1.0).contains(&value), what, "from 0 to 1", value)
}

/// A probability in text, if it is not 1.
fn probability_text(probability: f64) -> String {
    if probability == 1. {
        String::new()
    } else {
        format!(":{probability}")
    }
}

/// A share of each row's own, from `Beta(α, α)`.
fn own_share(alpha: f64, rng: &mut impl Rng) -> Result<f64> {
    let beta = Beta::new(alpha, alpha);
    let beta = beta.map_err(|_| Error::invalid("α of a Beta distribution", "positive and finite", alpha))?;
    Ok(beta.sample(rng))
}

/// The numbers of the rows in random order, by which each has a partner.
fn partners(rows: usize, rng: &mut impl Rng) -> Vec<u32> {
    let mut partners: Vec<u32> = (0..rows as u32).collect();
    partners.shuffle(rng);
    partners
}

#[cfg(test)]
mod tests;
