//! The data set.
use crate::{
    data::{
        dataset::check_rows,
        streamed::{ahead::Ahead, FileDatasetBuilder, RowFiles},
        tensor_dataset::row_weights::RowWeights,
        Batch, Dataset, Fingerprint, Inputs, Purpose, Shuffle, Task,
    },
    kernels::rows::select,
};
use candle_core::{Device, Result as CandleResult, Tensor};
use std::{fmt, sync::Arc};

/// A data set over files, which may be larger than memory.
///
/// Inputs and the targets of a regression are read in blocks of consecutive rows. Blocks are kept in a [memory of bounded
/// size](FileDatasetBuilder::memory), and a thread reads those that follow ahead of the training. Class ids, strata, groups
/// and weights are in memory. Clones share all of it, and so do trainings that run at the same time, each in an order of
/// its own.
///
/// Row numbers are those of the rows in the files, so folds, resampling, validation rows and held-out predictions are what
/// they are with a [`TensorDataset`](crate::data::TensorDataset). Trainings shuffle in [blocks](Shuffle) by default. With
/// [`Shuffle::Full`] the fingerprint is that of a `TensorDataset` of the same rows, and so is each member to the bit; a
/// shuffle in blocks belongs to the fingerprint.
///
/// Use it where rows do not fit in memory. Data that fits is faster and simpler as a `TensorDataset`.
///
/// Scalings are fitted in passes over the training rows: standardization and ranges in three at most, others in more (see
/// [`FittedScalings::fit`](crate::data::FittedScalings::fit)). Balanced [class weights](crate::train::ClassWeights) read the
/// training rows once. Files that are standardized when they are written save these passes in each run.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{data::{Dataset, FileDataset, RowFiles}, strategy::KFold, train::Trainer, Session};
///
/// let folder = tempfile::tempdir()?;
/// let [x, y] = ["x.npy", "y.npy"].map(|name| folder.path().join(name));
/// Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?.write_npy(&x)?;
/// Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?.write_npy(&y)?;
///
/// let files = RowFiles::npy("x", [x])?.beside(RowFiles::npy("y", [y])?)?;
/// let data = FileDataset::classification(&files, &["x"], "y").open()?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
/// let pool = Session::new(&trainer, &data).fit(&KFold::new(2), 42)?;
/// assert_eq!(pool.held_out()?.rows().len(), 40);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileDataset {
    pub(super) ahead: Arc<Ahead>,
    /// How many rows ahead blocks are read.
    pub(super) ahead_rows: usize,
    pub(super) task: Task,
    pub(super) labels: Option<Arc<[u32]>>,
    pub(super) strata: Option<Arc<[u32]>>,
    pub(super) groups: Option<Arc<[u32]>>,
    pub(super) weights: RowWeights,
    pub(super) shuffle: Shuffle,
    pub(super) content: Fingerprint,
    pub(super) fingerprint: Fingerprint,
}

impl FileDataset {
    /// A data set for classification. Columns of single values are put side by side to one input `(N, D)`, in the order in
    /// which they are named; if there is another column among them, each is an input of its own. `targets` is a column of
    /// class ids, of any type; they are whole numbers from 0.
    pub fn classification(files: &RowFiles, inputs: &[&str], targets: &str) -> FileDatasetBuilder {
        FileDatasetBuilder::new(files, inputs, &[targets], true)
    }

    /// A data set for regression, with inputs as in [`Self::classification`]. Targets are a column `(N,)` or `(N, K)`, or
    /// several columns `(N,)`, which are put side by side.
    pub fn regression(files: &RowFiles, inputs: &[&str], targets: &[&str]) -> FileDatasetBuilder {
        FileDatasetBuilder::new(files, inputs, targets, false)
    }

    /// The digest of inputs and targets, with which the same files are opened later without reading them:
    /// [`FileDatasetBuilder::content`].
    #[must_use]
    pub fn content(&self) -> Fingerprint {
        self.content
    }

    /// The class ids of all rows; `None` for a regression.
    #[must_use]
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }
}

impl Dataset for FileDataset {
    fn rows(&self) -> usize {
        self.ahead.reader().rows()
    }

    fn task(&self) -> Task {
        self.task
    }

    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.batch_for(Purpose::Training, rows, device)
    }

    fn batch_for(&self, purpose: Purpose, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        check_rows(rows, self.rows())?;
        let gathered = self.ahead.reader().gather(rows);
        let mut fields = gathered.map_err(|e| candle_core::Error::Msg(e.to_string()))?;
        let targets = match &self.labels {
            Some(labels) => {
                let ids: Vec<u32> =
                    rows.iter().filter_map(|row| labels.get(*row as usize).copied()).collect();
                Tensor::from_vec(ids, rows.len(), device)?
            }
            None => match fields.pop() {
                Some(targets) => targets.to_device(device)?,
                None => candle_core::bail!("a regression has targets"),
            },
        };
        let weights = self.weights.of(purpose).map(|weights| select(weights, rows)?.to_device(device));
        Ok(Batch { inputs: Inputs::from(fields).to_device(device)?, targets, weights: weights.transpose()? })
    }

    fn strata(&self) -> Option<&[u32]> {
        self.strata.as_deref().or(self.labels())
    }

    fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    fn shuffle(&self) -> Shuffle {
        self.shuffle
    }

    fn read_ahead_rows(&self) -> usize {
        self.ahead_rows
    }

    fn read_ahead(&self, rows: &[u32]) {
        self.ahead.read(rows);
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl fmt::Debug for FileDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileDataset")
            .field("rows", &self.rows())
            .field("task", &self.task)
            .field("shuffle", &self.shuffle)
            .field("fingerprint", &self.fingerprint)
            .finish()
    }
}
