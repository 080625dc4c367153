//! The trait of data sets: rows that can be fetched by number.
use crate::{data::Shuffle, kernels::rows::select};
use candle_core::{bail, Device, Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};
use std::{fmt, slice};

/// What a model predicts for each row: a class, or real numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// One class of several. Targets are class ids, `(B,)` of type `u32`.
    Classification {
        /// Number of classes. Class ids are numbered from 0.
        classes: usize,
    },
    /// Real numbers. Targets are floats `(B,)` or `(B, K)`.
    Regression {
        /// Number of outputs for each row.
        outputs: usize,
    },
}

impl Task {
    /// The width of a model's output for each row: the number of classes, or of outputs.
    ///
    /// ```
    /// use candle_ensemble::data::Task;
    ///
    /// assert_eq!(Task::Classification { classes: 10 }.width(), 10);
    /// ```
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::Classification { classes } => classes,
            Self::Regression { outputs } => outputs,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classification { classes } => write!(f, "classification with {classes} classes"),
            Self::Regression { outputs: 1 } => f.write_str("regression with 1 output"),
            Self::Regression { outputs } => write!(f, "regression with {outputs} outputs"),
        }
    }
}

/// How many predictions a row takes: one, or one at each of its positions.
///
/// The task of the data set is that of one position. Positions are combined, measured and calibrated like rows of their
/// own; rows stay whole wherever rows are drawn or dealt into folds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Positions {
    /// One prediction for each row. The default.
    #[default]
    One,
    /// A class at each position of a row: the pixels of an image, the tokens of a text. Targets are class ids of type
    /// `u32`, `(B, H, W)` or `(B, T)`, or with any other dimensions after the rows. A network puts out logits with one
    /// more dimension, for the classes: behind the rows, `(B, C, H, W)`, or last, `(B, T, C)`.
    Many {
        /// The id that marks positions without a class, such as padding. They are neither trained on nor measured.
        ignore_index: Option<u32>,
    },
    /// Several labels, each of which a row has or has not. Targets are 0 or 1, `(B, L)` of type `u32`, and a network
    /// puts out one logit for each label, `(B, L)`. The task is a classification with the classes 0 and 1.
    Labels {
        /// Number of labels, at least 1.
        labels: usize,
    },
}

impl Positions {
    /// Whether a row takes a single prediction.
    #[must_use]
    pub fn is_one(&self) -> bool {
        *self == Self::One
    }

    /// Refuses rows with several positions, for `what`, which works with one prediction for each row.
    pub(crate) fn check_one(self, what: &str) -> crate::Result<()> {
        match self.is_one() {
            true => Ok(()),
            false => Err(crate::Error::invalid(
                format!("the data of {what}"),
                "of one prediction for each row",
                self,
            )),
        }
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("of one prediction for each row"),
            Self::Many { .. } => f.write_str("of a class at each position of a row"),
            Self::Labels { labels } => write!(f, "of {labels} labels for each row"),
        }
    }
}

/// The inputs of some rows: one or several tensors, with rows along dimension 0.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::data::Inputs;
///
/// let image = Tensor::zeros((5, 1, 8, 8), candle_core::DType::F32, &Device::Cpu)?;
/// let text = Tensor::zeros((5, 12), candle_core::DType::U32, &Device::Cpu)?;
/// let inputs = Inputs::from(vec![image.clone(), text]);
/// assert_eq!(inputs.rows(), 5);
/// assert!(inputs.only().is_err());
/// assert_eq!(Inputs::from(image).only()?.dims(), [5, 1, 8, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inputs(Repr);

/// One tensor is the most common case, and needs no allocation.
#[derive(Clone, Debug)]
enum Repr {
    One(Tensor),
    Many(Vec<Tensor>),
}

impl Inputs {
    /// The tensor, where there is only one.
    ///
    /// # Errors
    /// When there are several tensors, or none.
    pub fn only(&self) -> CandleResult<&Tensor> {
        match &self.0 {
            Repr::One(tensor) => Ok(tensor),
            Repr::Many(tensors) => {
                bail!("the model takes one input tensor, but the data has {}", tensors.len())
            }
        }
    }

