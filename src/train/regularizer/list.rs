//! Several regularizers.
use crate::{
    train::{list::list_of, Regularizer},
    Result,
};
use candle_core::{backprop::GradStore, Var};
use serde::{Deserialize, Serialize};

list_of! {
    /// A list of [`Regularizer`]s, whose penalties are added up. An empty list, the default, costs nothing.
    ///
    /// ```
    /// use candle_ensemble::train::{Regularizer, Regularizers};
    ///
    /// let list = Regularizers::parse("l2:0.001:hidden.*,l1:1e-5")?;
    /// assert_eq!(list.len(), 2);
    /// assert_eq!(list.to_string(), "l2:0.001:hidden.*,l1:0.00001");
    /// assert_eq!(Regularizers::from(Regularizer::l1(1e-5))[0], list[1]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    Regularizers, Regularizer
}

impl Regularizers {
    /// Checks that every pattern of names matches a variable of the network.
    ///
    /// # Errors
    /// As [`WeightFilter::check_some`](crate::weights::WeightFilter::check_some).
    pub fn check_variables(&self, vars: &[(String, Var)]) -> Result<()> {
        self.iter().try_for_each(|item| item.filter().check_some(vars.iter().map(|(name, _)| name.as_str())))
    }

    /// Adds the gradients of all penalties to the gradients, and returns the sum of the penalties. See
    /// [`Regularizer::add_to`].
    ///
    /// # Errors
    /// As [`Regularizer::add_to`].
    pub fn add_to(&self, vars: &[(String, Var)], gradients: &mut GradStore) -> Result<f64> {
        self.iter().try_fold(0.0, |sum, regularizer| Ok(sum + regularizer.add_to(vars, gradients)?))
    }
}
