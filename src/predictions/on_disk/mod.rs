//! Held-out predictions on disk, for tables that are larger than memory.
mod about_rows;
mod by_slot;
mod chunks;
mod layout;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use about_rows::AboutRows;
pub(crate) use by_slot::{About, SlotWriter};
pub use writer::HeldOutWriter;

use crate::{
    codec,
    data::Task,
    files::{failed, header::FormatError, map::Mapped},
    kernels::{bytes::numbers_of, float::Number},
    network::Scale,
    predictions::{HeldOut, Predictions, Targets},
    threads::wide,
    Error, Result, Seed,
};
use candle_core::{Device, Tensor};
use layout::{hash_of_slot, hash_of_slots, Chunk, Hash, Index, Sections};
use rayon::prelude::*;
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// The memory of rules that need all predictions at the same time, if nothing else is said.
const MEMORY: usize = 1 << 30;

/// Held-out predictions in a file, which need not fit in memory.
///
/// The file has chunks of rows. What is fitted on it reads one chunk after the other and gives its memory back
/// ([`Combiner::fit_on_disk`](crate::combine::Combiner::fit_on_disk)), so the memory is that of the rule and of a chunk:
///
/// | Rule | Passes over the file | Memory for `S` slots, `R` rows, `C` classes or outputs |
/// |---|---|---|
/// | [`Mean`](crate::combine::Mean) and others without anything to fit | none | none |
/// | [`InverseError`](crate::combine::InverseError) | 2 | `R` |
/// | [`SimplexSquares`](crate::combine::SimplexSquares) | 2; many where predictions are missing | `S² + R`; `R·C` for each of up to 17 searches where predictions are missing |
/// | [`SimplexLogLoss`](crate::combine::SimplexLogLoss) | 2, and many over the probabilities of the true classes, `S·R` on disk | `S² + R` |
/// | [`EnsembleSelection`](crate::combine::EnsembleSelection), log-loss | 2, and one for each step over the probabilities of the true classes, `S·R` on disk | `R` |
/// | [`EnsembleSelection`](crate::combine::EnsembleSelection), squared error or Brier score | 2 | `S² + R` |
/// | [`EnsembleSelection`](crate::combine::EnsembleSelection), another loss of rows, or where predictions are missing | one for each step | `R·C` |
/// | Stacks of [`Linear`](crate::combine::stack::Linear), and of [`Ridge`](crate::combine::stack::Ridge) and [`ElasticNet`](crate::combine::stack::ElasticNet) with a fixed penalty | 2 | `(S·C)²` |
///
/// All other rules, and penalties that are chosen by cross-validation, need the predictions in memory. They are read if they
/// take no more than a limit ([`with_memory`](Self::with_memory)), and refused otherwise.
///
/// [`Pool::held_out_on_disk`](crate::Pool::held_out_on_disk) makes a file from the records of the members.
/// [`HeldOutWriter`] writes predictions from elsewhere, part by part; the caller vouches that they are held out. Each chunk
/// has a hash, which is checked when it is first read. The file must not be changed while it is open; to replace it by
/// another one is harmless.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::*, data::TensorDataset, strategy::KFold, train::Trainer, Session};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("predictions.heldout");
/// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// # let data = TensorDataset::classification(x, &y)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
/// let pool = Session::new(&trainer, &data).fit(&KFold::new(4).repeats(3), 42)?;
/// let file = pool.held_out_on_disk(&path)?;
/// let ensemble = pool.combine_on_disk(&SimplexLogLoss::new(), &file)?;
/// println!("{:?}", file.metrics(ensemble.fitted())?);
/// # assert_eq!(ensemble.fitted().weights().unwrap().len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct HeldOutFile {
    path: PathBuf,
    mapped: Mapped,
    index: Index,
    places: Vec<Place>,
    memory: usize,
}

/// Where a chunk is, and what of it was found to be as it was written.
#[derive(Debug)]
struct Place {
    /// The number of rows before.
    first: usize,
    sections: Sections,
    predictions: AtomicBool,
    about_rows: AtomicBool,
}

/// One chunk of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkView<'a> {
    file: &'a HeldOutFile,
    chunk: &'a Chunk,
    place: &'a Place,
}

