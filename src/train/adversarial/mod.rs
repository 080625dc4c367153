//! Adversarial training: steps on inputs that are moved towards a larger loss. Each method has a file with its parameters.
mod fast_gradient_sign;
mod moves;
mod projected_gradient;

pub use fast_gradient_sign::FastGradientSign;
pub(crate) use moves::Moves;
pub use projected_gradient::ProjectedGradient;

use crate::{registry::Registry, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// Adversarial training: each step is made on inputs that are moved a little in the direction in which the loss grows, beside
/// or in place of the inputs of the batch.
///
/// | Method | In text | How inputs are moved |
/// |---|---|---|
/// | [`FastGradientSign`] | `fast-gradient-sign:0.01` | one step by the sign of the gradient |
/// | [`ProjectedGradient`] | `projected-gradient:0.03:steps=7` | several such steps, within a box around the inputs |
///
/// Distances are shares of the range of each input over the training rows, of the inputs as the network gets them.
///
/// ```
/// use candle_ensemble::train::{Adversarial, FastGradientSign, ProjectedGradient};
///
/// let parse = |text| Adversarial::registry().parse(text);
/// assert_eq!(parse("fgsm:0.02")?, FastGradientSign::new(0.02).into());
/// assert_eq!(parse("pgd:0.03:steps=7")?, ProjectedGradient::new(0.03).steps(7).into());
/// assert_eq!(Adversarial::fast_gradient_sign(0.02), parse("fgsm:0.02")?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Adversarial {
    /// One step by the sign of the gradient. See [`FastGradientSign`].
    FastGradientSign(FastGradientSign),
    /// Several steps within a box around the inputs. See [`ProjectedGradient`].
    ProjectedGradient(ProjectedGradient),
}

impl From<FastGradientSign> for Adversarial {
    fn from(method: FastGradientSign) -> Self {
        Self::FastGradientSign(method)
    }
}

impl From<ProjectedGradient> for Adversarial {
    fn from(method: ProjectedGradient) -> Self {
        Self::ProjectedGradient(method)
    }
}

impl Adversarial {
    /// [`FastGradientSign`] with this share of the range of each input.
    #[must_use]
    pub fn fast_gradient_sign(epsilon: f64) -> Self {
        FastGradientSign::new(epsilon).into()
    }

    /// [`ProjectedGradient`] with this share of the range of each input.
    #[must_use]
    pub fn projected_gradient(radius: f64) -> Self {
        ProjectedGradient::new(radius).into()
    }

    /// The methods by name. The trainer reads such a text from a run's setting `"adversarial"`.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Adversarial>> = LazyLock::new(|| {
            Registry::new("adversarial training", vec![fast_gradient_sign::ENTRY, projected_gradient::ENTRY])
        });
        &REGISTRY
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::FastGradientSign(method) => method.check(),
            Self::ProjectedGradient(method) => method.check(),
        }
    }
}

/// As [`registry`](Adversarial::registry) reads it.
impl fmt::Display for Adversarial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FastGradientSign(method) => write!(f, "{method}"),
            Self::ProjectedGradient(method) => write!(f, "{method}"),
        }
    }
}

/// The method, if its parameters are in range.
fn made(method: impl Into<Adversarial>) -> Result<Adversarial> {
    let method = method.into();
    method.check()?;
    Ok(method)
}

#[cfg(test)]
mod tests;