    /// All tensors.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        match &self.0 {
            Repr::One(tensor) => slice::from_ref(tensor),
            Repr::Many(tensors) => tensors,
        }
    }

    /// What the tensors are called in errors: `inputs`, or `inputs[0]` and so on where there are several.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> + use<> {
        let count = self.tensors().len();
        (0..count).map(move |i| if count == 1 { "inputs".into() } else { format!("inputs[{i}]") })
    }

    /// The number of rows: dimension 0 of the first tensor.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tensors().first().and_then(|t| t.dims().first()).copied().unwrap_or(0)
    }

    /// The `len` rows from row `start` on, as views.
    ///
    /// # Errors
    /// When a row is out of range.
    pub fn narrow(&self, start: usize, len: usize) -> CandleResult<Self> {
        self.map(|t| t.narrow(0, start, len))
    }

    /// Copies the rows with these numbers, in this order. A number may occur more than once.
    ///
    /// # Errors
    /// When there are no row numbers, or one is out of range.
    pub fn select(&self, rows: &[u32]) -> CandleResult<Self> {
        check_rows(rows, self.rows())?;
        self.map(|t| select(t, rows))
    }

    /// The inputs on `device`; no copy where they are there already.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_device(&self, device: &Device) -> CandleResult<Self> {
        self.map(|t| move_view(t, device))
    }

    /// Copies the columns with these numbers of a single input `(N, D)`; `None` returns all of the inputs.
    pub(crate) fn columns(&self, columns: Option<&[u32]>) -> CandleResult<Self> {
        let Some(columns) = columns else { return Ok(self.clone()) };
        let only = self.only()?;
        let &[_, width] = only.dims() else {
            bail!("the inputs whose columns {columns:?} are chosen must be (N, D), but are {:?}", only.dims())
        };
        match columns.iter().max() {
            Some(&last) if (last as usize) < width => {
                let ids = Tensor::from_slice(columns, columns.len(), only.device())?;
                Ok(only.index_select(&ids, 1)?.into())
            }
            _ => bail!(
                "each of the columns {columns:?} must be below {width}, the number of columns of the inputs"
            ),
        }
    }

    pub(super) fn map(&self, f: impl Fn(&Tensor) -> CandleResult<Tensor>) -> CandleResult<Self> {
        Ok(Self(match &self.0 {
            Repr::One(tensor) => Repr::One(f(tensor)?),
            Repr::Many(tensors) => Repr::Many(tensors.iter().map(f).collect::<CandleResult<_>>()?),
        }))
    }
}

impl From<Tensor> for Inputs {
    fn from(tensor: Tensor) -> Self {
        Self(Repr::One(tensor))
    }
}

impl From<&Tensor> for Inputs {
    fn from(tensor: &Tensor) -> Self {
        tensor.clone().into()
    }
}

impl From<&Inputs> for Inputs {
    fn from(inputs: &Inputs) -> Self {
        inputs.clone()
    }
}

impl From<Vec<Tensor>> for Inputs {
    fn from(mut tensors: Vec<Tensor>) -> Self {
        match tensors.pop() {
            Some(only) if tensors.is_empty() => only.into(),
            last => {
                tensors.extend(last);
                Self(Repr::Many(tensors))
            }
        }
    }
}

/// Moves a view to a device. `Tensor::to_device` copies the whole storage of a view, for a batch the whole
/// data set, so the view is made contiguous first.
pub(super) fn move_view(tensor: &Tensor, device: &Device) -> CandleResult<Tensor> {
    if tensor.device().same_device(device) {
        return Ok(tensor.clone());
    }
    tensor.force_contiguous()?.to_device(device)
}

/// Checks that there is at least one row, and that each is below `count`.
pub(super) fn check_rows(rows: &[u32], count: usize) -> CandleResult<()> {
    match rows.iter().max() {
        None => bail!("a batch needs at least one row"),
        Some(&row) if row as usize >= count => {
            bail!("row {row} is out of range: the data has {count} rows")
        }
        Some(_) => Ok(()),
    }
}

