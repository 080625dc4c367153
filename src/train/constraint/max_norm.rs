//! The max-norm constraint.
use crate::{
    check::positive,
    registry::{Argument, Entry},
    train::constraint::{made, rest_of_text, units::scale, Constraint, WeightConstraint, EPSILON, ON, UNITS},
    weights::WeightFilter,
    Result,
};
use candle_core::Var;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The max-norm constraint: the incoming weights of each unit have at most a given norm. See [`Constraint`].
///
/// ```text
/// w ← w · min(‖w‖, max) / (ε + ‖w‖)        ε = 1e-7, as in Keras
/// ```
///
/// Use it together with dropout, with a maximum of 3 or 4, so that a high learning rate cannot blow up
/// weights. It has no effect as long as all norms are below the maximum.
///
/// # Errors
/// [`Constraint::check`] names the maximum if it is not positive and finite.
///
/// # Sources
/// Srebro, Rennie and Jaakkola 2005, NIPS 17. With dropout: Srivastava et al. 2014, JMLR 15:1929–1958.
///
/// ```
/// use candle_ensemble::train::{Constraint, MaxNorm};
///
/// assert_eq!(Constraint::registry().parse("max-norm:3")?, MaxNorm::new(3.0).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MaxNorm {
    /// The highest norm, above 0.
    pub max: f64,
    /// The dimension that counts the units. Default 0.
    pub units: usize,
    /// The variables that it applies to. Default [`WeightFilter::Kernels`].
    pub on: WeightFilter,
}

impl MaxNorm {
    /// The constraint on the kernels with this maximum.
    #[must_use]
    pub fn new(max: f64) -> Self {
        Self { max, units: 0, on: WeightFilter::default() }
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

impl WeightConstraint for MaxNorm {
    const ENTRY: Entry<Constraint> =
        Entry::new("max-norm", "Constraint::MaxNorm", "Norms of units of at most a maximum", |arguments| {
            made(MaxNorm::new(arguments.get("max")?).units(arguments.get("units")?), arguments)
        })
        .with_arguments(&[Argument::required("max", "The highest norm"), ON, UNITS])
        .with_source("Srebro et al. 2005, NIPS 17");

    fn filter(&self) -> &WeightFilter {
        &self.on
    }

    fn check(&self) -> Result<()> {
        positive("MaxNorm::max", self.max)
    }

    fn apply(&self, name: &str, var: &Var) -> Result<()> {
        // NaN stays NaN.
        let within = |norm: f64| if norm > self.max { self.max } else { norm };
        scale(name, var, ("MaxNorm::units", self.units), &|norm| within(norm) / (EPSILON + norm))
    }
}

impl fmt::Display for MaxNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max-norm:{}{}", self.max, rest_of_text(&self.on, self.units))
    }
}
