//! Where runs happen; one place a file.
mod sequential;
mod shard;
mod threads;

pub use sequential::Sequential;
pub use shard::Shard;
pub use threads::Threads;

use crate::{plan::RunSpec, Error, Result};

/// What an executor calls for each run.
pub type Job<'a> = dyn Fn(&RunSpec) -> Result<()> + Sync + 'a;

/// Decides which runs happen here, and how many at a time.
pub trait Executor: Sync {
    /// Calls `job` once for each run that this process is responsible for.
    ///
    /// A run that fails does not keep the others from finishing; the error of the first in plan order is
    /// returned, so it does not depend on who was fastest. Only a cancelled build stops at once.
    ///
    /// # Errors
    /// The first run's that failed.
    fn execute(&self, runs: &[&RunSpec], job: &Job<'_>) -> Result<()>;
}

/// The first error in plan order; a cancellation counts before all others.
fn first_error(mut errors: Vec<(usize, Error)>) -> Result<()> {
    errors.sort_by_key(|(position, e)| (!matches!(e, Error::Cancelled { .. }), *position));
    errors.into_iter().next().map_or(Ok(()), |(_, e)| Err(e))
}
