//! Several regularizers.
use crate::{train::Regularizer, Result};
use candle_core::{backprop::GradStore, Var};
use serde::{Deserialize, Serialize};
use std::fmt;

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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Regularizers(Vec<Regularizer>);

impl Regularizers {
    /// Reads a list of texts, separated by commas; `none` is the empty list.
    ///
    /// # Errors
    /// When a name or an argument is unknown, or a value is out of range.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim() {
            "none" => Ok(Self::default()),
            list => Ok(Self(Regularizer::registry().parse_list(list)?)),
        }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        self.iter().try_for_each(Regularizer::check)
    }

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

impl std::ops::Deref for Regularizers {
    type Target = [Regularizer];

    fn deref(&self) -> &[Regularizer] {
        &self.0
    }
}

impl<R: Into<Regularizer>> From<R> for Regularizers {
    fn from(regularizer: R) -> Self {
        Self(vec![regularizer.into()])
    }
}

impl<R: Into<Regularizer>> FromIterator<R> for Regularizers {
    fn from_iter<I: IntoIterator<Item = R>>(regularizers: I) -> Self {
        Self(regularizers.into_iter().map(Into::into).collect())
    }
}

/// As [`parse`](Regularizers::parse) reads it.
impl fmt::Display for Regularizers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let texts: Vec<_> = self.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(","))
    }
}
