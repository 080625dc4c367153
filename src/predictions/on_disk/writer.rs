//! Writing of held-out predictions part by part.
use crate::{
    data::Task,
    kernels::{bytes::bytes_of, cpu, float::Number},
    predictions::{
        on_disk::{
            about_rows::AboutRows,
            chunks::{OpenChunk, Out},
            layout::{Index, ALIGN},
            HeldOutFile,
        },
        HeldOut,
    },
    Error, Result,
};
use candle_core::DType;
use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// A chunk has so many bytes of predictions, if nothing else is said.
const CHUNK_BYTES: usize = 64 << 20;
/// The fewest and the most rows of such a chunk.
const CHUNK_ROWS: Range<usize> = 256..1 << 20;

/// Writes a [`HeldOutFile`] part by part, so that not all predictions are in memory at the same time.
///
/// Each part is a [`HeldOut`]: what all members predict for some of the rows. It may have any number of rows; the file
/// has chunks of equal size, whatever the parts are. The parts have the same task, members and costs, and all or none of
/// them have weights, and groups. Weights and groups mean the same in all parts. Rows of weight 0 are left out, because
/// they count for nothing. The memory is that of one chunk, and of one part.
///
/// Probabilities are kept as f32, which is what combiners compute with, and values in their own type.
///
/// The file gets its name when it is finished; until then there is nothing at its path.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("predictions.heldout");
/// let mut writer = HeldOutWriter::create(&path)?;
/// for part in 0..3 {
///     // In a real program, from files of other programs.
///     let y = Tensor::arange(0f64, 5., &Device::Cpu)?.affine(1., 5. * f64::from(part))?.reshape((5, 1))?;
///     let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 3.)?], 0)?;
///     let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
///     writer.push(&HeldOut::from_predictions(&predictions, &y)?)?;
/// }
/// let file = writer.finish()?;
/// assert_eq!((file.rows(), file.slots()), (15, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HeldOutWriter {
    path: PathBuf,
    out: Out,
    chunk_rows: Option<usize>,
    open: Option<Open>,
}

/// What is known after the first part.
struct Open {
    index: Index,
    /// The position behind the last chunk.
    end: u64,
    capacity: usize,
    rows: AboutRows,
    /// `(S, capacity, C)`, of which the first rows of each slot are filled.
    values: Values,
    /// `(S, capacity)`.
    covered: Vec<f32>,
}

enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl fmt::Debug for HeldOutWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldOutWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl HeldOutWriter {
    /// Begins a file that is to be put at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be put there.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        Ok(Self { out: Out::create(&path)?, path, chunk_rows: None, open: None })
    }

    /// Sets the number of rows of a chunk, at least 1. The default is what makes 64 MiB of predictions, but at least 256
    /// rows. Rules that read the file have one chunk in memory at a time.
    #[must_use]
    pub fn chunk_rows(mut self, rows: usize) -> Self {
        self.chunk_rows = Some(rows.max(1));
        self
    }

    /// Adds the rows of a part. Their numbers continue those of the parts before, of which each has as many as its
    /// [`total_rows`](HeldOut::total_rows).
    ///
    /// # Errors
    /// When the part is not of the same kind as the parts before, or the file cannot be written. The file cannot be finished
    /// then.
    pub fn push(&mut self, part: &HeldOut) -> Result<()> {
        let part = &part.rows_with_weight()?;
        let open = match self.open.take() {
            Some(open) => {
                open.check(part)?;
                open
            }
            None => Open::new(part, self.chunk_rows)?,
        };
        let mut open = open;
        let rows = AboutRows::of(part, open.index.total_rows)?;
        let covered = part.predictions().coverage_by_slot()?;
        let values = part.predictions().values().detach();
        if open.index.wide {
            cpu::with_slice(&values, |all: &[f64]| open.add(&self.out, all, covered.as_deref(), &rows))??;
        } else {
            cpu::with_slice(&values, |all: &[f32]| open.add(&self.out, all, covered.as_deref(), &rows))??;
        }
        open.index.total_rows += part.total_rows();
        self.open = Some(open);
        Ok(())
    }

    /// Writes what is left and puts the file at its path.
    ///
    /// # Errors
    /// When there is no part, or the file cannot be written.
    pub fn finish(self) -> Result<HeldOutFile> {
        let Some(mut open) = self.open else {
            return Err(Error::invalid(
                "parts of held-out predictions",
                "at least one",
                "none, or one failed",
            ));
        };
        open.flush(&self.out)?;
        self.out.finish(&open.index, open.end)?;
        HeldOutFile::open(&self.path)
    }
}

/// The number of rows of a chunk of predictions of so many bytes a row.
pub(super) fn default_rows(bytes: usize) -> usize {
    (CHUNK_BYTES / bytes.max(1)).clamp(CHUNK_ROWS.start, CHUNK_ROWS.end)
}