impl HeldOutFile {
    /// Opens a file of held-out predictions. Only its index is read.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Damaged`] when it is cut short or its index has changed, and
    /// [`Error::Foreign`] when it is another kind of file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let mapped = Mapped::open(&path).map_err(|source| failed(&path, source))?;
        let (index, places) = read_index(mapped.bytes()).map_err(|e| e.of(path.display()))?;
        Ok(Self { path, mapped, index, places, memory: MEMORY })
    }

    /// Sets how many bytes the predictions may take where a rule needs all of them in memory; 1 GiB by default.
    #[must_use]
    pub fn with_memory(self, bytes: usize) -> Self {
        Self { memory: bytes, ..self }
    }

    /// The bytes that the predictions may take where a rule needs all of them in memory.
    #[cfg(feature = "learned")]
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The task: classes or values, and how many.
    #[must_use]
    pub fn task(&self) -> Task {
        self.index.task
    }

    /// The number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.index.slots()
    }

    /// The number of rows with held-out predictions and a weight above 0.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.index.chunks.iter().map(|chunk| chunk.rows).sum()
    }

    /// The number of chunks of rows.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.index.chunks.len()
    }

    /// The number of rows of the data set, or of all parts, with or without held-out predictions.
    #[must_use]
    pub fn total_rows(&self) -> usize {
        self.index.total_rows
    }

    /// The names of the slots.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.index.names
    }

    /// What a prediction of each slot costs.
    #[must_use]
    pub fn costs(&self) -> &[f64] {
        &self.index.costs
    }

    /// The seed of combiners that draw at random and were given no seed of their own.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.index.seed
    }

    /// Whether some predictions are missing.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.index.chunks.iter().any(|chunk| chunk.partial)
    }

    /// Whether predictions are f64; otherwise they are f32.
    #[cfg(any(feature = "learned", test))]
    pub(crate) fn is_wide(&self) -> bool {
        self.index.wide
    }

    /// The number of rows that each slot predicts.
    #[cfg(any(feature = "learned", test))]
    pub(crate) fn counts(&self) -> &[u64] {
        &self.index.counts
    }

    /// The sum of the weights of all rows.
    #[cfg(any(feature = "learned", test))]
    pub(crate) fn total_weight(&self) -> f64 {
        self.index.chunks.iter().map(|chunk| chunk.weight).sum()
    }

    /// One chunk of rows, copied into memory: chunk `number` of [`chunks`](Self::chunks).
    ///
    /// # Errors
    /// When there is no such chunk, and [`Error::Damaged`] when it has changed since it was written.
    pub fn chunk(&self, number: usize) -> Result<HeldOut> {
        let must = || format!("below {}", self.chunks());
        let view = self.views().nth(number);
        let view = view.ok_or_else(|| Error::invalid("number of a chunk", must(), number))?;
        let all: Vec<usize> = (0..self.slots()).collect();
        self.read(&[view], &all, 1)
    }

    /// All rows, copied into memory.
    ///
    /// # Errors
    /// When the predictions take more bytes than [`with_memory`](Self::with_memory) allows, and [`Error::Damaged`] when a
    /// chunk has changed since it was written.
    pub fn load(&self) -> Result<HeldOut> {
        self.load_for("held-out predictions that are loaded")
    }

    /// All rows, for what is called `what` and needs them in memory.
    pub(crate) fn load_for(&self, what: &str) -> Result<HeldOut> {
        let bytes = self.index.size().saturating_mul(self.slots()).saturating_mul(self.task().width());
        let bytes = bytes.saturating_mul(self.rows());
        if bytes > self.memory {
            let must = format!(
                "at most {} bytes, the limit of HeldOutFile::with_memory, because it needs all predictions in memory",
                self.memory
            );
            return Err(Error::invalid(
                format!("the predictions for {what}"),
                must,
                format!("{bytes} bytes"),
            ));
        }
        let all: Vec<usize> = (0..self.slots()).collect();
        self.read(&self.views().collect::<Vec<_>>(), &all, 1)
    }

    /// Of every row whose place is a multiple of `step`, the predictions of all slots.
    #[cfg(feature = "learned")]
    pub(crate) fn every(&self, step: usize) -> Result<HeldOut> {
        let all: Vec<usize> = (0..self.slots()).collect();
        self.read(&self.views().collect::<Vec<_>>(), &all, step)
    }

    /// Only these slots of a chunk, copied into memory.
    #[cfg(feature = "learned")]
    pub(crate) fn slots_of(&self, view: ChunkView<'_>, slots: &[usize]) -> Result<HeldOut> {
        self.read(&[view], slots, 1)
    }

    /// Held-out predictions of the same slots for no rows.
    pub(crate) fn without_rows(&self) -> Result<HeldOut> {
        let Index { task, names, costs, total_rows, seed, .. } = &self.index;
        let none = HeldOut::none(*task, names.clone(), costs.clone(), *total_rows, *seed)?;
        match self.index.named {
            true => none.with_names(names.clone()),
            false => Ok(none),
        }
    }

    /// The chunks, in order.
    pub(crate) fn views(&self) -> impl Iterator<Item = ChunkView<'_>> {
        let chunks = self.index.chunks.iter().zip(&self.places);
        chunks.map(|(chunk, place)| ChunkView { file: self, chunk, place })
    }

    /// Copies every `step`-th row of some chunks, one after the other.
    fn read(&self, views: &[ChunkView<'_>], slots: &[usize], step: usize) -> Result<HeldOut> {
        match self.index.wide {
            true => self.read_as::<f64>(views, slots, step),
            false => self.read_as::<f32>(views, slots, step),
        }
    }

    fn read_as<T: Number>(&self, views: &[ChunkView<'_>], slots: &[usize], step: usize) -> Result<HeldOut> {
        let (task, width) = (self.task(), self.task().width());
        let picked = |view: &ChunkView<'_>| {
            let before = view.first().next_multiple_of(step) - view.first();
            (before..view.rows()).step_by(step)
        };
        let rows: usize = views.iter().map(|view| picked(view).count()).sum();
        let mut values = vec![T::zero(); slots.len() * rows * width];
        let mut covered = views.iter().any(ChunkView::is_partial).then(|| vec![1f32; slots.len() * rows]);
        let mut about = AboutRows::default();
        let mut done = 0;
        for view in views.iter().filter(|view| picked(view).count() > 0) {
            let (all, there, of_view) = (view.values::<T>()?, view.covered()?, view.about_rows()?);
            let count = picked(view).count();
            for (place, slot) in slots.iter().enumerate() {
                let to = place * rows + done;
                let from = &all[slot * view.rows() * width..(slot + 1) * view.rows() * width];
                for (i, row) in picked(view).enumerate() {
                    values[(to + i) * width..(to + i + 1) * width]
                        .copy_from_slice(&from[row * width..(row + 1) * width]);
                }
                if let (Some(covered), Some(there)) = (&mut covered, there) {
                    let there = &there[slot * view.rows()..(slot + 1) * view.rows()];
                    picked(view).enumerate().for_each(|(i, row)| covered[to + i] = there[row]);
                }
            }
            match step {
                1 => about.extend(&of_view, 0..count),
                _ => picked(view).for_each(|row| about.extend(&of_view, row..row + 1)),
            }
            done += count;
            view.release();
        }
        let values = Tensor::from_vec(values, (slots.len(), rows, width), &Device::Cpu)?;
        let covered = covered.map(|covered| Tensor::from_vec(covered, (slots.len(), rows), &Device::Cpu));
        let predictions = Predictions::on_scale(values, covered.transpose()?, task, Scale::Probability)?;
        let names: Vec<String> = slots.iter().map(|slot| self.index.names[*slot].clone()).collect();
        let predictions = match self.index.named {
            true => predictions.with_names(names.clone())?,
            false => predictions,
        };
        let costs = slots.iter().map(|slot| self.index.costs[*slot]).collect();
        let targets = match task {
            Task::Classification { .. } => Tensor::from_vec(about.classes, rows, &Device::Cpu)?,
            Task::Regression { outputs } => Tensor::from_vec(about.values, (rows, outputs), &Device::Cpu)?,
        };
        let weights =
            about.weights.map(|weights| Tensor::from_vec(weights, rows, &Device::Cpu)).transpose()?;
        let total_rows = self.total_rows();
        let targets = Targets { targets, weights, rows: about.numbers, total_rows };
        Ok(HeldOut::from_stored(predictions, targets, about.groups, (names, costs), self.index.seed))
    }
}

