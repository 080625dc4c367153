//! Weight constraints: what weights are brought back to after each update.
//!
//! Each constraint has a file with its parameters and its formula. To add one, write a file with a type that
//! implements [`WeightConstraint`] and add one line to the list below.
mod list;
mod max_norm;
mod min_max_norm;
mod non_negative;
mod unit_norm;
mod units;

pub use list::Constraints;
pub use max_norm::MaxNorm;
pub use min_max_norm::MinMaxNorm;
pub use non_negative::NonNegative;
pub use unit_norm::UnitNorm;

use crate::{
    registry::{Argument, Arguments, Entry, Registry},
    weights::{WeightFilter, Weights},
    Result,
};
use candle_core::Var;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// What is added to a norm before it divides, as in Keras.
const EPSILON: f64 = 1e-7;

/// A constraint on the weights of one variable at a time.
pub(crate) trait WeightConstraint: fmt::Display {
    /// Its entry in the registry.
    const ENTRY: Entry<Constraint>;

    /// The variables that it applies to.
    fn filter(&self) -> &WeightFilter;

    /// Checks the parameters, the filter apart.
    fn check(&self) -> Result<()>;

    /// Brings the variable of this name back to the constraint, in place.
    fn apply(&self, name: &str, var: &Var) -> Result<()>;
}

