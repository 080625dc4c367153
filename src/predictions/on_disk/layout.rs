//! The layout of a file of held-out predictions.
//!
//! A line says what the file is. Then come chunks of rows, each at a multiple of 4096 bytes: the predictions slot by
//! slot, `(S, R, C)`, the coverage `(S, R)` if some are missing, and the targets, weights, groups and numbers of the
//! rows, all little-endian. The [`Index`] at the end says where each chunk is and has its hashes; it is an envelope with a
//! hash of its own, followed by its length.
use crate::{
    data::Task,
    files::{
        envelope,
        header::{identifier, wrong_kind, FormatError},
    },
    Seed,
};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What the file is.
const KIND: &str = "held-out predictions";
const INDEX: &str = "index of held-out predictions";
/// Chunks begin at multiples of this, where pages of memory begin.
pub(super) const ALIGN: u64 = 4096;
/// Sections of a chunk begin at multiples of this, where any number may begin.
const NUMBER: usize = 8;
/// The size of the last field, the length of the index.
const LENGTH: usize = 8;

pub(super) type Hash = [u8; 32];

/// What the file holds, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) task: Task,
    /// Whether predictions are f64; otherwise they are f32.
    pub(super) wide: bool,
    pub(super) names: Vec<String>,
    /// Whether the predictions themselves have these names.
    pub(super) named: bool,
    pub(super) costs: Vec<f64>,
    pub(super) seed: Seed,
    /// The number of rows of the data set, or of all parts, with or without held-out predictions.
    pub(super) total_rows: usize,
    pub(super) weighted: bool,
    pub(super) grouped: bool,
    /// The number of rows that each slot predicts.
    pub(super) counts: Vec<u64>,
    pub(super) chunks: Vec<Chunk>,
}

/// Some rows, one after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// The position of its first byte.
    pub(super) start: u64,
    pub(super) rows: usize,
    /// Whether some predictions are missing.
    pub(super) partial: bool,
    /// The sum of the weights of its rows.
    pub(super) weight: f64,
    /// The hash of the hashes of the slots' predictions, with their coverage.
    pub(super) predictions: Hash,
    /// The hash of targets, weights, groups and numbers.
    pub(super) about_rows: Hash,
}

/// Where the parts of a chunk are, from its first byte on.
#[derive(Clone, Debug)]
pub(super) struct Sections {
    pub(super) values: Range<usize>,
    pub(super) covered: Range<usize>,
    pub(super) targets: Range<usize>,
    pub(super) weights: Range<usize>,
    pub(super) groups: Range<usize>,
    pub(super) numbers: Range<usize>,
}

impl Index {
    pub(super) fn slots(&self) -> usize {
        self.names.len()
    }

    /// The size of a prediction in bytes.
    pub(super) fn size(&self) -> usize {
        if self.wide {
            8
        } else {
            4
        }
    }

    /// The sections of a chunk of so many rows; `None` where their sizes are no numbers of this machine.
    pub(super) fn sections(&self, rows: usize, partial: bool) -> Option<Sections> {
        let of_slot = rows.checked_mul(self.task.width())?.checked_mul(self.size())?;
        let target = match self.task {
            Task::Classification { .. } => 4,
            Task::Regression { outputs } => outputs.checked_mul(8)?,
        };
        let mut end = 0usize;
        let mut section = |bytes: usize| {
            let start = end.checked_next_multiple_of(NUMBER)?;
            end = start.checked_add(bytes)?;
            Some(start..end)
        };
        let some = |has: bool, size: usize| if has { rows.checked_mul(size) } else { Some(0) };
        Some(Sections {
            values: section(of_slot.checked_mul(self.slots())?)?,
            covered: section(some(partial, 4)?.checked_mul(self.slots())?)?,
            targets: section(rows.checked_mul(target)?)?,
            weights: section(some(self.weighted, 8)?)?,
            groups: section(some(self.grouped, 4)?)?,
            numbers: section(rows.checked_mul(4)?)?,
        })
    }
}

impl Sections {
    /// The size of the chunk.
    pub(super) fn size(&self) -> usize {
        self.numbers.end
    }

    /// The bytes of what is known of the rows.
    pub(super) fn about_rows(&self) -> Range<usize> {
        self.targets.start..self.numbers.end
    }
}

/// The bytes before the first chunk.
pub(super) fn opening() -> Vec<u8> {
    let mut opening = format!("{}\n", identifier(KIND)).into_bytes();
    opening.resize(ALIGN as usize, 0);
    opening
}

/// The bytes after the last chunk.
pub(super) fn closing(index: &[u8]) -> Vec<u8> {
    let mut envelope = envelope::wrap(INDEX, index);
    let length = envelope.len() as u64;
    envelope.extend(length.to_le_bytes());
    envelope
}

/// The bytes of the index of a file, and where they end the chunks.
pub(super) fn index(file: &[u8]) -> Result<(&[u8], usize), FormatError> {
    if !file.starts_with(format!("{}\n", identifier(KIND)).as_bytes()) {
        return Err(wrong_kind(file, KIND));
    }
    let short = || FormatError::Damaged("its end is missing".into());
    let (rest, length) = file.split_last_chunk::<LENGTH>().ok_or_else(short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
    let start = rest.len().checked_sub(length).ok_or_else(short)?;
    match envelope::unwrap(INDEX, &rest[start..]) {
        Ok(index) => Ok((index, start)),
        Err(FormatError::Foreign(_)) => Err(short()),
        Err(e) => Err(e),
    }
}

/// The hash of a slot's part of a chunk.
pub(super) fn hash_of_slot(values: &[u8], covered: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(values).update(covered);
    *hasher.finalize().as_bytes()
}

/// The hash of a chunk's predictions from those of its slots.
pub(super) fn hash_of_slots(slots: impl IntoIterator<Item = Hash>) -> Hash {
    let mut hasher = blake3::Hasher::new();
    slots.into_iter().for_each(|hash| {
        hasher.update(&hash);
    });
    *hasher.finalize().as_bytes()
}
