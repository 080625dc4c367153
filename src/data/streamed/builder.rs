//! What a data set over files is made of.
use crate::{
    data::{
        streamed::{
            ahead::Ahead,
            dataset::FileDataset,
            reader::{all_values, Field, Reader},
            RowFiles,
        },
        tensor_dataset::{digest_ids, row_weights::RowWeights, Digests},
        values::digest,
        Fingerprint, Positions, Purpose, Shuffle, Task,
    },
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;

/// The bytes of the rows in a block, where nothing else is said: enough that a disk reads them at full speed.
const BLOCK: usize = 1 << 18;
/// The blocks that are mixed, where nothing else is said, and the most bytes of them.
const WINDOW: usize = 128;
const WINDOW_BYTES: usize = 1 << 25;
/// The bytes of blocks in memory, where nothing else is said.
const MEMORY: usize = 1 << 28;

/// The settings of a [`FileDataset`] before its files are read.
#[derive(Clone, Debug)]
#[must_use]
pub struct FileDatasetBuilder {
    files: RowFiles,
    inputs: Vec<String>,
    targets: Vec<String>,
    is_classification: bool,
    classes: Option<usize>,
    dtype: Option<DType>,
    memory: usize,
    shuffle: Option<Shuffle>,
    strata: Option<String>,
    groups: Option<String>,
    weights: Vec<(Vec<Purpose>, String)>,
    content: Option<Fingerprint>,
}

impl FileDatasetBuilder {
    pub(super) fn new(files: &RowFiles, inputs: &[&str], targets: &[&str], is_classification: bool) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            files: files.clone(),
            inputs: owned(inputs),
            targets: owned(targets),
            is_classification,
            classes: None,
            dtype: None,
            memory: MEMORY,
            shuffle: None,
            strata: None,
            groups: None,
            weights: vec![],
            content: None,
        }
    }

    /// Sets the number of classes, for data in whose rows the highest classes do not occur. The default is the highest class
    /// id plus 1.
    pub fn classes(self, classes: usize) -> Self {
        Self { classes: Some(classes), ..self }
    }

    /// Sets the type of inputs and of the targets of a regression, to which they are cast last. By default floats, and columns
    /// that are put side by side, are f32, and tensors of integers stay what they are.
    pub fn dtype(self, dtype: DType) -> Self {
        Self { dtype: Some(dtype), ..self }
    }

    /// Sets the bytes of rows that are kept in memory for all trainings together. The default is 2²⁸ (256 MiB). Each training
    /// needs two windows of the [shuffle](Self::shuffle) (by default of 32 MiB each): one that is in use and one that is read
    /// ahead. With less than that for all trainings that run at the same time, blocks are read again and again. It has no
    /// effect on results.
    pub fn memory(self, bytes: usize) -> Self {
        Self { memory: bytes, ..self }
    }

    /// Sets how training rows are shuffled. The default is in blocks of 256 KiB, of which 128 are mixed: fewer where blocks are
    /// larger, so that a window is of 32 MiB. Blocks of CSV files have at least 256 rows, those of Parquet as many as a row
    /// group, up to 20,000. [`Shuffle::Full`] reads rows one by one from all over the files: it is for arrays on a fast disk, and
    /// for files that fit in the [`memory`](Self::memory).
    pub fn shuffle(self, shuffle: Shuffle) -> Self {
        Self { shuffle: Some(shuffle), ..self }
    }

    /// Sets the column with the stratum of each row: whole numbers. The default is the class.
    pub fn strata(self, column: &str) -> Self {
        Self { strata: Some(column.into()), ..self }
    }

    /// Sets the column with the group of each row: whole numbers. No group is split between rows trained on and rows held
    /// out.
    pub fn groups(self, column: &str) -> Self {
        Self { groups: Some(column.into()), ..self }
    }

    /// Sets the column with the weight of each row, for all purposes.
    pub fn weights(self, column: &str) -> Self {
        self.weights_for(&Purpose::ALL, column)
    }

    /// Sets the column with the weight of each row for some purposes.
    pub fn weights_for(mut self, purposes: &[Purpose], column: &str) -> Self {
        self.weights.push((purposes.to_vec(), column.into()));
        self
    }

    /// Vouches for the content of the files: their inputs and targets are those of which an earlier
    /// [`FileDataset::content`] was the digest, under the same settings. The pass over all rows that hashes them and checks
    /// that they are finite is then left out. Nothing verifies it: with a wrong digest a store takes members of other data
    /// for those of this data.
    pub fn content(self, digest: Fingerprint) -> Self {
        Self { content: Some(digest), ..self }
    }

    /// Opens the data set. All rows are read once, on all threads, to hash them and to check that they are finite, unless
    /// their [`content`](Self::content) is known. Class ids, strata, groups and weights stay in memory, four bytes a row each.
    ///
    /// # Errors
    /// When a file cannot be read or has changed; when a column does not exist; when a value is NaN or infinite, or a class
    /// id, a stratum or a group is no whole number from 0 to 2³² − 2; when targets do not fit the task, there are fewer than
    /// two classes, or 2³² rows or more; when the memory is below two windows of the shuffle.
    pub fn open(self) -> Result<FileDataset> {
        let rows = self.files.rows();
        if rows == 0 || rows >= u32::MAX as usize {
            let must = format!("at least 1 and below {}", u32::MAX);
            return Err(Error::invalid("the number of rows of the files", must, rows));
        }
        let labels = self.is_classification.then(|| self.labels()).transpose()?;
        let task = self.task(labels.as_deref())?;
        let mut fields = self.input_fields()?;
        if labels.is_none() {
            fields.push(self.target_field()?);
        }
        let bytes = fields.iter().map(Field::bytes).sum::<usize>().max(1);
        let usual = (BLOCK / bytes).max(self.files.0.least_block());
        let window = WINDOW.min(WINDOW_BYTES / (usual * bytes)).max(1);
        let shuffle = self.shuffle.unwrap_or(Shuffle::Blocks { rows: usual, window });
        let (block, window) = match shuffle {
            Shuffle::Blocks { rows, window } => (rows.max(1), window.max(1)),
            Shuffle::Full => (usual, window),
        };
        let one_by_one = shuffle == Shuffle::Full && self.files.0.is_direct();
        // No more than all rows.
        let least = 2 * window.saturating_mul(block).min(rows) * bytes;
        if !one_by_one && least > self.memory {
            let must = format!("at least {least} bytes, those of two windows of the shuffle {shuffle:?}");
            return Err(Error::invalid("the memory of a data set over files", must, self.memory));
        }
        let in_blocks = (!one_by_one).then_some(block);
        let reader = Reader::new(self.files.0.clone(), fields, in_blocks, self.memory);
        let data = match self.content {
            Some(known) => *known.as_bytes(),
            None => content(&reader, labels.as_deref())?,
        };
        let [strata, groups] = [(&self.strata, "stratum"), (&self.groups, "group")].map(|(column, what)| {
            let ids = column.as_ref().map(|column| self.ids(column, what)).transpose()?;
            Ok::<_, Error>(ids.map(Arc::<[u32]>::from))
        });
        let (strata, groups) = (strata?, groups?);
        let of = |ids: &Option<Arc<[u32]>>| ids.as_deref().map(digest_ids).unwrap_or_default();
        let digests = Digests { data, strata: of(&strata), groups: of(&groups), ..Digests::default() };
        let mut weights = RowWeights::default();
        for (purposes, column) in &self.weights {
            let column = self.files.find(column)?;
            let all = all_values(&*self.files.0, column, |_, weight| Ok(weight as f32))?;
            weights.set(purposes, all, &Device::Cpu)?;
        }
        let base = digests.fingerprint(false, &weights, (task, Positions::One));
        let fingerprint = match shuffle {
            Shuffle::Full => base,
            // Members depend on the order of the rows.
            Shuffle::Blocks { .. } => {
                let order = format!("{shuffle:?}");
                Fingerprint::of(&[base.as_bytes(), order.as_bytes()].concat())
            }
        };
        // Half a window: the next window is asked for in the middle of this one. More of it would have to be kept with less.
        let ahead = if one_by_one { 0 } else { (block.saturating_mul(window) / 2).max(1) };
        Ok(FileDataset {
            ahead: Arc::new(Ahead::new(reader, 2 * window)),
            ahead_rows: ahead,
            task,
            labels: labels.map(Into::into),
            strata,
            groups,
            weights,
            shuffle,
            content: data.into(),
            fingerprint,
        })
    }

    /// The numbers of the columns, if there are any.
    fn numbers(&self, names: &[String], what: &str) -> Result<Vec<usize>> {
        if names.is_empty() {
            return Err(Error::invalid(format!("the columns of {what}"), "at least one", "none"));
        }
        names.iter().map(|name| self.files.find(name)).collect()
    }

    /// Columns of single values are put side by side; others are an input each.
    fn input_fields(&self) -> Result<Vec<Field>> {
        let (numbers, columns) = (self.numbers(&self.inputs, "the inputs")?, self.files.0.columns());
        let chosen: Vec<_> = numbers.iter().filter_map(|at| Some((*at, columns.get(*at)?))).collect();
        if chosen.iter().all(|(_, column)| column.row.is_empty()) {
            return Ok(vec![Field::table("inputs", numbers, self.dtype.unwrap_or(DType::F32))]);
        }
        let name = |i| if chosen.len() == 1 { "inputs".into() } else { format!("inputs[{i}]") };
        let field = |(i, (number, column)): (usize, &(usize, _))| {
            Field::tensor(name(i), (*number, *column), self.dtype_of(column.dtype))
        };
        Ok(chosen.iter().enumerate().map(field).collect())
    }

    /// One column `(N,)` or `(N, K)`, or several of single values.
    fn target_field(&self) -> Result<Field> {
        let (numbers, columns) = (self.numbers(&self.targets, "the targets")?, self.files.0.columns());
        let chosen: Vec<_> = numbers.iter().filter_map(|at| Some((*at, columns.get(*at)?))).collect();
        match chosen.as_slice() {
            [(number, column)] if column.row.len() < 2 => {
                let dtype = self.dtype.unwrap_or(DType::F32);
                Ok(Field::tensor("targets".into(), (*number, *column), dtype))
            }
            several if several.len() > 1 && several.iter().all(|(_, column)| column.row.is_empty()) => {
                Ok(Field::table("targets", numbers, self.dtype.unwrap_or(DType::F32)))
            }
            _ => {
                let must = "one of shape (N,) or (N, K), or several of shape (N,)";
                Err(Error::invalid("the columns of the targets", must, format!("{:?}", self.targets)))
            }
        }
    }

    /// The type of a tensor in a batch.
    fn dtype_of(&self, stored: DType) -> DType {
        self.dtype.unwrap_or(if stored.is_float() { DType::F32 } else { stored })
    }

    fn task(&self, labels: Option<&[u32]>) -> Result<Task> {
        let Some(labels) = labels else {
            if let Some(dtype) = self.dtype.filter(|dtype| !dtype.is_float()) {
                return Err(Error::invalid("the type of a regression", "a float", dtype.as_str()));
            }
            let columns = self.numbers(&self.targets, "the targets")?;
            let widths = columns.iter().filter_map(|at| self.files.0.columns().get(*at));
            let outputs = widths.map(|column| column.row.iter().product::<usize>()).sum();
            return Ok(Task::Regression { outputs });
        };
        let highest = labels.iter().max().map_or(0, |id| *id as usize);
        if let Some(classes) = self.classes {
            if classes <= highest {
                let must = format!("above the highest class id, {highest}");
                return Err(Error::invalid("classes", must, classes));
            }
            return Ok(Task::Classification { classes });
        }
        if labels.iter().all(|id| Some(id) == labels.first()) {
            return Err(Error::invalid("targets", "of more than one class", "of one class only"));
        }
        Ok(Task::Classification { classes: highest + 1 })
    }

    fn labels(&self) -> Result<Vec<u32>> {
        match self.targets.as_slice() {
            [column] => self.ids(column, "class id"),
            several => Err(Error::invalid("the columns of class ids", "one", several.len())),
        }
    }

    /// A column of whole numbers.
    fn ids(&self, column: &str, what: &str) -> Result<Vec<u32>> {
        let number = self.files.find(column)?;
        all_values(&*self.files.0, number, |row, id| {
            match (0. ..f64::from(u32::MAX)).contains(&id) && id.fract() == 0. {
                true => Ok(id as u32),
                false => {
                    let must = format!("a whole number from 0 to {}", u32::MAX - 1);
                    Err(Error::invalid(format!("the {what} in row {row}, column {column:?},"), must, id))
                }
            }
        })
    }
}

/// The digest of inputs and targets, as that of a data set in memory.
fn content(reader: &Reader, labels: Option<&[u32]>) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    for digest in reader.digests()? {
        hasher.update(&digest);
    }
    if let Some(labels) = labels {
        hasher.update(&digest("targets", &Tensor::from_slice(labels, labels.len(), &Device::Cpu)?)?);
    }
    Ok(*hasher.finalize().as_bytes())
}
