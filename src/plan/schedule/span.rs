//! Parts of a training.
use crate::{check::below_one, registry::ArgumentValue, Result};
use serde::{Deserialize, Serialize};

/// A part of a training.
///
/// ```
/// use candle_ensemble::plan::{Schedule, Span};
///
/// let five_units = Schedule::Constant.after_warm_up(Span::Units(5));
/// let a_tenth = Schedule::Constant.after_warm_up(Span::Share(0.1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Span {
    /// A number of units of the schedule.
    Units(usize),
    /// A share of the training, from 0 to less than 1, rounded to whole units.
    Share(f64),
}

impl Span {
    /// Checks that a share is from 0 to less than 1.
    pub(crate) fn check(self, what: &str) -> Result<()> {
        match self {
            Self::Units(_) => Ok(()),
            Self::Share(share) => below_one(what, share),
        }
    }

    /// The number of units in a training of `total` units.
    pub(crate) fn units(self, total: usize) -> usize {
        match self {
            Self::Units(n) => n,
            Self::Share(share) => (share * total as f64).round() as usize,
        }
    }

    /// The text that is read as this span.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Units(n) => n.to_string(),
            Self::Share(share) => format!("{share:?}"),
        }
    }
}

/// A whole number is one of units, any other number a share.
impl ArgumentValue for Span {
    fn must_be() -> String {
        "a whole number of units, or a share of the training such as 0.1".into()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().map(Self::Units).or_else(|_| text.parse().map(Self::Share)).ok()
    }
}
