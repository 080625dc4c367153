//! Several constraints.
use crate::{
    train::{list::list_of, Constraint},
    weights::Weights,
    Result,
};
use candle_core::Var;
use serde::{Deserialize, Serialize};

list_of! {
    /// A list of [`Constraint`]s, which are applied in their order. An empty list, the default, costs nothing.
    ///
    /// ```
    /// use candle_ensemble::train::{Constraint, Constraints};
    ///
    /// let list = Constraints::parse("max-norm:3:!head.*,non-negative:head.*")?;
    /// assert_eq!(list.len(), 2);
    /// assert_eq!(list.to_string(), "max-norm:3:!head.*,non-negative:head.*");
    /// assert_eq!(Constraints::from(Constraint::unit_norm()).len(), 1);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    Constraints, Constraint
}

impl Constraints {
    /// Checks that every pattern of names matches a variable of the network.
    ///
    /// # Errors
    /// As [`WeightFilter::check_some`](crate::weights::WeightFilter::check_some).
    pub fn check_variables(&self, vars: &[(String, Var)]) -> Result<()> {
        self.iter().try_for_each(|item| item.filter().check_some(vars.iter().map(|(name, _)| name.as_str())))
    }

    /// Brings the variables back to the constraints, in place. See [`Constraint::apply`].
    ///
    /// # Errors
    /// As [`Constraint::apply`].
    pub fn apply(&self, vars: &[(String, Var)]) -> Result<()> {
        self.iter().try_for_each(|constraint| constraint.apply(vars))
    }

    /// The same for weights that are not variables. See [`Constraint::apply_to`].
    ///
    /// # Errors
    /// As [`Constraint::apply`].
    pub fn apply_to(&self, weights: &mut Weights) -> Result<()> {
        self.iter().try_for_each(|constraint| constraint.apply_to(weights))
    }
}
