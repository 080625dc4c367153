//! How many to draw.
use crate::{Error, Result};

/// How many rows to draw; groups, where whole groups are drawn; columns, where features are. scikit-learn's
/// `max_samples` and `max_features`, whose float is [`Amount::Share`] and whose integer is [`Amount::Count`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A share of them, above 0; rounded, at least one.
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
    /// How many that is of `of`.
    pub(crate) fn of(self, of: usize) -> Result<usize> {
        let count = match self {
            Self::Share(share) if !(share > 0. && share.is_finite()) => {
                return Err(Error::invalid("the sample size", "a share above 0", share));
            }
            Self::Share(share) => ((share * of as f64).round() as usize).max(1),
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

    /// The same, for draws without replacement, of which there are at most `most`; `what` names them.
    pub(crate) fn up_to(self, of: usize, most: usize, what: &str) -> Result<usize> {
        let name = format!("the number of {what}");
        let named = |e| match e {
            Error::Invalid { must, got, .. } => Error::Invalid { what: name.clone(), must, got },
            e => e,
        };
        match self.of(of).map_err(named)? {
            count if count > most => Err(Error::invalid(name, format!("at most {most} of {of}"), count)),
            count => Ok(count),
        }
    }
}
