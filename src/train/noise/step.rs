//! The step of a training for which noise is drawn.
use crate::{plan::Position, Seed};
use rand_chacha::ChaCha8Rng;

/// The step of a training for which noise is drawn. All draws depend on the seed, the epoch, the batch and the
/// name of what the noise is added to, and on nothing else, so a resumed run draws what an uninterrupted one
/// would.
///
/// ```
/// use candle_ensemble::{plan::Position, train::NoiseStep};
///
/// let at = Position { epoch: 2, batch: 3, epochs: 10, batches_per_epoch: 5 };
/// let step = NoiseStep::new(42, at);
/// assert_eq!((step.step, step.loss_scale), (13, 1.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NoiseStep {
    /// The seed of the run's noise.
    pub seed: Seed,
    /// The epoch, from 0.
    pub epoch: usize,
    /// The batch within the epoch, from 0.
    pub batch: usize,
    /// Steps before this one in all epochs, by which the variance of noise on gradients falls. By default
    /// [`Position::iteration`].
    pub step: usize,
    /// The factor of the loss, by which noise on gradients is multiplied. Default 1.
    pub loss_scale: f64,
}

impl NoiseStep {
    /// The step at a position of a run.
    pub fn new(seed: impl Into<Seed>, at: Position) -> Self {
        let Position { epoch, batch, .. } = at;
        Self { seed: seed.into(), epoch, batch, step: at.iteration(), loss_scale: 1.0 }
    }

    /// Sets the number of steps before this one, where epochs differ in their numbers of batches.
    #[must_use]
    pub fn step(self, step: usize) -> Self {
        Self { step, ..self }
    }

    /// Sets the factor of the loss ([`LossScale`](crate::train::LossScale)).
    #[must_use]
    pub fn loss_scale(self, loss_scale: f64) -> Self {
        Self { loss_scale, ..self }
    }

    /// The same step for the noise number `index` of a list.
    pub(super) fn of_noise(self, index: usize) -> Self {
        Self { seed: self.seed.nth("noise", index as u64), ..self }
    }

    /// The same step for further targets of the rows, the `index`-th of several.
    pub(in crate::train) fn of_targets(self, index: usize) -> Self {
        Self { seed: self.seed.nth("targets", index as u64), ..self }
    }

    /// The generator for what has this name.
    pub(super) fn rng(self, name: &str) -> ChaCha8Rng {
        self.seed.nth("epoch", self.epoch as u64).nth("batch", self.batch as u64).child(name).rng()
    }
}