/// What rows are read for. A row may count differently for each.
///
/// | Purpose | The weights count in |
/// |---|---|
/// | `Training` | the loss that training minimises |
/// | `Validation` | the loss and the metric of validation rows: early stopping, plateaus, learning curves |
/// | `Scoring` | metrics, held-out predictions and what combiners learn from them, losses of merged networks |
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::data::{Dataset, Purpose, TensorDataset};
///
/// let x = Tensor::new(&[[0f32], [1.]], &Device::Cpu)?;
/// let data = TensorDataset::regression(x, &Tensor::new(&[0f32, 1.], &Device::Cpu)?)?
///     .with_training_weights(vec![1., 9.])?; // the second row is oversampled, and counts once where it is scored
/// let weights = |purpose| data.batch_for(purpose, &[0, 1], &Device::Cpu).map(|batch| batch.weights);
/// assert_eq!(weights(Purpose::Training)?.unwrap().to_vec1::<f32>()?, [1., 9.]);
/// assert!(weights(Purpose::Scoring)?.is_none());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A network is trained on the rows.
    Training,
    /// A training is watched on the rows.
    Validation,
    /// Predictions for the rows are measured, combined or fitted on.
    Scoring,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 3] = [Self::Training, Self::Validation, Self::Scoring];
}

/// The inputs and targets of some rows.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The inputs of the model.
    pub inputs: Inputs,
    /// The targets: class ids `(B,)` of type `u32`, or floats `(B,)` or `(B, K)`. Where a row has several
    /// [`Positions`], class ids `(B, …)` of type `u32`, one for each position.
    pub targets: Tensor,
    /// The weight of each row, `(B,)` of type `f32`; with `None` all rows count alike.
    pub weights: Option<Tensor>,
}

/// A data set: rows that can be fetched by number.
///
/// Use [`TensorDataset`](crate::data::TensorDataset) for data that fits in memory, and
/// [`FileDataset`](crate::data::FileDataset) for data in files that does not. Implement this trait for data that is
/// generated, augmented or read from elsewhere.
///
/// ```
/// use candle_core::{Device, Result, Tensor};
/// use candle_ensemble::data::{Batch, Dataset, Fingerprint, Task};
///
/// /// y = sin x at a million points, computed on demand.
/// struct Sine;
///
/// impl Dataset for Sine {
///     fn rows(&self) -> usize {
///         1_000_000
///     }
///     fn task(&self) -> Task {
///         Task::Regression { outputs: 1 }
///     }
///     fn batch(&self, rows: &[u32], device: &Device) -> Result<Batch> {
///         let x: Vec<f32> = rows.iter().map(|&row| row as f32 * 1e-5).collect();
///         let x = Tensor::from_vec(x, (rows.len(), 1), device)?;
///         Ok(Batch { targets: x.sin()?.squeeze(1)?, inputs: x.into(), weights: None })
///     }
///     fn fingerprint(&self) -> Fingerprint {
///         Fingerprint::of(b"sine, version 1")
///     }
/// }
///
/// assert_eq!(Sine.batch(&[0, 7], &Device::Cpu)?.targets.dims(), [2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// What a model of this data predicts, at each position where a row has several.
    fn task(&self) -> Task;

    /// How many predictions a row takes. The default is one.
    fn positions(&self) -> Positions {
        Positions::One
    }

    /// The rows with these numbers, in this order, on `device`. A number may occur more than once.
    ///
    /// # Errors
    /// When a row is out of range or the data cannot be read.
    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch>;

    /// The same rows with the weights that they have for a purpose. [`batch`](Self::batch) is the one for training. The
    /// default is that rows have the same weights for all purposes.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    fn batch_for(&self, _purpose: Purpose, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.batch(rows, device)
    }

    /// Soft targets of these rows, in this order, that a network is trained on in place of the targets of the
    /// [`batch`](Self::batch): `(B, C)` probabilities of the classes, or `(B, K)` values in the shape of the targets.
    /// Metrics and validation use the targets of the batch in any case. The default is that there are none.
    ///
    /// They are shares of annotators' votes, for example, or the predictions of other networks; see
    /// [`Distillation`](crate::train::Distillation). A data set has them for all of its rows or for none.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    fn soft_targets(&self, _rows: &[u32], _device: &Device) -> CandleResult<Option<Tensor>> {
        Ok(None)
    }

    /// The stratum of each row, for splits that keep proportions; for classification usually the class.
    fn strata(&self) -> Option<&[u32]> {
        None
    }

    /// The group of each row, such as a patient or a document. No group is split between rows trained on and
    /// rows held out.
    fn groups(&self) -> Option<&[u32]> {
        None
    }

    /// How the training rows of a run are shuffled in each epoch. The default is a full shuffle. Data whose rows are costly
    /// to read one by one asks for a shuffle in blocks, which then belongs to its [`fingerprint`](Self::fingerprint).
    fn shuffle(&self) -> Shuffle {
        Shuffle::Full
    }

    /// How many rows ahead of those that are being read [`read_ahead`](Self::read_ahead) is told. The default is 0: never.
    fn read_ahead_rows(&self) -> usize {
        0
    }

    /// Is told that these rows are read soon, in this order, so that they can be fetched meanwhile. It returns at once. It
    /// changes nothing of what the rows are, and what goes wrong is an error of the [`batch`](Self::batch) that needs it.
    fn read_ahead(&self, _rows: &[u32]) {}

    /// A digest of the content. Plans and stores use it to tell data sets apart.
    fn fingerprint(&self) -> Fingerprint;
}

