//! Events of a build, for progress bars, logs and early aborts.
#[cfg(feature = "progress")]
mod progress;

#[cfg(feature = "progress")]
#[cfg_attr(docsrs, doc(cfg(feature = "progress")))]
pub use progress::ProgressBar;

use crate::{plan::RunSpec, store::EpochRecord};
use std::time::Duration;

/// What happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A build begins.
    BuildStarted {
        /// Runs of the plan.
        runs: usize,
        /// Runs whose members are already in the store.
        finished: usize,
        /// Epochs of the runs that remain, as far as the learner tells.
        epochs: u64,
    },
    /// A run begins.
    RunStarted {
        /// The run.
        run: &'a RunSpec,
    },
    /// A run goes on from a checkpoint.
    Resumed {
        /// The run.
        run: &'a RunSpec,
        /// The epoch it goes on with.
        epoch: usize,
    },
    /// A run has done an epoch.
    EpochEnded {
        /// The run.
        run: &'a RunSpec,
        /// Its losses and metrics.
        record: &'a EpochRecord,
    },
    /// A run has yielded a member.
    MemberTaken {
        /// The run.
        run: &'a RunSpec,
        /// 0 for the run's first member.
        index: usize,
    },
    /// A run is over.
    RunFinished {
        /// The run.
        run: &'a RunSpec,
        /// Epochs it did; fewer than planned when it stopped early.
        epochs: u64,
        /// Epochs it was expected to do, as far as the learner tells.
        planned: u64,
        /// How long it took.
        elapsed: Duration,
    },
    /// The build is over.
    BuildFinished,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop the build; what is finished stays in the store.
    Stop,
}

/// Is told of each event, from whatever thread it happens on.
///
/// ```
/// use candle_ensemble::observe::{Event, Flow, Observer};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// /// Stops a build after so many epochs in all.
/// struct Budget(AtomicU32);
/// impl Observer for Budget {
///     fn notify(&self, event: &Event<'_>) -> Flow {
///         match event {
///             Event::EpochEnded { .. } if self.0.fetch_sub(1, Ordering::Relaxed) <= 1 => Flow::Stop,
///             _ => Flow::Continue,
///         }
///     }
/// }
/// ```
pub trait Observer: Sync {
    /// Called at each event. [`Flow::Stop`] ends the build with [`Error::Cancelled`](crate::Error::Cancelled).
    fn notify(&self, event: &Event<'_>) -> Flow;
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn notify(&self, _: &Event<'_>) -> Flow {
        Flow::Continue
    }
}

/// Several observers: each is told, in order; one that asks to stop stops the build.
impl Observer for [&dyn Observer] {
    fn notify(&self, event: &Event<'_>) -> Flow {
        let flows = self.iter().map(|observer| observer.notify(event));
        flows.fold(Flow::Continue, |all, one| if one == Flow::Stop { Flow::Stop } else { all })
    }
}

impl<const N: usize> Observer for [&dyn Observer; N] {
    fn notify(&self, event: &Event<'_>) -> Flow {
        self.as_slice().notify(event)
    }
}

/// Tells [`tracing`] of each event: builds and runs at level info, epochs and members at debug.
///
/// ```no_run
/// use candle_ensemble::{observe::{Observer, Tracing}, ProgressBar};
///
/// let bar = ProgressBar::new(1);
/// let both: [&dyn Observer; 2] = [&Tracing, &bar];
/// // Session::new(&learner, &data).observer(&both).train(&plan)?;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing;

impl Observer for Tracing {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::BuildStarted { runs, finished, epochs } => {
                tracing::info!(runs, finished, epochs, "build started");
            }
            Event::RunStarted { run } => {
                tracing::info!(
                    run = run.id,
                    architecture = run.architecture,
                    rows = run.train.len(),
                    "run started"
                );
            }
            Event::Resumed { run, epoch } => tracing::info!(run = run.id, epoch, "run resumed"),
            Event::EpochEnded { run, record } => tracing::debug!(
                run = run.id,
                epoch = record.epoch,
                learning_rate = record.learning_rate,
                train_loss = record.train_loss,
                valid_loss = record.valid_loss,
                "epoch ended"
            ),
            Event::MemberTaken { run, index } => tracing::debug!(run = run.id, index, "member taken"),
            Event::RunFinished { run, epochs, elapsed, .. } => {
                tracing::info!(run = run.id, epochs, seconds = elapsed.as_secs_f64(), "run finished");
            }
            Event::BuildFinished => tracing::info!("build finished"),
        }
        Flow::Continue
    }
}
