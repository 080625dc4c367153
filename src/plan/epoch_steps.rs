//! How many steps each epoch of a run has.
use crate::{
    data::LastBatch,
    plan::{BatchSize, Position},
};

/// How many steps each epoch of a run has, where the batch size may change from epoch to epoch.
///
/// A schedule that counts steps needs the number of steps before an epoch and of the whole run
/// ([`LrSchedule::rate_in`](crate::plan::LrSchedule::rate_in)). Epochs of the same batch size are kept
/// together, so its memory does not depend on the number of epochs.
///
/// ```
/// use candle_ensemble::{data::LastBatch, plan::{BatchSize, EpochSteps}};
///
/// let size = BatchSize::Doubling { from: 10, every: 2, max: 40 };
/// let steps = EpochSteps::new(&size, 6, 100, LastBatch::Keep, false);
/// assert_eq!((0..6).map(|epoch| steps.of(epoch)).collect::<Vec<_>>(), [10, 10, 5, 5, 3, 3]);
/// assert_eq!((steps.before(3), steps.total()), (25, 36));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochSteps {
    epochs: usize,
    /// In order; the first is from epoch 0 on.
    parts: Vec<Part>,
}

/// Epochs with the same number of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// The first of the epochs.
    epoch: usize,
    /// Steps of each of them.
    steps: usize,
    /// Steps of all epochs before them.
    before: usize,
}

impl EpochSteps {
    /// The steps of a run of `epochs` epochs over `train_rows` training rows. `last` says what becomes of the
    /// last batch of an epoch, and `batch_norm` whether the network has batch normalization.
    #[must_use]
    pub fn new(
        size: &BatchSize,
        epochs: usize,
        train_rows: usize,
        last: LastBatch,
        batch_norm: bool,
    ) -> Self {
        let mut parts: Vec<Part> = vec![];
        for epoch in size.changes(epochs) {
            let steps = last.count(train_rows, size.rows_at(epoch, train_rows), batch_norm);
            let before = parts.last().map_or(0, |part| part.until(epoch));
            if parts.last().is_none_or(|part| part.steps != steps) {
                parts.push(Part { epoch, steps, before });
            }
        }
        Self { epochs, parts }
    }

    /// The steps where each is made for the gradients of up to this many batches; those that are left at the end of an
    /// epoch make a step of their own.
    ///
    /// ```
    /// use candle_ensemble::{data::LastBatch, plan::{BatchSize, EpochSteps}};
    ///
    /// let batches = EpochSteps::new(&BatchSize::Fixed(10), 2, 70, LastBatch::Keep, false);
    /// let steps = batches.clone().accumulate(3);
    /// assert_eq!((batches.of(0), steps.of(0), steps.total()), (7, 3, 6));
    /// ```
    #[must_use]
    pub fn accumulate(mut self, batches: usize) -> Self {
        let mut last: Option<Part> = None;
        for part in &mut self.parts {
            part.before = last.map_or(0, |last| last.until(part.epoch));
            part.steps = part.steps.div_ceil(batches.max(1));
            last = Some(*part);
        }
        self
    }

    /// The number of steps of an epoch.
    #[must_use]
    pub fn of(&self, epoch: usize) -> usize {
        self.part(epoch).steps
    }

    /// The number of steps of all epochs before this one.
    #[must_use]
    pub fn before(&self, epoch: usize) -> usize {
        self.part(epoch).until(epoch)
    }

    /// The number of steps of the whole run.
    #[must_use]
    pub fn total(&self) -> usize {
        self.before(self.epochs)
    }

    /// The position of a batch of an epoch. Its `batches_per_epoch` are those of this epoch.
    #[must_use]
    pub fn position(&self, epoch: usize, batch: usize) -> Position {
        Position { epoch, batch, epochs: self.epochs, batches_per_epoch: self.of(epoch) }
    }

    fn part(&self, epoch: usize) -> Part {
        let reached = self.parts.iter().rev().find(|part| part.epoch <= epoch);
        reached.copied().unwrap_or(Part { epoch: 0, steps: 0, before: 0 })
    }
}

impl Part {
    /// The number of steps before an epoch that is one of these, or the first after them.
    fn until(self, epoch: usize) -> usize {
        self.before.saturating_add((epoch - self.epoch).saturating_mul(self.steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{LrSchedule, Schedule, Unit};
    use proptest::prelude::*;

    proptest! {
        /// Against a count of the batches, one by one.
        #[test]
        fn steps_are_those_of_the_batches(
            rows in 1..60usize, epochs in 1..12usize, from in 1..9usize, every in 1..4usize, grown in 1..5usize,
            norm: bool,
        ) {
            let doubling = BatchSize::Doubling { from, every, max: from * grown };
            let steps = BatchSize::Steps(vec![(0, from), (every, grown), (every + 2, from)]);
            for size in [doubling, steps, BatchSize::Full, BatchSize::Online, BatchSize::Fixed(from)] {
                for last in [LastBatch::Auto, LastBatch::Keep, LastBatch::Join, LastBatch::Drop] {
                    let counted = EpochSteps::new(&size, epochs, rows, last, norm);
                    let mut before = 0;
                    for epoch in 0..epochs {
                        let batches = last.split(rows, size.rows_at(epoch, rows), norm).count();
                        prop_assert_eq!((counted.of(epoch), counted.before(epoch)), (batches, before));
                        before += batches;
                    }
                    prop_assert_eq!(counted.total(), before);
                    prop_assert_eq!(&counted.clone().accumulate(1), &counted);
                    let (steps, mut before) = (counted.clone().accumulate(every + 1), 0);
                    for epoch in 0..epochs {
                        let some = counted.of(epoch).div_ceil(every + 1);
                        prop_assert_eq!((steps.of(epoch), steps.before(epoch)), (some, before));
                        before += some;
                    }
                }
            }
        }
    }

    #[test]
    fn rates_of_one_size_are_those_of_the_position() {
        let steps = EpochSteps::new(&BatchSize::Fixed(7), 5, 40, LastBatch::Keep, false);
        for unit in [Unit::Iteration, Unit::Epoch] {
            let schedule = Schedule::Cosine { to: 0.1 }.per(unit);
            for (epoch, batch) in (0..5).flat_map(|epoch| (0..6).map(move |batch| (epoch, batch))) {
                let at = Position { epoch, batch, epochs: 5, batches_per_epoch: 6 };
                assert_eq!(steps.position(epoch, batch), at);
                assert_eq!(schedule.rate_in(0.3, at, &steps), schedule.rate(0.3, at));
            }
        }
    }

    #[test]
    fn rates_of_growing_batches_count_the_steps_that_were_made() {
        // 4 steps, 2 steps, 1 step.
        let size = BatchSize::Doubling { from: 2, every: 1, max: 8 };
        let steps = EpochSteps::new(&size, 3, 8, LastBatch::Keep, false);
        let schedule = LrSchedule::from(Schedule::Linear { to: 0.0 });
        let at = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 0)];
        for (t, (epoch, batch)) in at.into_iter().enumerate() {
            let rate = schedule.rate_in(7.0, steps.position(epoch, batch), &steps);
            assert!((rate - (7.0 - t as f64)).abs() < 1e-12, "{epoch} {batch}: {rate}");
        }
    }
}