macro_rules! constraints {
    ($($(#[$doc:meta])* $kind:ident,)+) => {
        /// A constraint that weights meet after every update, as data.
        ///
        /// | Constraint | In text | What it does to the weights `w` of a unit |
        /// |---|---|---|
        /// | [`MaxNorm`] | `max-norm:3` | scales them so that `‖w‖ ≤ max` |
        /// | [`UnitNorm`] | `unit-norm` | scales them so that `‖w‖ = 1` |
        /// | [`MinMaxNorm`] | `min-max-norm:0.5:2` | scales them towards `min ≤ ‖w‖ ≤ max` |
        /// | [`NonNegative`] | `non-negative` | sets negative ones to 0 |
        ///
        /// The norm is that of the incoming weights of one unit. A linear layer `(out, in)` and a convolution
        /// `(out, in, k…)` have a unit for each index of dimension 0, the default. Transposed convolutions of
        /// candle are `(in, out, k…)`: give them a constraint of their own with `units(1)`. In a variable of
        /// rank 1 each number is a unit. (Keras' kernels are `(in, out)`; the constraint is the same.)
        ///
        /// Constraints apply to kernels unless a [`WeightFilter`] says otherwise ([`on`](Self::on)). They act
        /// after every update and on averages of weights, but not on the initial weights. The moments of the
        /// optimizer are not changed.
        ///
        /// Use one to keep the function of a network bounded, above all together with dropout and a high
        /// learning rate (Srivastava et al. 2014, JMLR 15:1929–1958, section 5.1). Do not use one as a safe
        /// default. Unit norm improved the accuracy on one small data set and lowered it on another; a maximum
        /// that the norms do not reach changes nothing, so look at the norms first. Before batch normalization
        /// the scale of weights has no effect on the output. Cost: one or two passes over the weights in each
        /// step.
        ///
        /// # Half precision
        /// Norms are computed in `f32` and the weights are rounded to their type, so norms meet the constraint
        /// to within the spacing of that type. [`OptimizerState`](crate::train::OptimizerState) continues from
        /// the changed weights.
        ///
        /// ```
        /// use candle_core::{Device, Var};
        /// use candle_ensemble::{train::Constraint, weights::WeightFilter};
        ///
        /// // Two units; the norm of the first is 5.
        /// let w = Var::new(&[[3f32, 4.0], [0.0, 0.5]], &Device::Cpu)?;
        /// Constraint::max_norm(1.0).apply(&[("w".into(), w.clone())])?;
        /// let rounded = (w.as_tensor() * 1e4)?.round()?;
        /// assert_eq!(rounded.to_vec2::<f32>()?, [[6e3, 8e3], [0.0, 5e3]]);
        ///
        /// let head = Constraint::unit_norm().on(WeightFilter::names(["head.*"]));
        /// assert_eq!(Constraint::registry().parse("unit-norm:head.*")?, head);
        /// # Ok::<(), candle_ensemble::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Constraint {
            $(
                $(#[$doc])*
                $kind($kind),
            )+
        }

        $(
            impl From<$kind> for Constraint {
                fn from(constraint: $kind) -> Self {
                    Self::$kind(constraint)
                }
            }
        )+

        /// Evaluates an expression with the parameters of the constraint, whichever it is.
        macro_rules! each {
            ($of:expr, $constraint:ident => $expression:expr) => {
                match $of {
                    $(Constraint::$kind($constraint) => $expression,)+
                }
            };
        }

        const ENTRIES: &[Entry<Constraint>] = &[$($kind::ENTRY,)+];
    };
}

constraints! {
    /// Norms of at most a maximum. See [`MaxNorm`].
    MaxNorm,
    /// Norms of 1. See [`UnitNorm`].
    UnitNorm,
    /// Norms between a minimum and a maximum. See [`MinMaxNorm`].
    MinMaxNorm,
    /// No negative weights. See [`NonNegative`].
    NonNegative,
}

impl Constraint {
    /// [`MaxNorm`] on the kernels.
    #[must_use]
    pub fn max_norm(max: f64) -> Self {
        MaxNorm::new(max).into()
    }

    /// [`UnitNorm`] on the kernels.
    #[must_use]
    pub fn unit_norm() -> Self {
        UnitNorm::new().into()
    }

    /// [`MinMaxNorm`] on the kernels, fully enforced.
    #[must_use]
    pub fn min_max_norm(min: f64, max: f64) -> Self {
        MinMaxNorm::new(min, max).into()
    }

    /// [`NonNegative`] on the kernels.
    #[must_use]
    pub fn non_negative() -> Self {
        NonNegative::new().into()
    }

    /// Sets the variables that it applies to. Default [`WeightFilter::Kernels`].
    #[must_use]
    pub fn on(mut self, on: WeightFilter) -> Self {
        each!(&mut self, constraint => constraint.on = on);
        self
    }

    /// The variables that it applies to.
    #[must_use]
    pub fn filter(&self) -> &WeightFilter {
        each!(self, constraint => constraint.filter())
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        self.filter().check()?;
        each!(self, constraint => WeightConstraint::check(constraint))
    }

    /// Brings the variables back to the constraint, in place. `vars` are the variables of the network with
    /// their names. Call it after each update.
    ///
    /// # Errors
    /// When a variable has no dimension `units`, or candle fails.
    pub fn apply(&self, vars: &[(String, Var)]) -> Result<()> {
        let mut selected = self.filter().select(vars).into_iter();
        selected.try_for_each(|(name, var)| each!(self, constraint => constraint.apply(name, var)))
    }

    /// The same for weights that are not variables, such as an average. Tensors that were shared are replaced,
    /// not changed.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_to(&self, weights: &mut Weights) -> Result<()> {
        for (name, tensor) in weights {
            if tensor.dtype().is_float() && self.filter().matches(name, tensor.dims()) {
                let var = Var::from_tensor(&tensor.contiguous()?)?;
                each!(self, constraint => constraint.apply(name, &var))?;
                *tensor = var.as_detached_tensor();
            }
        }
        Ok(())
    }

    /// The constraints by name.
    ///
    /// ```
    /// use candle_ensemble::train::{Constraint, MaxNorm};
    ///
    /// let parse = |text| Constraint::registry().parse(text);
    /// assert_eq!(parse("max-norm:3")?, Constraint::max_norm(3.0));
    /// assert_eq!(parse("max-norm:3:units=1")?, MaxNorm::new(3.0).units(1).into());
    /// assert!(parse("max-norm:0").is_err());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Constraint>> =
            LazyLock::new(|| Registry::new("constraint", ENTRIES.to_vec()));
        &REGISTRY
    }
}

/// As in text: `max-norm:3`.
impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(self, constraint => write!(f, "{constraint}"))
    }
}

/// The argument for the variables that a constraint applies to.
const ON: Argument =
    Argument::new("on", "kernels", "The variables: kernels, biases, all, or patterns of names");

/// The argument for the dimension of units.
const UNITS: Argument =
    Argument::new("units", "0", "The dimension that counts the units; 1 for transposed convolutions");

/// The constraint, if its parameters are in range, on the variables that the arguments name.
fn made(constraint: impl Into<Constraint>, arguments: &Arguments) -> Result<Constraint> {
    let constraint = constraint.into().on(arguments.get("on")?);
    constraint.check()?;
    Ok(constraint)
}

/// The filter and the dimension of units as the last arguments of a text; empty for the defaults.
fn rest_of_text(on: &WeightFilter, units: usize) -> String {
    let on = if *on == WeightFilter::default() { String::new() } else { format!(":{on}") };
    let units = if units == 0 { String::new() } else { format!(":units={units}") };
    on + &units
}

#[cfg(test)]
mod tests;