/// The methods of a [`Dataset`] that has the rows of the one in its field `data`, with other targets or weights.
macro_rules! same_rows {
    () => {
        fn rows(&self) -> usize {
            self.data.rows()
        }

        fn strata(&self) -> Option<&[u32]> {
            self.data.strata()
        }

        fn groups(&self) -> Option<&[u32]> {
            self.data.groups()
        }

        fn shuffle(&self) -> $crate::data::Shuffle {
            self.data.shuffle()
        }

        fn read_ahead_rows(&self) -> usize {
            self.data.read_ahead_rows()
        }

        fn read_ahead(&self, rows: &[u32]) {
            self.data.read_ahead(rows);
        }
    };
}
pub(crate) use same_rows;

/// A digest of a data set's content: 32 bytes, displayed in hexadecimal.
///
/// ```
/// use candle_ensemble::data::Fingerprint;
///
/// let fingerprint = Fingerprint::of(b"abc");
/// assert_eq!(fingerprint.to_string(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
/// assert_eq!(Fingerprint::from(*fingerprint.as_bytes()), fingerprint);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The BLAKE3 hash of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Tensor {
        Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((3, 2)).unwrap()
    }

    #[test]
    fn a_vector_of_one_tensor_is_one_tensor() {
        assert!(Inputs::from(vec![numbers()]).only().is_ok());
        let two = Inputs::from(vec![numbers(), (numbers() * 2.).unwrap()]);
        assert!(two.only().unwrap_err().to_string().contains("has 2"));
        assert_eq!(two.tensors()[1].to_vec2::<f32>().unwrap()[2], [8., 10.], "the order stays");
        let none = Inputs::from(vec![]);
        assert_eq!((none.rows(), none.tensors().len()), (0, 0));
        assert!(none.only().is_err());
    }

    #[test]
    fn rows_are_narrowed_and_selected_in_every_tensor() {
        let inputs = Inputs::from(vec![numbers(), (numbers() * 10.).unwrap()]);
        let part = inputs.narrow(1, 2).unwrap();
        assert_eq!(part.tensors()[1].to_vec2::<f32>().unwrap(), [[20., 30.], [40., 50.]]);
        let part = inputs.select(&[2, 0, 2]).unwrap();
        assert_eq!(part.rows(), 3);
        assert_eq!(part.tensors()[0].to_vec2::<f32>().unwrap(), [[4., 5.], [0., 1.], [4., 5.]]);
        assert!(inputs.narrow(2, 2).is_err());
        assert!(inputs.select(&[3]).unwrap_err().to_string().contains("row 3 is out of range"));
        assert!(inputs.select(&[]).is_err());
        let same = inputs.to_device(&Device::Cpu).unwrap();
        assert_eq!(same.tensors()[0].id(), inputs.tensors()[0].id(), "nothing is copied");
    }

    #[test]
    fn a_fingerprint_is_read_back_by_serde() {
        let fingerprint = Fingerprint::of(b"x");
        let json = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), fingerprint);
        assert_ne!(fingerprint, Fingerprint::of(b"y"));
    }
}
