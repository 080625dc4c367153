//! Workers: processes that take the next run of a plan from the store.
mod engine;
mod held;
mod picker;
#[cfg(test)]
mod tests;

pub(crate) use engine::{work, Task};
pub(crate) use held::LeaseObserver;
pub(crate) use picker::Candidate;

use crate::{store::lease::Holder, Error, Result};
use std::time::Duration;

/// The shortest time after which leases may expire.
const SHORTEST: Duration = Duration::from_millis(100);

/// A process that takes one run after the other from the store that it shares with others, until all runs of the plan are
/// done. [`Session::worker`](crate::Session::worker) makes a session one.
///
/// Workers balance themselves: a fast machine takes more runs than a slow one, workers may join at any time and end at any
/// time, and the runs of a worker that has died are taken over by others, from their checkpoints. Use them where machines
/// differ, where they may be taken away (spot instances, preemptible queues), or where runs take different times.
/// [`Shard`](crate::exec::Shard)s fix beforehand which process trains which run, and cost the store nothing. A shard as the
/// executor of a worker restricts it to the runs of that shard.
///
/// The result does not depend on the workers. It has the bytes of a build in one process, also where two workers train the
/// same run, because both put the same bytes.
///
/// # Leases
/// A worker claims a run with a lease, a blob beside the members of the [store](crate::store::Store::blobs). A thread of its
/// own writes a heartbeat into it five times per [expiry](Self::expiry), however long an epoch takes. Others take the run
/// over when they have seen no change of it for the expiry. They measure with their own clocks, so the clocks of the
/// machines need not agree. A heartbeat that cannot be written is tried again and does not end the training, and a worker
/// that cannot reach the store when it needs a run tries that again for five times the expiry. A worker that has lost a
/// lease, because it was suspended or cut off from the store, leaves that run after its current epoch.
///
/// # Failures
/// An error in a run, such as a loss that diverges, is written to the store, and no worker tries the run again, unless
/// [`attempts`](Self::attempts) allows it. An error of reading or writing ([`Error::Io`]) is that of a machine: this worker
/// does not try the run again, but others do. A run whose workers die, one after the other and without a further epoch, counts
/// as failed ([`takeovers`](Self::takeovers)). Each worker trains the other runs and then returns the error of the first
/// failed run in plan order. A later build without a worker, or one that allows more attempts, trains failed runs again.
///
/// # Cost
/// A run costs the store a write and a removal of its lease and a look for each of its members; a heartbeat is a write and
/// two looks. The store is listed when the build starts and then seldom: when as many claims have met other workers as a list
/// has pages of 1000 names. In a simulation, 1000 workers with 100,000 runs of one length made 2.7 claims and read 2.6 pages
/// of lists for each run, and ended within one run of each other; 20 workers with 1000 runs made 1.3 claims and read 0.2 pages.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     data::TensorDataset, exec::{Threads, Worker}, store::DirectoryStore, strategy::Bagging, train::Trainer, Session,
/// };
///
/// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// # let data = TensorDataset::regression(&x, &x.sum(1)?)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let (store, two) = (DirectoryStore::new(folder)?, Threads::new(2)?);
/// let worker = Worker::new(); // in each process, on any machine that shares the store
/// let session = Session::new(&trainer, &data).store(&store).executor(&two).worker(&worker);
/// let plan = session.plan(&Bagging::new(5), 42)?;
/// session.build(&plan)?; // returns when all runs are done, whoever trained them
/// assert!(session.status(&plan)?.is_settled());
/// assert_eq!(session.load(&plan)?.members().len(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Worker {
    holder: Holder,
    expiry: Duration,
    wait: bool,
    attempts: usize,
    takeovers: usize,
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}

impl Worker {
    /// A worker with the name of this machine and process.
    #[must_use]
    pub fn new() -> Self {
        let host = hostname::get().map_or("unknown".into(), |name| name.to_string_lossy().into_owned());
        let pid = std::process::id();
        let holder = Holder { worker: format!("{host}-{pid}"), host, pid };
        Self { holder, expiry: Duration::from_secs(60), wait: true, attempts: 1, takeovers: 5 }
    }

    /// Sets the name that others see in [`Status`](crate::store::Status) and in errors, such as the job's. Two workers may
    /// have the same. The default is made of the names of the machine and the process.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.holder.worker = name.into();
        self
    }

    /// Sets the time without a heartbeat after which others take a run over, at least 0.1 seconds. The default is a minute.
    ///
    /// Let it be longer than the store may be slow or unreachable. A short time costs heartbeats, and runs that are begun
    /// twice; a long one costs idle time after a worker has died. Workers may have different expiries: what counts is that of
    /// the observer, so give all of them the same.
    #[must_use]
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.expiry = expiry;
        self
    }

    /// Sets whether the worker waits while no run is left to take and others still train some, to take over the runs of those
    /// that die. The default is to wait. A worker that does not wait ends then, takes over only runs that others gave back, and
    /// its [`Session::train`](crate::Session::train) reports the runs of the others as missing.
    #[must_use]
    pub fn wait(mut self, wait: bool) -> Self {
        self.wait = wait;
        self
    }

    /// Sets how often a run may fail, on all workers together, before it is given up; at least 1. The default is 1, because
    /// most errors of a run repeat: the training is deterministic.
    #[must_use]
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets how many workers in a row may die while they train a run before it is given up, at least 1, where none of them
    /// finished more epochs than those before. The default is 5. It keeps a run that needs too much memory from ending all
    /// workers. Workers that die after a further epoch are not counted.
    #[must_use]
    pub fn takeovers(mut self, takeovers: usize) -> Self {
        self.takeovers = takeovers;
        self
    }

    /// Checks the parameters.
    pub(crate) fn check(&self) -> Result<()> {
        if self.expiry < SHORTEST {
            let must = format!("at least {SHORTEST:?}");
            return Err(Error::invalid(
                "the expiry of a worker's leases",
                must,
                format!("{:?}", self.expiry),
            ));
        }
        for (what, number) in [("attempts", self.attempts), ("takeovers", self.takeovers)] {
            if number == 0 {
                return Err(Error::invalid(format!("the number of {what} of a worker"), "at least 1", 0));
            }
        }
        Ok(())
    }

    /// The time between two heartbeats, and between two looks at the leases of others.
    fn beat(&self) -> Duration {
        self.expiry / 5
    }
}
