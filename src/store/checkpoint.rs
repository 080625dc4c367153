//! Checkpoints: the state of an unfinished run, from which it resumes.
use crate::{
    files::{header::FormatError, read_tensors, tensors::TensorFile},
    store::EpochRecord,
    weights::Weights,
    Error, Result,
};
use candle_core::{Device, Tensor};

/// How often the state of an unfinished run is written to the store.
///
/// The state is the weights, the buffers, the learning curve, and what the learner adds: with the ready-made
/// trainer the state of the optimizer and of early stopping. The order of rows and the learning rate follow
/// from the number of the epoch alone, so a resumed run gives the same bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Checkpoints {
    /// Never: an interrupted run starts again from its first epoch.
    Never,
    /// Each time this many epochs are finished, at least 1.
    Epochs(usize),
    /// At the end of the first epoch after this many minutes, 0 or more.
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

/// The state of an unfinished run: its learning curve, its weights, and what its learner adds.
///
/// The tensors may be those of the running network, which change when training goes on. So a store writes or
/// copies them before [`Store::put_checkpoint`](crate::store::Store::put_checkpoint) returns.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(crate) curve: Vec<EpochRecord>,
    pub(crate) weights: Weights,
    pub(crate) state: LoopState,
}

/// The part of a checkpoint that the training loop adds.
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

/// The names of the parts of a checkpoint among the tensors of its file.
const WEIGHTS: &str = "weights/";
const STATE: &str = "state/";
const BYTES: &str = "bytes";

impl Checkpoint {
    /// The checkpoint of a run with this learning curve and these weights, on the CPU; `state` is what its
    /// training loop adds.
    #[must_use]
    pub fn new(curve: Vec<EpochRecord>, weights: Weights, state: Vec<u8>) -> Self {
        Self { curve, weights, state: state.into() }
    }

    /// The epoch at which the run resumes.
    #[must_use]
    pub fn epoch(&self) -> usize {
        self.curve.last().map_or(0, |record| record.epoch.saturating_add(1))
    }

    /// The checkpoint as one safetensors buffer, with a hash of all of it in the header. `key` is its key in
    /// the store and part of the buffer.
    ///
    /// # Errors
    /// When a tensor has a type that safetensors lacks.
    pub fn to_bytes(&self, key: &str) -> Result<Vec<u8>> {
        self.to_file(key)?.to_bytes()
    }

    /// Reads what [`Checkpoint::to_bytes`] returns. Bytes of any origin are safe to read.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the bytes have changed since they were written, [`Error::Foreign`] when they
    /// are something else or belong to another key.
    pub fn from_bytes(key: &str, bytes: &[u8]) -> Result<Self> {
        Self::read(key, bytes).map_err(|error| error.of("the checkpoint"))
    }

    /// The checkpoint as a file, which is written one tensor at a time.
    pub(crate) fn to_file(&self, key: &str) -> Result<TensorFile> {
        let named = |prefix: &'static str, tensors: &Weights| {
            let name = move |(name, tensor): (&String, &Tensor)| (format!("{prefix}{name}"), tensor.clone());
            tensors.iter().map(name).collect::<Vec<_>>()
        };
        let bytes = Tensor::from_slice(&self.state.bytes, self.state.bytes.len(), &Device::Cpu)?;
        let all = named(WEIGHTS, &self.weights).into_iter().chain(named(STATE, &self.state.tensors));
        let curve = serde_json::to_string(&self.curve)
            .map_err(|e| Error::invalid("the learning curve", "serializable", e))?;
        TensorFile::new(&kind(key), &curve, all.chain([(BYTES.to_string(), bytes)]))
    }

    pub(crate) fn read(key: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let content = read_tensors(&kind(key), bytes)?;
        let curve: Vec<EpochRecord> = serde_json::from_str(&content.description)
            .map_err(|e| FormatError::foreign(format!("its learning curve: {e}")))?;
        let (mut weights, mut state) = (Weights::new(), LoopState::default());
        for (name, tensor) in content.tensors {
            if let Some(name) = name.strip_prefix(WEIGHTS) {
                weights.insert(name.into(), tensor);
            } else if let Some(name) = name.strip_prefix(STATE) {
                state.tensors.insert(name.into(), tensor);
            } else if name == BYTES {
                state.bytes =
                    tensor.to_vec1().map_err(|e| FormatError::foreign(format!("its {name}: {e}")))?;
            } else {
                return Err(FormatError::foreign(format!("it has an unknown tensor {name:?}")));
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
