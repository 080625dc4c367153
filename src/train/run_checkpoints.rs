//! Reading and writing the checkpoints of one run.
use crate::{
    store::{checkpoint::LoopState, Checkpoint, Checkpoints, EpochRecord, Store},
    weights::Vars,
    Result,
};
use std::time::{Duration, Instant};

/// Reads and writes the checkpoints of one run, in a store, under one key.
pub(crate) struct RunCheckpoints<'a> {
    store: &'a dyn Store,
    key: String,
    interval: Checkpoints,
    /// When the last checkpoint was written, or when the run started.
    last: Instant,
}

impl<'a> RunCheckpoints<'a> {
    pub(crate) fn new(store: &'a dyn Store, key: String, interval: Checkpoints) -> Self {
        Self { store, key, interval, last: Instant::now() }
    }

    /// The run's last checkpoint, if there is one. Its weights are loaded into `vars`.
    pub(crate) fn restore(&self, vars: &Vars) -> Result<Option<Checkpoint>> {
        let Some(mut checkpoint) = self.store.checkpoint(&self.key)? else { return Ok(None) };
        vars.load(&std::mem::take(&mut checkpoint.weights))?;
        Ok(Some(checkpoint))
    }

    /// Whether a checkpoint is due after `epochs` epochs. The clock affects when checkpoints are written, and
    /// never what the run computes.
    pub(crate) fn is_due(&self, epochs: usize) -> bool {
        match self.interval {
            Checkpoints::Never => false,
            Checkpoints::Epochs(n) => epochs.is_multiple_of(n.max(1)),
            Checkpoints::Minutes(m) => self.last.elapsed() >= Duration::from_secs_f64(60. * m),
        }
    }

    pub(crate) fn write(&mut self, vars: &Vars, curve: &[EpochRecord], state: LoopState) -> Result<()> {
        let weights = vars.named().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
        let checkpoint = Checkpoint { curve: curve.to_vec(), weights, state };
        self.store.put_checkpoint(&self.key, &checkpoint)?;
        self.last = Instant::now();
        Ok(())
    }
}
