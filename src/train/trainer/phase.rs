//! The two trainings of a run: until early stopping ends the first, and the one on all rows that may follow.
use crate::{data::Rows, train::Run};
use serde::{Deserialize, Serialize};

/// Which of the two trainings is going on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// The training that the configuration describes.
    #[default]
    First,
    /// The second training, on training and validation rows.
    Again {
        /// Its first epoch.
        start: usize,
        /// The largest number of its epochs.
        epochs: usize,
        /// The loss on the validation rows below which it ends.
        target: Option<f64>,
    },
}

impl Phase {
    /// The number of the epoch within the training, and the number of epochs of the training, whose first would have
    /// `epochs`.
    pub(super) fn within(self, epoch: usize, epochs: usize) -> (usize, usize) {
        match self {
            Self::First => (epoch, epochs),
            Self::Again { start, epochs, .. } => (epoch.saturating_sub(start), epochs),
        }
    }

    /// The rows that are trained on, in the order of the plan.
    pub(super) fn rows(self, run: &Run<'_>) -> Rows {
        match self {
            Self::First => run.train_rows().to_vec(),
            Self::Again { .. } => [run.train_rows(), run.valid_rows()].concat(),
        }
    }
}
