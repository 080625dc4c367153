//! Noise in training: on inputs, targets, weights or gradients.
//!
//! Each kind has a file with its parameters and its formula. To add one, write a file with a type that
//! implements [`NoiseSource`] and add one line to the list below.
mod gradients;
mod inputs;
mod list;
mod normal;
mod step;
mod targets;
mod weights;

pub use gradients::GradientNoise;
pub use inputs::InputNoise;
pub use list::Noises;
pub use step::NoiseStep;
pub use targets::TargetNoise;
pub use weights::{NoisyWeights, WeightNoise};

use crate::{
    data::{Inputs, Task},
    registry::{Entry, Registry},
    Result,
};
use candle_core::{backprop::GradStore, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// A kind of noise. It implements those of the functions that concern it.
pub(crate) trait NoiseSource: fmt::Display {
    /// Its entry in the registry.
    const ENTRY: Entry<Noise>;

    /// Checks the parameters.
    fn check(&self) -> Result<()>;

    /// Checks that the noise goes with a task.
    fn check_task(&self, _task: Task) -> Result<()> {
        Ok(())
    }

    /// Checks that the patterns of names, if there are any, match variables.
    fn check_variables(&self, _vars: &[(String, Var)]) -> Result<()> {
        Ok(())
    }

    /// The inputs with noise.
    fn inputs(&self, inputs: Inputs, _at: NoiseStep) -> Result<Inputs> {
        Ok(inputs)
    }

    /// The targets with noise.
    fn targets(&self, targets: Tensor, _task: Task, _at: NoiseStep) -> Result<Tensor> {
        Ok(targets)
    }

    /// Adds noise to the variables, and what they were before to `kept`.
    fn weights(&self, _vars: &[(String, Var)], _at: NoiseStep, _kept: &mut Vec<(Var, Tensor)>) -> Result<()> {
        Ok(())
    }

    /// Adds noise to the gradients.
    fn gradients(&self, _gradients: &mut GradStore, _vars: &[(String, Var)], _at: NoiseStep) -> Result<()> {
        Ok(())
    }
}

macro_rules! noises {
    ($($(#[$doc:meta])* $variant:ident($kind:ident),)+) => {
        /// Noise that acts in training only, as data.
        ///
        /// | Noise | In text | What it does in each step |
        /// |---|---|---|
        /// | [`InputNoise`] | `input:0.1` | adds normal noise to the inputs |
        /// | [`TargetNoise`] | `target:0.05` | adds normal noise to values, or replaces some classes by others |
        /// | [`WeightNoise`] | `weight:0.01` | adds normal noise to the weights of the forward and backward pass |
        /// | [`GradientNoise`] | `gradient:0.3:0.55` | adds normal noise to the gradients, less and less |
        ///
        /// Draws depend on the run's seed, the epoch, the batch, and the name of the variable, and on nothing
        /// else. Evaluation has no noise.
        ///
        /// Use noise against overfitting where there are few rows. Compare on validation rows, because it
        /// often does not help: on one small data set noise of 0.01 on inputs of size 1 made no difference and
        /// noise of 0.1 did clear harm, while noise of 0.1 on the hidden layer, which is a layer of its own
        /// ([`GaussianNoise`](crate::nn::GaussianNoise)), helped.
        ///
        /// Cost: one normal number, drawn on the CPU in some 5 ns, for each number that has noise.
        ///
        /// ```
        /// use candle_ensemble::train::{GradientNoise, Noise, Noises};
        ///
        /// let noises = Noises::parse("input:0.1,gradient:0.3")?;
        /// assert_eq!(noises[0], Noise::inputs(0.1));
        /// assert_eq!(noises[1], GradientNoise::new(0.3).gamma(0.55).into());
        /// assert!(Noise::weights(-1.0).check().is_err());
        /// # Ok::<(), candle_ensemble::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Noise {
            $(
                $(#[$doc])*
                $variant($kind),
            )+
        }

        $(
            impl From<$kind> for Noise {
                fn from(noise: $kind) -> Self {
                    Self::$variant(noise)
                }
            }
        )+

        /// Evaluates an expression with the parameters of the noise, whichever it is.
        macro_rules! each {
            ($of:expr, $noise:ident => $expression:expr) => {
                match $of {
                    $(Noise::$variant($noise) => $expression,)+
                }
            };
        }
        use each;

        const ENTRIES: &[Entry<Noise>] = &[$($kind::ENTRY,)+];
    };
}

noises! {
    /// Noise on inputs. See [`InputNoise`].
    Inputs(InputNoise),
    /// Noise on targets. See [`TargetNoise`].
    Targets(TargetNoise),
    /// Noise on weights. See [`WeightNoise`].
    Weights(WeightNoise),
    /// Noise on gradients. See [`GradientNoise`].
    Gradients(GradientNoise),
}

impl Noise {
    /// [`InputNoise`] with this standard deviation.
    #[must_use]
    pub fn inputs(deviation: f64) -> Self {
        InputNoise::new(deviation).into()
    }

    /// [`TargetNoise`] with this standard deviation or probability.
    #[must_use]
    pub fn targets(amount: f64) -> Self {
        TargetNoise::new(amount).into()
    }

    /// [`WeightNoise`] with this standard deviation, on the kernels.
    #[must_use]
    pub fn weights(deviation: f64) -> Self {
        WeightNoise::new(deviation).into()
    }

    /// [`GradientNoise`] with this variance in the first step.
    #[must_use]
    pub fn gradients(eta: f64) -> Self {
        GradientNoise::new(eta).into()
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        each!(self, noise => NoiseSource::check(noise))
    }

    /// The kinds of noise by name.
    ///
    /// ```
    /// use candle_ensemble::{train::{Noise, WeightNoise}, weights::WeightFilter};
    ///
    /// let parse = |text| Noise::registry().parse(text);
    /// let head = WeightNoise::new(0.01).on(WeightFilter::names(["head.*"]));
    /// assert_eq!(parse("weight:0.01:head.*")?, head.into());
    /// assert!(parse("input:-1").is_err());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Noise>> =
            LazyLock::new(|| Registry::new("noise", ENTRIES.to_vec()));
        &REGISTRY
    }
}

/// As in text: `input:0.1`.
impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(self, noise => write!(f, "{noise}"))
    }
}

/// The noise, if its parameters are in range.
fn made(noise: impl Into<Noise>) -> Result<Noise> {
    let noise = noise.into();
    noise.check()?;
    Ok(noise)
}

#[cfg(test)]
mod tests;
