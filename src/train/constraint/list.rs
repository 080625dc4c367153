//! Several constraints.
use crate::{train::Constraint, weights::Weights, Result};
use candle_core::Var;
use serde::{Deserialize, Serialize};
use std::fmt;

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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Constraints(Vec<Constraint>);

impl Constraints {
    /// Reads a list of texts, separated by commas; `none` is the empty list.
    ///
    /// # Errors
    /// When a name or an argument is unknown, or a value is out of range.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim() {
            "none" => Ok(Self::default()),
            list => Ok(Self(Constraint::registry().parse_list(list)?)),
        }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        self.iter().try_for_each(Constraint::check)
    }

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

impl std::ops::Deref for Constraints {
    type Target = [Constraint];

    fn deref(&self) -> &[Constraint] {
        &self.0
    }
}

impl<R: Into<Constraint>> From<R> for Constraints {
    fn from(constraint: R) -> Self {
        Self(vec![constraint.into()])
    }
}

impl<R: Into<Constraint>> FromIterator<R> for Constraints {
    fn from_iter<I: IntoIterator<Item = R>>(constraints: I) -> Self {
        Self(constraints.into_iter().map(Into::into).collect())
    }
}

/// As [`parse`](Constraints::parse) reads it.
impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let texts: Vec<_> = self.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(","))
    }
}
