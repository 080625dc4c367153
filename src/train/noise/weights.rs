//! Noise on weights.
use crate::{
    check::non_negative,
    registry::{Argument, Entry},
    train::noise::{made, normal::add_normal, Noise, NoiseSource, NoiseStep},
    weights::WeightFilter,
    Result,
};
use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Normal noise on the weights during the forward and the backward pass of each step. See [`Noise`].
///
/// ```text
/// g = ∂loss/∂w  at  w + σ n,        n standard normal, new for each weight in each step
/// ```
///
/// The noise is taken away before the update, to the bit, so it does not add up. It applies to the kernels
/// unless a [`WeightFilter`] says otherwise.
///
/// Use it to find flat minima, above all in recurrent networks, for which it was proposed with a `σ` of 0.075.
/// `σ` is absolute, and weights of wide layers are small, so begin with a tenth of their standard deviation.
/// With batch normalization the running statistics are measured with noise. Do not use it together with
/// dropout before each has been tried alone.
///
/// Cost: a copy of the weights and one normal number for each of them in each step, some 7 ns, whatever the
/// size of the batch: 5 ms for a network 784-512-512-10.
///
/// # Errors
/// [`Noise::check`] names the deviation if it is negative or not finite.
///
/// # Sources
/// An 1996, Neural Computation 8(3):643–674, doi:10.1162/neco.1996.8.3.643; Graves 2011, "Practical variational
/// inference for neural networks", NIPS 24.
///
/// ```
/// use candle_ensemble::train::{Noise, WeightNoise};
///
/// assert_eq!(Noise::registry().parse("weight:0.01")?, WeightNoise::new(0.01).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WeightNoise {
    /// The standard deviation `σ`, 0 or more.
    pub deviation: f64,
    /// The variables that have noise. Default [`WeightFilter::Kernels`].
    pub on: WeightFilter,
}

impl WeightNoise {
    /// Noise on the kernels with this standard deviation.
    #[must_use]
    pub fn new(deviation: f64) -> Self {
        Self { deviation, on: WeightFilter::default() }
    }

    /// Sets the variables that have noise.
    #[must_use]
    pub fn on(self, on: WeightFilter) -> Self {
        Self { on, ..self }
    }
}

impl NoiseSource for WeightNoise {
    const ENTRY: Entry<Noise> =
        Entry::new("weight", "Noise::Weights", "Normal noise on the weights of a pass", |arguments| {
            made(WeightNoise::new(arguments.get("deviation")?).on(arguments.get("on")?))
        })
        .with_arguments(&[
            Argument::required("deviation", "The standard deviation"),
            Argument::new("on", "kernels", "The variables: kernels, biases, all, or patterns of names"),
        ])
        .with_source("An 1996, Neural Computation 8(3)");

    fn check(&self) -> Result<()> {
        self.on.check()?;
        non_negative("WeightNoise::deviation", self.deviation)
    }

    fn check_variables(&self, vars: &[(String, Var)]) -> Result<()> {
        self.on.check_some(vars.iter().map(|(name, _)| name.as_str()))
    }

    fn weights(&self, vars: &[(String, Var)], at: NoiseStep, kept: &mut Vec<(Var, Tensor)>) -> Result<()> {
        if self.deviation == 0.0 {
            return Ok(());
        }
        for (name, var) in self.on.select(vars) {
            let before = var.copy()?.detach();
            let noisy = add_normal(&before, self.deviation, &mut at.rng(&format!("weights/{name}")))?;
            kept.push((var.clone(), before));
            var.set(&noisy)?;
        }
        Ok(())
    }
}

impl fmt::Display for WeightNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight:{}", self.deviation)?;
        if self.on == WeightFilter::default() {
            return Ok(());
        }
        write!(f, ":{}", self.on)
    }
}

/// The variables that have noise, with their values before it. [`restore`](Self::restore) takes the noise away.
/// If it is dropped, as on an error, it does the same as far as it can.
#[derive(Debug)]
#[must_use = "the noise stays until it is taken away"]
pub struct NoisyWeights(Vec<(Var, Tensor)>);

impl NoisyWeights {
    pub(super) fn new(kept: Vec<(Var, Tensor)>) -> Self {
        Self(kept)
    }

    /// Sets the variables to what they were, to the bit. Call it after the backward pass, which reads the
    /// weights, and before the update.
    ///
    /// # Errors
    /// When candle fails.
    pub fn restore(mut self) -> Result<()> {
        Self::set(&mut self.0)
    }

    /// In the reverse order, because a variable that has noise twice was kept twice.
    fn set(kept: &mut Vec<(Var, Tensor)>) -> Result<()> {
        while let Some((var, before)) = kept.pop() {
            var.set(&before)?;
        }
        Ok(())
    }
}

impl Drop for NoisyWeights {
    fn drop(&mut self) {
        // An error has been reported by what failed before.
        let _ = Self::set(&mut self.0);
    }
}
