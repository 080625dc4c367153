//! Noise on inputs.
use crate::{
    check::non_negative,
    data::Inputs,
    registry::{Argument, Entry},
    train::noise::{made, normal::add_normal, Noise, NoiseSource, NoiseStep},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Normal noise on the inputs of each batch. See [`Noise`].
///
/// ```text
/// x ← x + σ n,        n standard normal, new for each number in each step
/// ```
///
/// Inputs of integer types, such as token ids, have no noise. `σ` is in the units of the inputs as the network
/// sees them, so standardize them first.
///
/// Use it where inputs are measured with an error of about that size, or where a smooth function of few rows is
/// sought: for a squared loss it acts like a penalty on the slope of the function (Bishop 1995). Do not expect
/// much of a `σ` that is small against the distances between rows, and expect harm from one that is not.
///
/// # Errors
/// [`Noise::check`] names the deviation if it is negative or not finite. A step fails if no input is of a
/// floating-point type.
///
/// # Source
/// Bishop 1995, Neural Computation 7(1):108–116, doi:10.1162/neco.1995.7.1.108.
///
/// ```
/// use candle_ensemble::train::{InputNoise, Noise};
///
/// assert_eq!(Noise::registry().parse("input:0.1")?, InputNoise::new(0.1).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputNoise {
    /// The standard deviation `σ`, 0 or more.
    pub deviation: f64,
}

impl InputNoise {
    /// Noise with this standard deviation.
    #[must_use]
    pub fn new(deviation: f64) -> Self {
        Self { deviation }
    }
}

impl NoiseSource for InputNoise {
    const ENTRY: Entry<Noise> =
        Entry::new("input", "Noise::Inputs", "Normal noise on the inputs", |arguments| {
            made(InputNoise::new(arguments.get("deviation")?))
        })
        .with_arguments(&[Argument::required("deviation", "The standard deviation")])
        .with_source("Bishop 1995, Neural Computation 7(1)");

    fn check(&self) -> Result<()> {
        non_negative("InputNoise::deviation", self.deviation)
    }

    fn inputs(&self, inputs: Inputs, at: NoiseStep) -> Result<Inputs> {
        let tensors = inputs.tensors();
        if !tensors.iter().any(|tensor| tensor.dtype().is_float()) {
            let types: Vec<_> = tensors.iter().map(|tensor| tensor.dtype().as_str()).collect();
            let what = "the inputs of a training with InputNoise";
            return Err(Error::invalid(what, "of a floating-point type", types.join(", ")));
        }
        let noisy = tensors.iter().enumerate().map(|(i, tensor)| match tensor.dtype().is_float() {
            true => add_normal(tensor, self.deviation, &mut at.rng(&format!("inputs/{i}"))),
            false => Ok(tensor.clone()),
        });
        Ok(noisy.collect::<candle_core::Result<Vec<_>>>()?.into())
    }
}

impl fmt::Display for InputNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input:{}", self.deviation)
    }
}