impl Open {
    fn new(part: &HeldOut, chunk_rows: Option<usize>) -> Result<Self> {
        let predictions = part.predictions();
        let (slots, task) = (predictions.slots(), predictions.task());
        let wide = matches!(task, Task::Regression { .. }) && predictions.values().dtype() == DType::F64;
        let index = Index {
            task,
            wide,
            names: part.names().to_vec(),
            named: predictions.names().is_some(),
            costs: part.costs().to_vec(),
            seed: part.seed(),
            total_rows: 0,
            weighted: part.weights().is_some(),
            grouped: part.groups().is_some(),
            counts: vec![0; slots],
            chunks: vec![],
        };
        let of_row = slots.saturating_mul(task.width());
        let capacity = chunk_rows.unwrap_or_else(|| default_rows(of_row.saturating_mul(index.size())));
        let numbers = of_row.saturating_mul(capacity);
        let values = match wide {
            true => Values::F64(vec![0.; numbers]),
            false => Values::F32(vec![0.; numbers]),
        };
        let covered = vec![0.; slots * capacity];
        Ok(Self { index, end: ALIGN, capacity, rows: AboutRows::default(), values, covered })
    }

    /// Checks that a part is of the kind of the first one.
    fn check(&self, part: &HeldOut) -> Result<()> {
        let index = &self.index;
        let same = |what: &str, same: bool| match same {
            true => Ok(()),
            false => {
                let must = "that of the parts before";
                Err(Error::invalid(format!("{what} of a part of held-out predictions"), must, "another"))
            }
        };
        let presence = |has: bool| if has { "with" } else { "without" };
        let both = |what: &str, before: bool, now: bool| match before == now {
            true => Ok(()),
            false => {
                let must = format!("{} {what}, as the parts before", presence(before));
                Err(Error::invalid("a part of held-out predictions", must, format!("{} them", presence(now))))
            }
        };
        same("the task", part.predictions().task() == index.task)?;
        same("the members", part.names() == index.names.as_slice())?;
        same("the costs", part.costs() == index.costs.as_slice())?;
        both("weights", index.weighted, part.weights().is_some())?;
        both("groups", index.grouped, part.groups().is_some())
    }

    /// Adds rows with predictions `all`, `(S, n, C)`, and writes the chunks that are full.
    fn add<T: Number>(
        &mut self,
        out: &Out,
        all: &[T],
        covered: Option<&[Vec<f32>]>,
        rows: &AboutRows,
    ) -> Result<()> {
        let (count, width) = (rows.numbers.len(), self.index.task.width());
        let mut done = 0;
        while done < count {
            let filled = self.rows.numbers.len();
            let some = (self.capacity - filled).min(count - done);
            for slot in 0..self.index.slots() {
                let from = &all[(slot * count + done) * width..][..some * width];
                let at = (slot * self.capacity + filled) * width;
                let to = &mut self.covered[slot * self.capacity + filled..][..some];
                match covered.and_then(|covered| covered.get(slot)) {
                    Some(there) => {
                        to.iter_mut()
                            .zip(&there[done..])
                            .for_each(|(to, x)| *to = f32::from(u8::from(*x > 0.)));
                    }
                    None => to.fill(1.),
                }
                self.index.counts[slot] += to.iter().filter(|x| **x > 0.).count() as u64;
                let missing = |i: usize| to[i / width] <= 0.;
                match &mut self.values {
                    Values::F32(values) => copy(from, &mut values[at..at + some * width], missing),
                    Values::F64(values) => copy(from, &mut values[at..at + some * width], missing),
                }
            }
            self.rows.extend(rows, done..done + some);
            done += some;
            if self.rows.numbers.len() == self.capacity {
                self.flush(out)?;
            }
        }
        Ok(())
    }

    /// Writes the rows so far as a chunk.
    fn flush(&mut self, out: &Out) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let count = rows.numbers.len();
        if count == 0 {
            return Ok(());
        }
        let width = self.index.task.width();
        let of_slot = |slot: usize| slot * self.capacity..slot * self.capacity + count;
        let partial =
            (0..self.index.slots()).any(|slot| self.covered[of_slot(slot)].iter().any(|x| *x <= 0.));
        let mut chunk = OpenChunk::new(&self.index, self.end, count, partial)?;
        for slot in 0..self.index.slots() {
            let Range { start, end } = of_slot(slot);
            let values = match &self.values {
                Values::F32(values) => bytes_of(&values[start * width..end * width]),
                Values::F64(values) => bytes_of(&values[start * width..end * width]),
            };
            chunk.put_slot(out, values, bytes_of(&self.covered[start..end]))?;
        }
        self.end = chunk.end();
        self.index.chunks.push(chunk.close(out, &rows, 0..count)?);
        Ok(())
    }
}

/// Copies numbers, and sets those that are missing to 0.
fn copy<T: Number, U: Number>(from: &[T], to: &mut [U], missing: impl Fn(usize) -> bool) {
    for (i, (from, to)) in from.iter().zip(to).enumerate() {
        *to = if missing(i) { U::zero() } else { U::from_f64((*from).into()) };
    }
}
