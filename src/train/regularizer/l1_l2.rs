//! The L1 and the L2 penalty together.
use crate::{
    check::non_negative,
    registry::{Argument, Entry},
    train::regularizer::{elementwise::Elementwise, made, on_text, Regularizer, WeightPenalty, ON},
    weights::WeightFilter,
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The L1 and the L2 penalty together (elastic net), as `L1L2` in Keras. See [`Regularizer`].
///
/// ```text
/// penalty = λ₁ Σ|w| + λ₂ Σ w²        gradient: λ₁ sign(w) + 2 λ₂ w
/// ```
///
/// Use it where [`L1`](crate::train::L1) would be right but inputs are correlated: L1 keeps any one of several
/// that say the same, L2 keeps all of them. Do not use it as a default, because it has two factors to choose.
///
/// Cost: one pass over the weights and their gradients in each step.
///
/// # Errors
/// [`Regularizer::check`] names a factor that is negative or not finite.
///
/// # Source
/// Zou and Hastie 2005, Journal of the Royal Statistical Society B 67(2):301–320.
///
/// ```
/// use candle_ensemble::train::{Regularizer, L1L2};
///
/// assert_eq!(Regularizer::registry().parse("l1-l2:1e-5:1e-4")?, L1L2::new(1e-5, 1e-4).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct L1L2 {
    /// The factor `λ₁` of the sum of absolute values, 0 or more.
    pub l1: f64,
    /// The factor `λ₂` of the sum of squares, 0 or more.
    pub l2: f64,
    /// The variables that it applies to. Default [`WeightFilter::Kernels`].
    pub on: WeightFilter,
}

impl L1L2 {
    /// The penalty on the kernels with these factors.
    #[must_use]
    pub fn new(l1: f64, l2: f64) -> Self {
        Self { l1, l2, on: WeightFilter::default() }
    }

    /// Sets the variables that it applies to.
    #[must_use]
    pub fn on(self, on: WeightFilter) -> Self {
        Self { on, ..self }
    }
}

impl WeightPenalty for L1L2 {
    const ENTRY: Entry<Regularizer> = Entry::new(
        "l1-l2",
        "Regularizer::L1L2",
        "The sum of absolute values and the sum of squares",
        |arguments| made(L1L2::new(arguments.get("l1")?, arguments.get("l2")?), arguments),
    )
    .with_aliases(&["elastic-net"])
    .with_arguments(&[
        Argument::required("l1", "The factor of the sum of absolute values"),
        Argument::required("l2", "The factor of the sum of squares"),
        ON,
    ])
    .with_source("Zou and Hastie 2005, JRSS B 67(2)");

    fn filter(&self) -> &WeightFilter {
        &self.on
    }

    fn check(&self) -> Result<()> {
        non_negative("L1L2::l1", self.l1)?;
        non_negative("L1L2::l2", self.l2)
    }

    fn times(&self, factor: f64) -> Self {
        Self { l1: factor * self.l1, l2: factor * self.l2, on: self.on.clone() }
    }

    fn add(&self, w: &Tensor, g: &Tensor) -> CResult<(Tensor, f64)> {
        Elementwise { l1: self.l1, l2: self.l2 }.add(w, g)
    }
}

impl fmt::Display for L1L2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l1-l2:{}:{}{}", self.l1, self.l2, on_text(&self.on))
    }
}
