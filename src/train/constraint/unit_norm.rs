//! The unit-norm constraint.
use crate::{
    registry::Entry,
    train::constraint::{made, rest_of_text, units::scale, Constraint, WeightConstraint, EPSILON, ON, UNITS},
    weights::WeightFilter,
    Result,
};
use candle_core::Var;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The unit-norm constraint: the incoming weights of each unit have norm 1. See [`Constraint`].
///
/// ```text
/// w ← w / (ε + ‖w‖)        ε = 1e-7, as in Keras
/// ```
///
/// Use it on the hidden layers of small networks as a strong regularizer, and where units are to differ in
/// direction only. Do not use it on an output layer: logits of bounded size cannot give confident
/// probabilities. It helps on some data and hurts on other; compare on validation rows. Weights that are all 0
/// stay so.
///
/// # Errors
/// [`Constraint::check`] names a pattern that is none.
///
/// # Source
/// `UnitNorm` of Keras.
///
/// ```
/// use candle_ensemble::train::{Constraint, UnitNorm};
///
/// assert_eq!(Constraint::registry().parse("unit-norm")?, UnitNorm::new().into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnitNorm {
    /// The dimension that counts the units. Default 0.
    pub units: usize,
    /// The variables that it applies to. Default [`WeightFilter::Kernels`].
    pub on: WeightFilter,
}

impl UnitNorm {
    /// The constraint on the kernels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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

impl WeightConstraint for UnitNorm {
    const ENTRY: Entry<Constraint> =
        Entry::new("unit-norm", "Constraint::UnitNorm", "Norms of units of 1", |arguments| {
            made(UnitNorm::new().units(arguments.get("units")?), arguments)
        })
        .with_arguments(&[ON, UNITS]);

    fn filter(&self) -> &WeightFilter {
        &self.on
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn apply(&self, name: &str, var: &Var) -> Result<()> {
        scale(name, var, ("UnitNorm::units", self.units), &|norm| 1.0 / (EPSILON + norm))
    }
}

impl fmt::Display for UnitNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit-norm{}", rest_of_text(&self.on, self.units))
    }
}
