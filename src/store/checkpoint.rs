//! The state of a run that is under way, so that it can go on where it was interrupted.
use crate::{
    files::{header::Fault, read_tensors, tensors::Layout},
    store::EpochRecord,
    weights::Weights,
    Error, Result,
};
use candle_core::{Device, Tensor};

/// How often the state of a run is kept: weights, buffers, learning curve, and what the learner adds (the ready-made
/// trainer: the optimizer's state and early stopping's). The order of rows and the learning rate follow from the
/// epoch's number alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Checkpoints {
    /// Not at all: an interrupted run starts anew.
    Never,
    /// After every so many epochs, at least 1.
    Epochs(usize),
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

/// What a run under way needs to go on: its learning curve, its weights, and what its learner adds.
///
/// The tensors may still be the run's own, which change when it goes on: a store writes them out, or copies them,
/// before [`Store::put_checkpoint`](crate::store::Store::put_checkpoint) returns.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(crate) curve: Vec<EpochRecord>,
    pub(crate) weights: Weights,
    pub(crate) state: LoopState,
}

/// What a training loop adds to a checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoopState {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tensors: Weights,
}

impl From<Vec<u8>> for LoopState {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

/// Where the parts of a checkpoint stand among the tensors of its file.
const WEIGHTS: &str = "weights/";
const STATE: &str = "state/";
const BYTES: &str = "bytes";

impl Checkpoint {
    /// Of a run with this learning curve and these weights, on the CPU; `state` is what its loop adds.
    #[must_use]
    pub fn new(curve: Vec<EpochRecord>, weights: Weights, state: Vec<u8>) -> Self {
        Self { curve, weights, state: state.into() }
    }

    /// The epoch to go on with.
    #[must_use]
    pub fn epoch(&self) -> usize {
        self.curve.last().map_or(0, |record| record.epoch.saturating_add(1))
    }

    /// One safetensors buffer, with a hash of it all in the header. `key` is the store's, and part of it.
    ///
    /// # Errors
    /// When a tensor has a type that safetensors lacks.
    pub fn to_bytes(&self, key: &str) -> Result<Vec<u8>> {
        self.layout(key)?.to_bytes()
    }

    /// The inverse of [`Checkpoint::to_bytes`]. Bytes of any origin are safe to hand in.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the bytes are not what was written, [`Error::Foreign`] when they are something else,
    /// or of another key.
    pub fn from_bytes(key: &str, bytes: &[u8]) -> Result<Self> {
        Self::read(key, bytes).map_err(|fault| fault.of("the checkpoint"))
    }

    /// Writes what [`Checkpoint::to_bytes`] gives, one tensor in memory at a time.
    pub(crate) fn layout(&self, key: &str) -> Result<Layout> {
        let named = |prefix: &'static str, tensors: &Weights| {
            let name = move |(name, tensor): (&String, &Tensor)| (format!("{prefix}{name}"), tensor.clone());
            tensors.iter().map(name).collect::<Vec<_>>()
        };
        let bytes = Tensor::from_slice(&self.state.bytes, self.state.bytes.len(), &Device::Cpu)?;
        let all = named(WEIGHTS, &self.weights).into_iter().chain(named(STATE, &self.state.tensors));
        let curve = serde_json::to_string(&self.curve)
            .map_err(|e| Error::invalid("the learning curve", "serializable", e))?;
        Layout::new(&kind(key), &curve, all.chain([(BYTES.to_string(), bytes)]))
    }

    pub(crate) fn read(key: &str, bytes: &[u8]) -> Result<Self, Fault> {
        let content = read_tensors(&kind(key), bytes)?;
        let curve: Vec<EpochRecord> = serde_json::from_str(&content.about)
            .map_err(|e| Fault::foreign(format!("its learning curve: {e}")))?;
        let (mut weights, mut state) = (Weights::new(), LoopState::default());
        for (name, tensor) in content.tensors {
            if let Some(name) = name.strip_prefix(WEIGHTS) {
                weights.insert(name.into(), tensor);
            } else if let Some(name) = name.strip_prefix(STATE) {
                state.tensors.insert(name.into(), tensor);
            } else if name == BYTES {
                state.bytes = tensor.to_vec1().map_err(|e| Fault::foreign(format!("its {name}: {e}")))?;
            } else {
                return Err(Fault::foreign(format!("it has a tensor {name:?}")));
            }
        }
        Ok(Self { curve, weights, state })
    }
}

fn kind(key: &str) -> String {
    format!("checkpoint of {key}")
}

/// The key of a run's checkpoint.
pub(crate) fn key(member_key: &str) -> String {
    format!("{member_key}-checkpoint")
}
