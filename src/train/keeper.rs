//! Writes and reads the checkpoints of one run.
use crate::{
    store::{checkpoint::LoopState, Checkpoint, Checkpoints, EpochRecord, Store},
    weights::Vars,
    Result,
};
use std::time::{Duration, Instant};

/// Keeps the checkpoints of one run.
pub(crate) struct Keeper<'a> {
    store: &'a dyn Store,
    key: String,
    often: Checkpoints,
    last: Instant,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(store: &'a dyn Store, key: String, often: Checkpoints) -> Self {
        Self { store, key, often, last: Instant::now() }
    }

    /// Where the run was, with its weights put back.
    pub(crate) fn restore(&self, vars: &Vars) -> Result<Option<Checkpoint>> {
        let Some(mut checkpoint) = self.store.checkpoint(&self.key)? else { return Ok(None) };
        vars.load(&std::mem::take(&mut checkpoint.weights))?;
        Ok(Some(checkpoint))
    }

    /// Whether a checkpoint is due when this many epochs are done. The clock decides when, never what.
    pub(crate) fn due(&self, done: usize) -> bool {
        match self.often {
            Checkpoints::Never => false,
            Checkpoints::Epochs(n) => done.is_multiple_of(n.max(1) as usize),
            Checkpoints::Minutes(m) => self.last.elapsed() >= Duration::from_secs_f64(60. * m),
        }
    }

    pub(crate) fn keep(&mut self, vars: &Vars, curve: &[EpochRecord], state: LoopState) -> Result<()> {
        let weights = vars.named().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
        let checkpoint = Checkpoint { curve: curve.to_vec(), weights, state };
        self.store.put_checkpoint(&self.key, &checkpoint)?;
        self.last = Instant::now();
        Ok(())
    }
}
