//! Executors: which runs of a plan train in this process, and how many at a time.
//!
//! [`Threads`] trains several runs in parallel, each on one core. [`Sequential`] trains one after the other,
//! for large networks or a GPU. [`Stacked`] trains several runs side by side in one graph, for small networks.
//! [`Shard`] trains a part of the plan, for job arrays. The results do not depend on the executor.
//!
//! A [`Worker`] is a process that takes the next run from the store, until all are done, beside others that do the same.
mod devices;
mod sequential;
mod shard;
mod stacked;
mod threads;
pub(crate) mod worker;

pub(crate) use devices::Devices;
pub use sequential::Sequential;
pub use shard::Shard;
pub use stacked::Stacked;
pub use threads::Threads;
pub use worker::Worker;

use crate::{plan::RunSpec, Error, Result};
use candle_core::Device;

/// The function that an executor calls for each run.
pub type Job<'a> = dyn Fn(&RunSpec) -> Result<()> + Sync + 'a;

/// The function that an executor calls for a group of runs, which it trains side by side where that is possible. It returns
/// the outcome of each run, in their order.
pub type GroupJob<'a> = dyn Fn(&[&RunSpec]) -> Vec<Result<()>> + Sync + 'a;

/// Decides which runs train in this process, and how many at a time.
pub trait Executor: Sync {
    /// Calls `job` once for each run that this process is responsible for.
    ///
    /// After a run fails, the other runs are still executed, and the error of the first failed run in plan
    /// order is returned, so that it does not depend on timing. Only a cancelled build stops at once.
    ///
    /// # Errors
    /// The error of the first failed run in plan order.
    fn execute(&self, runs: &[&RunSpec], job: &Job<'_>) -> Result<()>;

    /// Calls `job` for groups of runs that together are those that this process is responsible for. A session calls this
    /// method. By default each run is a group of its own.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    fn execute_groups(&self, runs: &[&RunSpec], job: &GroupJob<'_>) -> Result<()> {
        self.execute(runs, &|run| job(&[run]).into_iter().collect())
    }

    /// The runs among these that this process is responsible for. A [`Worker`] takes only runs among them. The default is
    /// that it is responsible for all.
    fn share<'r>(&self, runs: &[&'r RunSpec]) -> Vec<&'r RunSpec> {
        runs.to_vec()
    }
}

/// The executor where none is given: one run on each core of the CPU, and on a GPU one run after the other.
pub(crate) fn default_for(device: &Device) -> Box<dyn Executor> {
    match device {
        Device::Cpu => Box::new(Threads::all_cores()),
        _ => Box::new(Sequential),
    }
}

/// The executor for several devices where none is given: one worker for each of them.
pub(crate) fn default_for_devices(first: &Device, others: &[Device]) -> Box<dyn Executor> {
    match others.len() {
        0 => default_for(first),
        others => Box::new(Threads::one_for_each(1 + others)),
    }
}

/// The first error in plan order; a cancellation precedes all others.
fn first_error(mut errors: Vec<(usize, Error)>) -> Result<()> {
    errors.sort_by_key(|(position, e)| (!matches!(e, Error::Cancelled { .. }), *position));
    errors.into_iter().next().map_or(Ok(()), |(_, e)| Err(e))
}
