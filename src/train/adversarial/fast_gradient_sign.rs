//! The fast gradient sign method.
use crate::{
    check::positive,
    registry::{Argument, Entry},
    train::adversarial::{made, Adversarial},
    Result,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Adversarial training by the fast gradient sign method: each step is made on the mean of two losses, that of the batch
/// and that of the same rows with inputs that are moved a little in the direction in which the loss grows.
///
/// ```text
/// x' = x + ε r · sign(∂ loss(x) / ∂x)          with the range r of each input over the training rows
/// step on (loss(x) + loss(x')) / 2
/// ```
///
/// `x` are the inputs as the network gets them, scaled and with noise. The direction is that of the loss of the batch, and
/// no gradient passes through it. The recorded loss is that of `x`.
///
/// Use it to make predictions, and their uncertainty, smooth around the training rows; Deep Ensembles use `ε = 0.01`. Compare
/// on validation rows, because it often makes no difference. Use [`ProjectedGradient`](crate::train::ProjectedGradient) against
/// an adversary that takes several steps. Members are trained one at a time with it, not side by side.
///
/// Cost: a step takes twice as long. Before the first step the training rows are read once, for the ranges.
///
/// # Errors
/// A session returns [`Error::Invalid`](crate::Error::Invalid) before it trains, if `ε` is not positive and finite. A run fails
/// if there are several inputs, or if the input is not of floats.
///
/// # Sources
/// Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572. Lakshminarayanan et al. 2017, arXiv:1612.01474.
///
/// ```
/// use candle_ensemble::train::{Adversarial, FastGradientSign, Trainer};
///
/// let method = FastGradientSign::new(0.01);
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).adversarial(method);
/// assert_eq!(Adversarial::registry().parse("fast-gradient-sign:0.01")?, method.into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FastGradientSign {
    /// How far each input is moved, as a share `ε` of its range over the training rows.
    pub epsilon: f64,
}

pub(super) const ENTRY: Entry<Adversarial> = Entry::new(
    "fast-gradient-sign",
    "FastGradientSign",
    "Steps on inputs that are moved towards a larger loss as well",
    |arguments| made(FastGradientSign::new(arguments.get("epsilon")?)),
)
.with_aliases(&["fgsm"])
.with_arguments(&[Argument::new("epsilon", "0.01", "How far inputs are moved, as a share of their range")])
.with_source("Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572");

impl FastGradientSign {
    /// Inputs are moved by this share of their ranges.
    #[must_use]
    pub fn new(epsilon: f64) -> Self {
        Self { epsilon }
    }

    pub(super) fn check(&self) -> Result<()> {
        positive("FastGradientSign::epsilon", self.epsilon)
    }
}

impl fmt::Display for FastGradientSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fast-gradient-sign:{}", self.epsilon)
    }
}