impl<'a> ChunkView<'a> {
    /// The number of rows before.
    pub(crate) fn first(&self) -> usize {
        self.place.first
    }

    pub(crate) fn rows(&self) -> usize {
        self.chunk.rows
    }

    pub(crate) fn is_partial(&self) -> bool {
        self.chunk.partial
    }

    fn bytes(&self, section: &Range<usize>) -> &'a [u8] {
        let start = self.chunk.start as usize;
        &self.file.mapped.bytes()[start + section.start..start + section.end]
    }

    fn numbers<T: Number>(&self, section: &Range<usize>) -> Result<&'a [T]> {
        numbers_of(self.bytes(section)).ok_or_else(|| self.damaged())
    }

    /// The predictions, `(S, R, C)`; 0 where one is missing.
    ///
    /// # Errors
    /// [`Error::Damaged`] when they have changed since they were written.
    pub(crate) fn values<T: Number>(&self) -> Result<&'a [T]> {
        self.check_predictions()?;
        self.numbers(&self.place.sections.values)
    }

    /// 1 where a slot predicts a row, else 0, `(S, R)`; `None` where no prediction is missing.
    pub(crate) fn covered(&self) -> Result<Option<&'a [f32]>> {
        self.check_predictions()?;
        let covered = || self.numbers(&self.place.sections.covered);
        self.chunk.partial.then(covered).transpose()
    }

    /// The map and the bytes of the predictions in it.
    #[cfg(feature = "learned")]
    pub(crate) fn mapped(&self) -> (&'a Mapped, Range<usize>) {
        let Range { start, end } = self.place.sections.values;
        let from = self.chunk.start as usize;
        (&self.file.mapped, from + start..from + end)
    }

    /// What is known of the rows.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it has changed since it was written.
    pub(crate) fn about_rows(&self) -> Result<AboutRows> {
        let Place { sections, about_rows, .. } = self.place;
        self.check_once(about_rows, || {
            *blake3::hash(self.bytes(&sections.about_rows())).as_bytes() == self.chunk.about_rows
        })?;
        let Sections { targets, weights, groups, numbers, .. } = sections;
        let ids = |section: &Range<usize>| -> Result<Vec<u32>> {
            Ok(numbers_of::<u32>(self.bytes(section)).ok_or_else(|| self.damaged())?.to_vec())
        };
        let (mut classes, mut values) = (vec![], vec![]);
        match self.file.task() {
            Task::Classification { classes: count } => {
                classes = ids(targets)?;
                if let Some(row) = classes.iter().position(|class| *class as usize >= count) {
                    let what = format!("label of row {} of {}", self.first() + row, self.file.path.display());
                    return Err(Error::invalid(what, format!("below {count}"), classes[row]));
                }
            }
            Task::Regression { .. } => values = self.numbers::<f64>(targets)?.to_vec(),
        }
        let Index { weighted, grouped, .. } = self.file.index;
        let weights = weighted.then(|| self.numbers::<f64>(weights)).transpose()?.map(<[f64]>::to_vec);
        let groups = grouped.then(|| ids(groups)).transpose()?;
        Ok(AboutRows { classes, values, weights, groups, numbers: ids(numbers)? })
    }

    /// Gives back the memory of the chunk.
    pub(crate) fn release(&self) {
        let start = self.chunk.start as usize;
        self.file.mapped.release(&(start..start + self.place.sections.size()));
    }

    fn check_predictions(&self) -> Result<()> {
        self.check_once(&self.place.predictions, || {
            let slots = self.file.slots();
            let (values, covered) =
                (self.bytes(&self.place.sections.values), self.bytes(&self.place.sections.covered));
            let (of_values, of_covered) = (values.len() / slots, covered.len() / slots);
            let hash = |slot: usize| {
                let values = &values[slot * of_values..(slot + 1) * of_values];
                hash_of_slot(values, &covered[slot * of_covered..(slot + 1) * of_covered])
            };
            let hashes: Vec<Hash> = wide(|| (0..slots).into_par_iter().map(hash).collect());
            hash_of_slots(hashes) == self.chunk.predictions
        })
    }

    fn check_once(&self, checked: &AtomicBool, is_right: impl FnOnce() -> bool) -> Result<()> {
        if checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        match is_right() {
            true => {
                checked.store(true, Ordering::Relaxed);
                Ok(())
            }
            false => Err(self.damaged()),
        }
    }

    fn damaged(&self) -> Error {
        let rows = self.first()..self.first() + self.rows();
        let why = format!("rows {rows:?} are not what was written: the hash differs");
        Error::Damaged { what: self.file.path.display().to_string(), why }
    }
}

