//! One run after the other.
use crate::{
    exec::{first_error, Executor, Job},
    plan::RunSpec,
    Error, Result,
};

/// Trains one run after the other on the calling thread: for large networks that use all cores, or for a GPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequential;

impl Executor for Sequential {
    fn execute(&self, runs: &[&RunSpec], job: &Job<'_>) -> Result<()> {
        let mut errors = vec![];
        for (position, run) in runs.iter().enumerate() {
            if let Err(e) = job(run) {
                let cancelled = matches!(e, Error::Cancelled { .. });
                errors.push((position, e));
                if cancelled {
                    break;
                }
            }
        }
        first_error(errors)
    }
}
