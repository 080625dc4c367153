//! How long each run of a build took.
use crate::observe::{Event, Flow, Observer};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// An observer that keeps how long each run took, for a [`Leaderboard`](crate::evaluate::Leaderboard).
///
/// A run of which the members were in the store already has no time.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, observe::RunTimes, strategy::MultiRun, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
/// let (trainer, times) = (Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2), RunTimes::new());
/// Session::new(&trainer, &data).observer(&times).fit(&MultiRun::new(3), 42)?;
/// assert!(times.of(2).is_some() && times.of(3).is_none());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct RunTimes(Mutex<BTreeMap<usize, Duration>>);

impl RunTimes {
    /// No times yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The time of the run of this number.
    #[must_use]
    pub fn of(&self, run: usize) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&run).copied()
    }
}

impl Observer for RunTimes {
    fn notify(&self, event: &Event<'_>) -> Flow {
        if let Event::RunFinished { run, elapsed, .. } = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run.id, *elapsed);
        }
        Flow::Continue
    }
}
