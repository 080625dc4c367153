//! Sample sizes.
use crate::{Error, Result};

/// The size of a sample, in rows, in groups where whole groups are drawn, or in columns where features are
/// drawn.
///
/// scikit-learn's `max_samples` and `max_features` are [`Amount::Share`] as a float and [`Amount::Count`] as
/// an integer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A share of all there are, above 0; rounded, at least one.
    Share(f64),
    /// This many, at least 1.
    Count(usize),
}

impl Default for Amount {
    fn default() -> Self {
        Self::Share(1.)
    }
}

impl Amount {
    /// The number that this is of `total`.
    pub(crate) fn of(self, total: usize) -> Result<usize> {
        let count = match self {
            Self::Share(share) if !(share > 0. && share.is_finite()) => {
                return Err(Error::invalid("the sample size", "a share above 0", share));
            }
            Self::Share(share) => ((share * total as f64).round() as usize).max(1),
            Self::Count(count) => count,
        };
        match count {
            0 => Err(Error::invalid("the sample size", "at least 1", 0)),
            n if n > u32::MAX as usize => {
                Err(Error::invalid("the sample size", format!("at most {}", u32::MAX), n))
            }
            n => Ok(n),
        }
    }

    /// The same for a draw without replacement, of at most `max`; `what` names what is drawn.
    pub(crate) fn up_to(self, total: usize, max: usize, what: &str) -> Result<usize> {
        let name = format!("the number of {what}");
        let named = |e| match e {
            Error::Invalid { must, got, .. } => Error::Invalid { what: name.clone(), must, got },
            e => e,
        };
        match self.of(total).map_err(named)? {
            count if count > max => Err(Error::invalid(name, format!("at most {max} of {total}"), count)),
            count => Ok(count),
        }
    }
}
