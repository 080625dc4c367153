//! When a run hands over members, and the learning rate it follows until then.
mod fast_geometric;
mod horizontal;
mod snapshot;

pub use fast_geometric::FastGeometric;
pub use horizontal::Horizontal;
pub use snapshot::Snapshot;

use crate::{plan::Position, Error, Result};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// When a run hands over members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Take {
    /// One member, when the run ends.
    #[default]
    Last,
    /// Members at the ends of some of the epochs; see [`Horizontal`](crate::plan::Horizontal).
    Window(super::Horizontal),
    /// A member at the trough of each cosine cycle; see [`Snapshot`](crate::plan::Snapshot).
    Cosine(super::Snapshot),
    /// A member at the trough of each triangular cycle; see [`FastGeometric`](crate::plan::FastGeometric).
    Triangle(super::FastGeometric),
}

impl Take {
    /// How many members a run of `epochs` epochs yields.
    #[must_use]
    pub fn members(&self, epochs: u32) -> u32 {
        match self {
            Self::Last => 1,
            _ => (0..epochs).filter(|epoch| self.due(*epoch, epochs).is_some()).count() as u32,
        }
    }

    /// The number, from 0, of the member that is due at the end of this epoch of so many; `None` where none is.
    /// [`Take::Last`] is never due at an epoch: its member is taken when the run is over.
    #[must_use]
    pub fn due(&self, epoch: u32, epochs: u32) -> Option<u32> {
        match self {
            Self::Last => None,
            Self::Window(t) => t.due(epoch, epochs),
            Self::Cosine(t) => t.due(epoch, epochs),
            Self::Triangle(t) => t.due(epoch, epochs),
        }
    }

    /// The learning rate at a position, where taking members prescribes one; `base` is the optimizer's.
    #[must_use]
    pub fn rate(&self, base: f64, at: Position) -> Option<f64> {
        match self {
            Self::Last | Self::Window(_) => None,
            Self::Cosine(t) => Some(t.rate(base, at)),
            Self::Triangle(t) => t.rate(base, at),
        }
    }

    /// Checks the parameters against the length of a run; 0 epochs where the learner does not tell.
    ///
    /// # Errors
    /// When a parameter is out of range, or the run's length is not known but needed.
    pub fn check(&self, epochs: u32) -> Result<()> {
        if epochs == 0 && *self != Self::Last {
            let must = "known where members are taken within a run (CustomLoop::epochs)";
            return Err(Error::invalid("the number of epochs", must, "unknown"));
        }
        match self {
            Self::Last => Ok(()),
            Self::Window(t) => t.check(epochs),
            Self::Cosine(t) => t.check(epochs),
            Self::Triangle(t) => t.check(epochs),
        }
    }
}

/// Half a cosine wave from 1 to 0: `(cos(π·t/T) + 1)/2`.
pub(crate) fn cosine(t: f64, of: f64) -> f64 {
    ((PI * t / of).cos() + 1.) / 2.
}