/// The index of a file, and where its chunks are.
fn read_index(file: &[u8]) -> std::result::Result<(Index, Vec<Place>), FormatError> {
    if cfg!(target_endian = "big") {
        return Err(FormatError::foreign("its numbers are little-endian, those of this machine are not"));
    }
    let (bytes, end) = layout::index(file)?;
    let index: Index = codec::decode(bytes).map_err(FormatError::foreign)?;
    let slots = index.slots();
    let weights = index.chunks.iter().map(|chunk| chunk.weight);
    let agrees = slots > 0
        && index.task.width() > 0
        && index.costs.len() == slots
        && index.counts.len() == slots
        && !index.chunks.is_empty()
        && weights.clone().all(|weight| weight > 0. && weight.is_finite())
        && index.chunks.iter().all(|chunk| chunk.rows > 0);
    if !agrees {
        return Err(FormatError::foreign("its index contradicts itself"));
    }
    let mut places = Vec::with_capacity(index.chunks.len());
    let (mut first, mut least) = (0usize, layout::ALIGN as usize);
    for chunk in &index.chunks {
        let outside = || FormatError::foreign("a chunk is not where its index says");
        let sections = index.sections(chunk.rows, chunk.partial).ok_or_else(outside)?;
        let start = usize::try_from(chunk.start).map_err(|_| outside())?;
        let behind = start.checked_add(sections.size()).ok_or_else(outside)?;
        if start < least || behind > end || start % layout::ALIGN as usize != 0 {
            return Err(outside());
        }
        places.push(Place {
            first,
            sections,
            predictions: AtomicBool::new(false),
            about_rows: AtomicBool::new(false),
        });
        first = first.checked_add(chunk.rows).ok_or_else(outside)?;
        least = behind;
    }
    Ok((index, places))
}
