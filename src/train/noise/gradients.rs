//! Noise on gradients.
use crate::{
    check::non_negative,
    registry::{Argument, Entry},
    train::noise::{made, normal::add_normal, Noise, NoiseSource, NoiseStep},
    weights::WeightFilter,
    Result,
};
use candle_core::{backprop::GradStore, Var};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Normal noise on the gradients, whose variance falls from step to step. See [`Noise`].
///
/// ```text
/// g ← g + σₜ n,   σₜ² = η / (1 + t)^γ        at step t, from 0; n standard normal
/// ```
///
/// Every variable that has a gradient has noise. It is added after the penalties of regularizers and before
/// clipping.
///
/// Use it for very deep networks that are badly initialized or hard to train, with an `η` of 0.01, 0.3 or 1
/// and a `γ` of 0.55, the values of its source. Do not use it for networks that train well without it: the
/// noise of small batches is there already, and `σ` is absolute, so a gradient much below it is lost in the
/// first steps, above all with Adam, which scales noise up to full steps.
///
/// Cost: one normal number for each weight in each step, some 7 ns, whatever the size of the batch: 5 ms for a
/// network 784-512-512-10.
///
/// # Errors
/// [`Noise::check`] names a parameter that is negative or not finite.
///
/// # Source
/// Neelakantan et al. 2015, arXiv:1511.06807.
///
/// ```
/// use candle_ensemble::train::{GradientNoise, Noise};
///
/// let noise = GradientNoise::new(0.3);
/// assert_eq!((noise.gamma, noise.deviation(0)), (0.55, 0.3f64.sqrt()));
/// assert_eq!(Noise::registry().parse("gradient:0.3:0.55")?, noise.into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GradientNoise {
    /// The variance `η` in the first step, 0 or more.
    pub eta: f64,
    /// The exponent `γ` of its fall, 0 or more. Default 0.55.
    pub gamma: f64,
}

impl GradientNoise {
    /// Noise with this variance in the first step.
    #[must_use]
    pub fn new(eta: f64) -> Self {
        Self { eta, gamma: 0.55 }
    }

    /// Sets the exponent of the fall.
    #[must_use]
    pub fn gamma(self, gamma: f64) -> Self {
        Self { gamma, ..self }
    }

    /// The standard deviation `σₜ` at a step, counted from 0.
    #[must_use]
    pub fn deviation(&self, step: usize) -> f64 {
        (self.eta / (1.0 + step as f64).powf(self.gamma)).sqrt()
    }
}

impl NoiseSource for GradientNoise {
    const ENTRY: Entry<Noise> =
        Entry::new("gradient", "Noise::Gradients", "Normal noise on the gradients", |arguments| {
            made(GradientNoise::new(arguments.get("eta")?).gamma(arguments.get("gamma")?))
        })
        .with_arguments(&[
            Argument::required("eta", "The variance in the first step"),
            Argument::new("gamma", "0.55", "The exponent of its fall"),
        ])
        .with_source("Neelakantan et al. 2015, arXiv:1511.06807");

    fn check(&self) -> Result<()> {
        non_negative("GradientNoise::eta", self.eta)?;
        non_negative("GradientNoise::gamma", self.gamma)
    }

    fn gradients(&self, gradients: &mut GradStore, vars: &[(String, Var)], at: NoiseStep) -> Result<()> {
        let deviation = at.loss_scale * self.deviation(at.step);
        for (name, var) in WeightFilter::All.select(vars) {
            let Some(gradient) = gradients.get(var) else { continue };
            let noisy = add_normal(gradient, deviation, &mut at.rng(&format!("gradients/{name}")))?;
            gradients.insert(var, noisy);
        }
        Ok(())
    }
}

impl fmt::Display for GradientNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gradient:{}:{}", self.eta, self.gamma)
    }
}
