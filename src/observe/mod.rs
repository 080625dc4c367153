//! Events of a build, for progress bars, logs and early stops.
//!
//! A [`Session`](crate::Session) notifies its [`Observer`] of each [`Event`], on the thread where it happens;
//! the answer [`Flow::Stop`] cancels the build. [`Tracing`] logs the events, and
//! [`ProgressBar`] (feature `progress`) draws them.
#[cfg(feature = "progress")]
mod progress;
mod run_times;

#[cfg(feature = "progress")]
#[cfg_attr(docsrs, doc(cfg(feature = "progress")))]
pub use progress::ProgressBar;
pub use run_times::RunTimes;

use crate::{plan::RunSpec, store::EpochRecord};
use std::time::Duration;

/// An event of a build.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A build starts.
    BuildStarted {
        /// Number of runs in the plan.
        runs: usize,
        /// Number of runs whose members are already in the store.
        finished: usize,
        /// Epochs of the remaining runs together, as the learner expects them.
        epochs: usize,
        /// Epochs of all runs together, as the learner expects them.
        planned: usize,
    },
    /// A run starts.
    RunStarted {
        /// The run.
        run: &'a RunSpec,
    },
    /// A run resumes from a checkpoint.
    Resumed {
        /// The run.
        run: &'a RunSpec,
        /// The first epoch after the checkpoint.
        epoch: usize,
    },
    /// A run is trained side by side with others in one graph ([`exec::Stacked`](crate::exec::Stacked)).
    Stacked {
        /// The run.
        run: &'a RunSpec,
        /// Number of runs in the graph.
        members: usize,
    },
    /// A run that should have been trained side by side with others is trained on its own.
    NotStacked {
        /// The run.
        run: &'a RunSpec,
        /// Why.
        reason: &'a str,
    },
    /// A run has finished an epoch.
    EpochEnded {
        /// The run.
        run: &'a RunSpec,
        /// Its losses and metrics.
        record: &'a EpochRecord,
    },
    /// A member has been collected from a run and stored.
    MemberCollected {
        /// The run.
        run: &'a RunSpec,
        /// Number of the member within its run, from 0.
        index: usize,
    },
    /// A run is finished.
    RunFinished {
        /// The run.
        run: &'a RunSpec,
        /// Epochs that it trained; fewer than planned where it stopped early.
        epochs: usize,
        /// Epochs that the learner expected.
        planned: usize,
        /// How long it took.
        elapsed: Duration,
    },
    /// A [worker](crate::exec::Worker) takes over a run that another one began: its lease has expired, or it gave the run
    /// back.
    TakenOver {
        /// The run.
        run: &'a RunSpec,
        /// Name of the other worker.
        worker: &'a str,
        /// Number of epochs that the other had finished at its last heartbeat. The run resumes from its last checkpoint.
        epoch: usize,
    },
    /// A worker leaves a run after an epoch, because another one has taken it over.
    LeaseLost {
        /// The run.
        run: &'a RunSpec,
    },
    /// A worker has found out that others have finished runs.
    FinishedElsewhere {
        /// Number of these runs.
        runs: usize,
        /// Their epochs together, as the learner expects them, without those that were trained in this process.
        epochs: usize,
    },
    /// A worker waits, because others train all runs that are left. It is sent twice a second at least.
    Waiting {
        /// Number of these runs.
        under_way: usize,
    },
    /// The build is finished.
    BuildFinished,
    /// An ensemble, or the pool of a study, has predicted rows of a data set.
    RowsPredicted {
        /// Number of rows that are predicted.
        rows: usize,
        /// Number of rows to predict.
        of: usize,
    },
}

/// Whether a build or a prediction goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop. Finished members and checkpoints of a build stay in the store.
    Stop,
}

/// Receives the events of a build, on whatever thread each of them happens.
///
/// ```
/// use candle_ensemble::observe::{Event, Flow, Observer};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// /// Stops a build after a number of epochs over all runs.
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
    /// Called for each event. [`Flow::Stop`] ends a build with
    /// [`Error::Cancelled`](crate::Error::Cancelled), and a prediction with
    /// [`Error::Stopped`](crate::Error::Stopped).
    fn notify(&self, event: &Event<'_>) -> Flow;
}

/// An observer that does nothing: the default of a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn notify(&self, _: &Event<'_>) -> Flow {
        Flow::Continue
    }
}

/// Several observers: each is notified, in order. The build stops if any of them returns [`Flow::Stop`].
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

/// Logs each event with [`tracing`]: builds and runs at level info, epochs and members at level debug.
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
            Event::BuildStarted { runs, finished, epochs, .. } => {
                tracing::info!(runs, finished, epochs, "build started");
            }
            Event::RunStarted { run } => {
                tracing::info!(
                    run = run.id,
                    architecture = run.architecture,
                    rows = run.train.len().unwrap_or_default(),
                    "run started"
                );
            }
            Event::Resumed { run, epoch } => tracing::info!(run = run.id, epoch, "run resumed"),
            Event::Stacked { run, members } => tracing::info!(run = run.id, members, "run stacked"),
            Event::NotStacked { run, reason } => tracing::info!(run = run.id, reason, "run not stacked"),
            Event::EpochEnded { run, record } => tracing::debug!(
                run = run.id,
                epoch = record.epoch,
                learning_rate = record.learning_rate,
                train_loss = record.train_loss,
                valid_loss = record.valid_loss,
                "epoch ended"
            ),
            Event::MemberCollected { run, index } => tracing::debug!(run = run.id, index, "member collected"),
            Event::RunFinished { run, epochs, elapsed, .. } => {
                tracing::info!(run = run.id, epochs, seconds = elapsed.as_secs_f64(), "run finished");
            }
            Event::TakenOver { run, worker, epoch } => {
                tracing::info!(run = run.id, worker, epoch, "run taken over");
            }
            Event::LeaseLost { run } => tracing::info!(run = run.id, "lease lost"),
            Event::FinishedElsewhere { runs, epochs } => tracing::info!(runs, epochs, "finished elsewhere"),
            Event::Waiting { under_way } => tracing::debug!(under_way, "waiting for other workers"),
            Event::BuildFinished => tracing::info!("build finished"),
            Event::RowsPredicted { rows, of } => tracing::debug!(rows, of, "rows predicted"),
        }
        Flow::Continue
    }
}
