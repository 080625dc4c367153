//! The L1 penalty.
use crate::{
    check::non_negative,
    registry::Entry,
    train::regularizer::{elementwise::Elementwise, made, on_text, Regularizer, WeightPenalty, ON, RATE},
    weights::WeightFilter,
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The L1 penalty (lasso): the sum of absolute values of the weights. See [`Regularizer`].
///
/// ```text
/// penalty = λ Σ|w|        gradient: λ sign(w), 0 where w = 0
/// ```
///
/// Use it where many inputs do not matter, or where a network has to be pruned afterwards: it draws weights to
/// 0 with a constant force, so that those that do not help become small. Do not expect exact zeros: a
/// gradient step crosses 0 and comes back. For smooth functions of all inputs prefer [`L2`](crate::train::L2).
///
/// Cost: one pass over the weights and their gradients in each step.
///
/// # Errors
/// [`Regularizer::check`] names the rate if it is negative or not finite.
///
/// # Source
/// Tibshirani 1996, Journal of the Royal Statistical Society B 58(1):267–288.
///
/// ```
/// use candle_ensemble::train::{Regularizer, L1};
///
/// assert_eq!(Regularizer::registry().parse("l1:1e-5")?, L1::new(1e-5).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct L1 {
    /// The factor `λ`, 0 or more.
    pub rate: f64,
    /// The variables that it applies to. Default [`WeightFilter::Kernels`].
    pub on: WeightFilter,
}

impl L1 {
    /// The penalty on the kernels with this factor.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self { rate, on: WeightFilter::default() }
    }

    /// Sets the variables that it applies to.
    #[must_use]
    pub fn on(self, on: WeightFilter) -> Self {
        Self { on, ..self }
    }
}

impl WeightPenalty for L1 {
    const ENTRY: Entry<Regularizer> =
        Entry::new("l1", "Regularizer::L1", "The sum of absolute values", |arguments| {
            made(L1::new(arguments.get("rate")?), arguments)
        })
        .with_aliases(&["lasso"])
        .with_arguments(&[RATE, ON])
        .with_source("Tibshirani 1996, JRSS B 58(1)");

    fn filter(&self) -> &WeightFilter {
        &self.on
    }

    fn check(&self) -> Result<()> {
        non_negative("L1::rate", self.rate)
    }

    fn times(&self, factor: f64) -> Self {
        Self { rate: factor * self.rate, ..self.clone() }
    }

    fn add(&self, w: &Tensor, g: &Tensor) -> CResult<(Tensor, f64)> {
        Elementwise { l1: self.rate, l2: 0.0 }.add(w, g)
    }
}

impl fmt::Display for L1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l1:{}{}", self.rate, on_text(&self.on))
    }
}
