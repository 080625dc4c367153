//! The L2 penalty.
use crate::{
    check::non_negative,
    registry::{Argument, Entry},
    train::regularizer::{elementwise::Elementwise, made, on_text, Regularizer, WeightPenalty, ON, RATE},
    weights::WeightFilter,
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The L2 penalty (ridge): the sum of squares of the weights. See [`Regularizer`].
///
/// ```text
/// penalty = λ Σ w²        gradient: 2 λ w        as in Keras, the default
/// penalty = ½ λ Σ w²      gradient: λ w          with half: as `weight_decay` in PyTorch
/// ```
///
/// Use it as the first remedy against overfitting. With Adam prefer decoupled weight decay
/// ([`Optimizer::adamw`](crate::train::Optimizer::adamw)), unless results of Keras are to be reproduced; see
/// [`Regularizer`] for the difference. The optimizers' own `weight_decay` acts on all variables and after the
/// clipping; this penalty acts on the kernels and before it.
///
/// Cost: one pass over the weights and their gradients in each step.
///
/// # Errors
/// [`Regularizer::check`] names the rate if it is negative or not finite.
///
/// # Source
/// Krogh and Hertz 1991, "A simple weight decay can improve generalization", NIPS 4:950–957.
///
/// ```
/// use candle_ensemble::train::{Regularizer, L2};
///
/// let registry = Regularizer::registry();
/// assert_eq!(registry.parse("l2:0.001")?, L2::new(0.001).into());
/// assert_eq!(registry.parse("l2:0.001:half=true")?, L2::new(0.001).half(true).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct L2 {
    /// The factor `λ`, 0 or more.
    pub rate: f64,
    /// Whether the penalty is halved, as it is in PyTorch. Default no.
    pub half: bool,
    /// The variables that it applies to. Default [`WeightFilter::Kernels`].
    pub on: WeightFilter,
}

impl L2 {
    /// The penalty on the kernels with this factor.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self { rate, half: false, on: WeightFilter::default() }
    }

    /// Sets whether the penalty is halved.
    #[must_use]
    pub fn half(self, half: bool) -> Self {
        Self { half, ..self }
    }

    /// Sets the variables that it applies to.
    #[must_use]
    pub fn on(self, on: WeightFilter) -> Self {
        Self { on, ..self }
    }
}

impl WeightPenalty for L2 {
    const ENTRY: Entry<Regularizer> =
        Entry::new("l2", "Regularizer::L2", "The sum of squares", |arguments| {
            made(L2::new(arguments.get("rate")?).half(arguments.get("half")?), arguments)
        })
        .with_aliases(&["ridge"])
        .with_arguments(&[
            RATE,
            ON,
            Argument::new("half", "false", "Whether the penalty is halved, as in PyTorch"),
        ])
        .with_source("Krogh and Hertz 1991, NIPS 4");

    fn filter(&self) -> &WeightFilter {
        &self.on
    }

    fn check(&self) -> Result<()> {
        non_negative("L2::rate", self.rate)
    }

    fn times(&self, factor: f64) -> Self {
        Self { rate: factor * self.rate, ..self.clone() }
    }

    fn add(&self, w: &Tensor, g: &Tensor) -> CResult<(Tensor, f64)> {
        let l2 = if self.half { self.rate / 2.0 } else { self.rate };
        Elementwise { l1: 0.0, l2 }.add(w, g)
    }
}

impl fmt::Display for L2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = if self.half { ":half=true" } else { "" };
        write!(f, "l2:{}{}{half}", self.rate, on_text(&self.on))
    }
}
