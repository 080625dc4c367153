//! What the library asks of a data set: rows that can be fetched by number.
use std::{fmt, slice};

use candle_core::{bail, Device, Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// One class of several; targets are class ids, `(B,)` `u32`.
    Classification {
        /// Number of classes; ids run from 0.
        classes: usize,
    },
    /// Real numbers; targets are `(B,)` or `(B, K)` floats.
    Regression {
        /// Numbers predicted for each row.
        outputs: usize,
    },
}

impl Task {
    /// Numbers that a model puts out for each row: classes, or outputs.
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

/// Inputs of some rows: one tensor or several, rows along dimension 0.
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

/// One tensor is by far the commonest case, and needs no allocation.
#[derive(Clone, Debug)]
enum Repr {
    One(Tensor),
    Many(Vec<Tensor>),
}

impl Inputs {
    /// The tensor, where there is only one.
    ///
    /// # Errors
    /// There are several, or none.
    pub fn only(&self) -> CResult<&Tensor> {
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

    /// Number of rows: dimension 0 of the first tensor.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tensors().first().and_then(|t| t.dims().first()).copied().unwrap_or(0)
    }

    /// The `len` rows from `start`, as views.
    ///
    /// # Errors
    /// Rows out of range.
    pub fn narrow(&self, start: usize, len: usize) -> CResult<Self> {
        self.map(|t| t.narrow(0, start, len))
    }

    /// The rows of these numbers, in this order, copied; a number may occur more than once.
    ///
    /// # Errors
    /// No rows, or rows out of range.
    pub fn select(&self, rows: &[u32]) -> CResult<Self> {
        check_rows(rows, self.rows())?;
        let Some(first) = self.tensors().first() else { return Ok(self.clone()) };
        self.index(&Tensor::from_slice(rows, rows.len(), first.device())?)
    }

    /// The same on `device`; no copy where they are there already.
    ///
    /// # Errors
    /// Those of the device.
    pub fn to_device(&self, device: &Device) -> CResult<Self> {
        self.map(|t| move_view(t, device))
    }

    /// The columns of these numbers, copied, of a single input `(N, D)`; everything, where `columns` is `None`.
    pub(crate) fn columns(&self, columns: Option<&[u32]>) -> CResult<Self> {
        let Some(columns) = columns else { return Ok(self.clone()) };
        let only = self.only()?;
        let (_, width) = only.dims2()?;
        match columns.iter().max() {
            Some(&last) if (last as usize) < width => {
                let ids = Tensor::from_slice(columns, columns.len(), only.device())?;
                Ok(only.index_select(&ids, 1)?.into())
            }
            _ => bail!("columns {columns:?} must be some of the inputs' {width}, from 0"),
        }
    }

    /// The rows whose numbers `ids`, `(B,)` `u32`, holds. Numbers must have been checked.
    pub(super) fn index(&self, ids: &Tensor) -> CResult<Self> {
        self.map(|t| t.index_select(ids, 0))
    }

    pub(super) fn map(&self, f: impl Fn(&Tensor) -> CResult<Tensor>) -> CResult<Self> {
        Ok(Self(match &self.0 {
            Repr::One(tensor) => Repr::One(f(tensor)?),
            Repr::Many(tensors) => Repr::Many(tensors.iter().map(f).collect::<CResult<_>>()?),
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

/// `Tensor::to_device` copies all of the storage beneath a view, the whole data set for a batch: so the view
/// is made dense first.
pub(super) fn move_view(tensor: &Tensor, device: &Device) -> CResult<Tensor> {
    if tensor.device().same_device(device) {
        return Ok(tensor.clone());
    }
    tensor.force_contiguous()?.to_device(device)
}

/// At least one row, and each below `of`.
pub(super) fn check_rows(rows: &[u32], of: usize) -> CResult<()> {
    match rows.iter().max() {
        None => bail!("a batch needs at least one row"),
        Some(&row) if row as usize >= of => {
            bail!("row {row} is out of range: the data has {of} rows, from 0")
        }
        Some(_) => Ok(()),
    }
}

/// Some rows with their targets.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the model sees.
    pub inputs: Inputs,
    /// `(B,)` `u32` class ids, or `(B,)` or `(B, K)` floats.
    pub targets: Tensor,
    /// How much each row counts, `(B,)` `f32`; all the same where missing.
    pub weights: Option<Tensor>,
}

/// Rows that can be fetched by number.
///
/// [`TensorDataset`](crate::data::TensorDataset) is the one to use where the data fits in memory; implement this
/// trait for data that is read from disk, generated or augmented.
///
/// ```
/// use candle_core::{Device, Result, Tensor};
/// use candle_ensemble::data::{Batch, Dataset, Fingerprint, Task};
///
/// /// y = sin x at a million points, made as they are asked for.
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
    /// Number of rows.
    fn rows(&self) -> usize;

    /// What is predicted.
    fn task(&self) -> Task;

    /// The rows of these numbers, in this order, on `device`; a number may occur more than once.
    ///
    /// # Errors
    /// Rows out of range, or whatever keeps the data from being read.
    fn batch(&self, rows: &[u32], device: &Device) -> CResult<Batch>;

    /// The class or stratum of each row, for splits that keep proportions.
    fn strata(&self) -> Option<&[u32]> {
        None
    }

    /// The group of each row (a patient, a document): a group is never split between rows trained on and rows
    /// held out.
    fn groups(&self) -> Option<&[u32]> {
        None
    }

    /// Digest of the content, by which results of one data set are kept apart from those of another.
    fn fingerprint(&self) -> Fingerprint;
}

/// Digest of a data set's content; 32 bytes, shown in hexadecimal.
///
/// ```
/// use candle_ensemble::data::Fingerprint;
///
/// let print = Fingerprint::of(b"abc");
/// assert_eq!(print.to_string(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
/// assert_eq!(Fingerprint::from(*print.as_bytes()), print);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// BLAKE3 of `content`.
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
    fn one_tensor_in_a_vector_is_one_tensor() {
        assert!(Inputs::from(vec![numbers()]).only().is_ok());
        let two = Inputs::from(vec![numbers(), (numbers() * 2.).unwrap()]);
        assert!(two.only().unwrap_err().to_string().contains("has 2"));
        assert_eq!(two.tensors()[1].to_vec2::<f32>().unwrap()[2], [8., 10.], "the order is kept");
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
    fn a_fingerprint_survives_serde() {
        let print = Fingerprint::of(b"x");
        let json = serde_json::to_string(&print).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), print);
        assert_ne!(print, Fingerprint::of(b"y"));
    }
}
