//! The min–max-norm constraint.
use crate::{
    check::{non_negative, require},
    registry::{Argument, Entry},
    train::constraint::{made, rest_of_text, units::scale, Constraint, WeightConstraint, EPSILON, ON, UNITS},
    weights::WeightFilter,
    Result,
};
use candle_core::Var;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The min–max-norm constraint: the norm of the incoming weights of each unit is brought into a range, at once
/// or by and by. See [`Constraint`].
///
/// ```text
/// n ← rate · max(min, min(max, ‖w‖)) + (1 − rate) · ‖w‖
/// w ← w · n / (ε + ‖w‖)        ε = 1e-7, as in Keras
/// ```
///
/// Use it where [`MaxNorm`](crate::train::MaxNorm) would be right but units also die, that is, where the norms
/// of some go to 0. With a rate below 1 a step closes only that share of the distance, so that the constraint
/// does not undo a step by force. Weights that are all 0 stay so.
///
/// # Errors
/// [`Constraint::check`] names a parameter that is out of range.
///
/// # Source
/// `MinMaxNorm` of Keras.
///
/// ```
/// use candle_ensemble::train::{Constraint, MinMaxNorm};
///
/// let slow = MinMaxNorm::new(0.5, 2.0).rate(0.1);
/// assert_eq!(Constraint::registry().parse("min-max-norm:0.5:2:0.1")?, slow.into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MinMaxNorm {
    /// The lowest norm, 0 or more.
    pub min: f64,
    /// The highest norm, above 0 and not below the lowest.
    pub max: f64,
    /// The share of the distance that a step closes, above 0 and at most 1. Default 1.
    pub rate: f64,
    /// The dimension that counts the units. Default 0.
    pub units: usize,
    /// The variables that it applies to. Default [`WeightFilter::Kernels`].
    pub on: WeightFilter,
}

impl MinMaxNorm {
    /// The constraint on the kernels with this range.
    #[must_use]
    pub fn new(min: f64, max: f64) -> Self {
        Self { min, max, rate: 1.0, units: 0, on: WeightFilter::default() }
    }

    /// Sets the share of the distance that a step closes.
    #[must_use]
    pub fn rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// Sets the dimension that counts the units: 0 for linear layers and convolutions, 1 for transposed
    /// convolutions.
    #[must_use]
    pub fn units(self, units: usize) -> Self {
        Self { units, ..self }
    }

    /// Sets the variables that it applies to.
    #[must_use]
    pub fn on(self, on: WeightFilter) -> Self {
        Self { on, ..self }
    }
}

impl WeightConstraint for MinMaxNorm {
    const ENTRY: Entry<Constraint> = Entry::new(
        "min-max-norm",
        "Constraint::MinMaxNorm",
        "Norms of units between a minimum and a maximum",
        |arguments| {
            let constraint = MinMaxNorm::new(arguments.get("min")?, arguments.get("max")?);
            made(constraint.rate(arguments.get("rate")?).units(arguments.get("units")?), arguments)
        },
    )
    .with_arguments(&[
        Argument::required("min", "The lowest norm"),
        Argument::required("max", "The highest norm"),
        Argument::new("rate", "1", "The share of the distance that a step closes"),
        ON,
        UNITS,
    ]);

    fn filter(&self) -> &WeightFilter {
        &self.on
    }

    fn check(&self) -> Result<()> {
        let Self { min, max, rate, .. } = *self;
        non_negative("MinMaxNorm::min", min)?;
        let in_range = max > 0.0 && max >= min && max.is_finite();
        require(in_range, "MinMaxNorm::max", "above 0, finite, and not below MinMaxNorm::min", max)?;
        require(rate > 0.0 && rate <= 1.0, "MinMaxNorm::rate", "above 0 and at most 1", rate)
    }

    fn apply(&self, name: &str, var: &Var) -> Result<()> {
        let Self { min, max, rate, units, .. } = *self;
        // Not `clamp`, which panics where `min` is above `max`; NaN stays NaN.
        let within = |norm: f64| {
            if norm > max {
                max
            } else if norm < min {
                min
            } else {
                norm
            }
        };
        let factor = |norm: f64| (rate * within(norm) + (1.0 - rate) * norm) / (EPSILON + norm);
        scale(name, var, ("MinMaxNorm::units", units), &factor)
    }
}

impl fmt::Display for MinMaxNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max, rate, units, on } = self;
        write!(f, "min-max-norm:{min}:{max}:{rate}{}", rest_of_text(on, *units))
    }
}
