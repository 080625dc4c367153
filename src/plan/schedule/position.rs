//! Where a training is.
use serde::{Deserialize, Serialize};

/// The unit that a schedule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Batches: the learning rate may change at every step.
    #[default]
    Iteration,
    /// Epochs: the learning rate is constant within an epoch.
    Epoch,
}

/// A position within a training, before one of its steps.
///
/// ```
/// let at = candle_ensemble::plan::Position { epoch: 2, batch: 5, epochs: 10, batches_per_epoch: 30 };
/// assert_eq!((at.iteration(), at.iterations()), (65, 300));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The batch within the epoch, from 0.
    pub batch: usize,
    /// Epochs of the whole training.
    pub epochs: usize,
    /// Batches of one epoch.
    pub batches_per_epoch: usize,
}

impl Position {
    /// Steps before this one.
    #[must_use]
    pub fn iteration(self) -> usize {
        self.epoch * self.batches_per_epoch + self.batch
    }

    /// Steps of the whole training.
    #[must_use]
    pub fn iterations(self) -> usize {
        self.epochs * self.batches_per_epoch
    }
}
