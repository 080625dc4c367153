//! The state of a run that is under way, so that it can go on where it was interrupted.
use crate::{
    codec,
    init::Vars,
    member::{EpochRecord, Weights},
    store::Store,
    Error, Result,
};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How often the state of a run is kept: weights, buffers, learning curve, and what the learner adds (the ready-made
/// trainer: the optimizer's state and early stopping's). The order of rows and the learning rate follow from the
/// epoch's number alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Checkpoints {
    /// Not at all: an interrupted run starts anew.
    Never,
    /// After every so many epochs, at least 1.
    Epochs(u32),
    /// At the end of the first epoch after so many minutes, 0 or more.
    Minutes(f64),
}

impl Default for Checkpoints {
    /// Every five minutes.
    fn default() -> Self {
        Self::Minutes(5.)
    }
}

impl Checkpoints {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Epochs(0) => Err(Error::invalid("epochs between checkpoints", "at least 1", 0)),
            Self::Minutes(m) if !(m >= 0. && m.is_finite()) => {
                Err(Error::invalid("minutes between checkpoints", "0 or more", m))
            }
            _ => Ok(()),
        }
    }
}

/// What is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The epoch to go on with.
    pub(crate) epoch: u32,
    pub(crate) curve: Vec<EpochRecord>,
    /// A safetensors buffer.
    weights: Vec<u8>,
    /// The learner's own.
    pub(crate) state: Vec<u8>,
}

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
        let Some(bytes) = self.store.checkpoint(&self.key)? else { return Ok(None) };
        let checkpoint: Checkpoint = codec::decode(&bytes)
            .map_err(|why| Error::Foreign { what: format!("the checkpoint {}", self.key), why })?;
        vars.load(&weights_of(&checkpoint.weights)?)?;
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

    pub(crate) fn keep(&mut self, vars: &Vars, curve: &[EpochRecord], state: Vec<u8>) -> Result<()> {
        let epoch = curve.last().map_or(0, |record| record.epoch + 1);
        let weights = bytes_of(&vars.snapshot()?)?;
        let bytes = codec::encode(&Checkpoint { epoch, curve: curve.to_vec(), weights, state })?;
        self.store.put_checkpoint(&self.key, &bytes)?;
        self.last = Instant::now();
        Ok(())
    }
}

/// The key of a run's checkpoint.
pub(crate) fn key(member_key: &str) -> String {
    format!("{member_key}-checkpoint")
}

pub(crate) fn bytes_of(weights: &Weights) -> Result<Vec<u8>> {
    safetensors::serialize(weights, None).map_err(|e| candle_core::Error::from(e).into())
}

pub(crate) fn weights_of(bytes: &[u8]) -> Result<Weights> {
    Ok(candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?.into_iter().collect())
}
