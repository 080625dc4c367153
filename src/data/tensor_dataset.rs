//! Data sets in memory.
pub(super) mod row_weights;
mod soft;

use crate::{
    data::{
        dataset::{check_rows, move_view},
        values::{digest, on_cpu},
        Batch, Dataset, Fingerprint, Inputs, Positions, Purpose, Task,
    },
    kernels::{cpu::on_values, rows::select},
    Error, Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor, WithDType};
use row_weights::RowWeights;
use std::{fmt, sync::Arc};

/// A data set in memory, on the device of its inputs.
///
/// The constructors check everything: equal numbers of rows, no NaN, no infinity, class ids in range. Clones
/// share the data. The fingerprint is a BLAKE3 hash of dtypes, dimensions, values and task; it does not
/// depend on the device.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::data::{Dataset, Task, TensorDataset};
///
/// let inputs = Tensor::new(&[[0f32, 1.], [1., 0.], [1., 1.]], &Device::Cpu)?;
/// let targets = Tensor::new(&[0u32, 1, 1], &Device::Cpu)?;
/// let data = TensorDataset::classification(inputs, &targets)?.with_weights(vec![1., 1., 0.5])?;
/// assert_eq!(data.task(), Task::Classification { classes: 2 });
///
/// let batch = data.batch(&[2, 0], &Device::Cpu)?;
/// assert_eq!(batch.inputs.only()?.to_vec2::<f32>()?, [[1., 1.], [0., 1.]]);
/// assert_eq!(batch.targets.to_vec1::<u32>()?, [1, 0]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone)]
pub struct TensorDataset {
    inputs: Inputs,
    targets: Tensor,
    weights: RowWeights,
    /// What networks are trained on in place of the targets.
    soft: Option<Tensor>,
    labels: Option<Arc<[u32]>>,
    strata: Option<Arc<[u32]>>,
    groups: Option<Arc<[u32]>>,
    task: Task,
    positions: Positions,
    digests: Digests,
}

/// The digests of the parts, so that setting one part does not hash the others again.
#[derive(Clone, Default)]
pub(super) struct Digests {
    pub(super) data: [u8; 32],
    pub(super) soft: [u8; 32],
    pub(super) strata: [u8; 32],
    pub(super) groups: [u8; 32],
}

impl Digests {
    /// The fingerprint of a data set with these parts.
    pub(super) fn fingerprint(
        &self,
        has_soft: bool,
        weights: &RowWeights,
        (task, positions): (Task, Positions),
    ) -> Fingerprint {
        let Self { data, soft, strata, groups } = self;
        let (weights, mut task) = (weights.digest(), format!("candle-ensemble data 1 {task:?}"));
        if !positions.is_one() {
            task += &format!(" {positions:?}");
        }
        // Nothing of soft targets where there are none, so that data sets of earlier versions keep theirs.
        let soft = if has_soft { &soft[..] } else { &[] };
        Fingerprint::of(&[data, &weights[..], strata, groups, task.as_bytes(), soft].concat())
    }
}

impl TensorDataset {
    /// A data set for classification: inputs with rows along dimension 0, of any float or integer dtype, and
    /// class ids `(N,)` of any integer dtype. The number of classes is the highest id plus 1, unless
    /// [`Self::with_classes`] sets it.
    ///
    /// # Errors
    /// When there are no rows, the numbers of rows differ, a value is NaN or infinite, an id is negative, or
    /// there is only one class.
    pub fn classification(inputs: impl Into<Inputs>, targets: &Tensor) -> Result<Self> {
        let labels = labels(targets)?;
        let classes = labels.iter().max().map_or(0, |&c| c as usize + 1);
        if labels.iter().all(|c| Some(c) == labels.first()) && !labels.is_empty() {
            return Err(Error::invalid("targets", "of more than one class", "of one class only"));
        }
        Self::assemble(inputs.into(), targets, Some(labels.into()), Task::Classification { classes })
    }

    /// A data set for regression with `K` outputs: inputs as in [`Self::classification`], and targets of
    /// floats `(N,)`, for one output, or `(N, K)`.
    ///
    /// # Errors
    /// When there are no rows, the numbers of rows differ, a value is NaN or infinite, or the targets are not
    /// floats.
    pub fn regression(inputs: impl Into<Inputs>, targets: &Tensor) -> Result<Self> {
        let outputs = match *targets.dims() {
            [_] => 1,
            [_, outputs] => outputs,
            _ => return Err(Error::invalid("targets", "of shape (N,) or (N, K)", shape(targets))),
        };
        if !targets.dtype().is_float() {
            return Err(Error::invalid("targets of a regression", "floats", targets.dtype().as_str()));
        }
        Self::assemble(inputs.into(), targets, None, Task::Regression { outputs })
    }

    pub(super) fn assemble(
        inputs: Inputs,
        targets: &Tensor,
        labels: Option<Arc<[u32]>>,
        task: Task,
    ) -> Result<Self> {
        let rows = inputs.rows();
        let Some(device) = inputs.tensors().first().map(|t| t.device().clone()) else {
            return Err(Error::invalid("inputs", "at least one tensor", "none"));
        };
        // Row numbers are u32, and candle treats the highest one as a missing index.
        if rows >= u32::MAX as usize {
            return Err(Error::invalid("the number of rows", format!("below {}", u32::MAX), rows));
        }
        for (name, tensor) in names(&inputs).zip(inputs.tensors().iter().chain([targets])) {
            if tensor.elem_count() == 0 || tensor.rank() == 0 {
                return Err(Error::invalid(name, "at least one row of at least one value", shape(tensor)));
            }
            if tensor.dim(0)? != rows {
                return Err(Error::invalid(name, format!("{rows} rows, as the first input"), tensor.dim(0)?));
            }
        }
        let ready = |t: &Tensor| move_view(&t.detach(), &device)?.contiguous();
        let inputs = inputs.map(ready)?;
        let targets = match &labels {
            Some(labels) => Tensor::from_slice(labels, rows, &device)?,
            None => ready(targets)?,
        };
        let mut hasher = blake3::Hasher::new();
        for (name, tensor) in names(&inputs).zip(inputs.tensors().iter().chain([&targets])) {
            hasher.update(&digest(&name, tensor)?);
        }
        let digests = Digests { data: *hasher.finalize().as_bytes(), ..Digests::default() };
        let (weights, soft, strata, groups) = (RowWeights::default(), None, None, None);
        let positions = Positions::One;
        Ok(Self { inputs, targets, weights, soft, labels, strata, groups, task, positions, digests })
    }

    /// The same data with targets of several positions for each row.
    pub(super) fn with_positions(self, positions: Positions) -> Self {
        Self { positions, ..self }
    }

    /// Sets the number of classes, for data in whose rows the highest classes do not occur.
    ///
    /// # Errors
    /// When this is a regression, or a class id is not below `classes`.
    pub fn with_classes(mut self, classes: usize) -> Result<Self> {
        let highest = match (self.task, self.positions) {
            (Task::Classification { .. }, Positions::One | Positions::Many { .. }) => self.highest_class()?,
            (task, Positions::One) => {
                return Err(Error::invalid("the task of a data set with classes", "classification", task));
            }
            (_, labels) => {
                return Err(Error::invalid("the targets of a data set with classes", "classes", labels));
            }
        };
        if classes <= highest {
            return Err(Error::invalid("classes", format!("above the highest class id, {highest}"), classes));
        }
        self.task = Task::Classification { classes };
        Ok(self)
    }

    /// Sets the stratum of each row. The default is the class.
    ///
    /// # Errors
    /// When there is not one stratum for each row.
    pub fn with_strata(mut self, strata: Vec<u32>) -> Result<Self> {
        self.check_length("strata", strata.len())?;
        self.digests.strata = digest_ids(&strata);
        self.strata = Some(strata.into());
        Ok(self)
    }

    /// Sets the group of each row. No group is split between rows trained on and rows held out.
    ///
    /// # Errors
    /// When there is not one group for each row.
    pub fn with_groups(mut self, groups: Vec<u32>) -> Result<Self> {
        self.check_length("groups", groups.len())?;
        self.digests.groups = digest_ids(&groups);
        self.groups = Some(groups.into());
        Ok(self)
    }

    /// The data set of the rows with these numbers, in this order, with the same task. A number may occur
    /// more than once.
    ///
    /// # Errors
    /// When there are no row numbers, one is out of range, or all rows have weight 0.
    pub fn subset(&self, rows: &[u32]) -> Result<Self> {
        let part = self.batch(rows, self.targets.device())?;
        let of = |ids: &Arc<[u32]>| rows.iter().filter_map(|&row| ids.get(row as usize).copied()).collect();
        let labels = self.labels.as_ref().map(|ids| Vec::into(of(ids)));
        let data = Self::assemble(part.inputs, &part.targets, labels, self.task)?;
        let mut data = data.with_positions(self.positions);
        for purpose in Purpose::ALL {
            if let Some(weights) = self.weights.of(purpose) {
                let part = select(weights, rows)?.to_vec1()?;
                data = data.with_weights_for(&[purpose], part)?;
            }
        }
        if let Some(soft) = &self.soft {
            data = data.with_soft_targets(&select(soft, rows)?)?;
        }
        if let Some(strata) = &self.strata {
            data = data.with_strata(of(strata))?;
        }
        if let Some(groups) = &self.groups {
            data = data.with_groups(of(groups))?;
        }
        Ok(data)
    }

    /// The same rows with other inputs: targets, soft targets, task, weights, strata and groups stay.
    ///
    /// # Errors
    /// When the number of rows differs, or a value is NaN or infinite.
    pub fn with_inputs(&self, inputs: impl Into<Inputs>) -> Result<Self> {
        let data = Self::assemble(inputs.into(), &self.targets, self.labels.clone(), self.task)?;
        self.check_length("rows of the inputs", data.rows())?;
        let digests = Digests { data: data.digests.data, ..self.digests.clone() };
        let (weights, soft) = (self.weights.clone(), self.soft.clone());
        let (strata, groups, positions) = (self.strata.clone(), self.groups.clone(), self.positions);
        Ok(Self { weights, soft, strata, groups, digests, positions, ..data })
    }

    /// The inputs of all rows.
    #[must_use]
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The targets of all rows: class ids `(N,)`, or `(N, …)` of positions, of type `u32`, or floats `(N,)` or
    /// `(N, K)`.
    #[must_use]
    pub fn targets(&self) -> &Tensor {
        &self.targets
    }

    /// The class ids of all rows; `None` for a regression, and where rows have several positions.
    #[must_use]
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    /// The number of classes; `None` for a regression.
    #[must_use]
    pub fn classes(&self) -> Option<usize> {
        match self.task {
            Task::Classification { classes } => Some(classes),
            Task::Regression { .. } => None,
        }
    }

    /// The highest class id of all rows, or of all positions that have a class.
    fn highest_class(&self) -> Result<usize> {
        let ignored = match self.positions {
            Positions::Many { ignore_index } => ignore_index,
            _ => None,
        };
        let ids = on_cpu(&self.targets)?.flatten_all()?.to_vec1::<u32>()?;
        Ok(ids.into_iter().filter(|id| Some(*id) != ignored).max().map_or(0, |highest| highest as usize))
    }

    fn check_length(&self, name: &str, len: usize) -> Result<()> {
        let rows = self.rows();
        if len == rows {
            Ok(())
        } else {
            Err(Error::invalid(format!("the number of {name}"), format!("that of rows, {rows}"), len))
        }
    }
}

impl Dataset for TensorDataset {
    fn rows(&self) -> usize {
        self.inputs.rows()
    }

    fn task(&self) -> Task {
        self.task
    }

    fn positions(&self) -> Positions {
        self.positions
    }

    /// Consecutive rows are returned as a view, without a copy, if the data is on `device` already.
    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.batch_for(Purpose::Training, rows, device)
    }

    fn batch_for(&self, purpose: Purpose, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.pick(rows, device, |rows| {
            Ok(Batch {
                inputs: self.inputs.map(rows)?,
                targets: rows(&self.targets)?,
                weights: self.weights.of(purpose).map(rows).transpose()?,
            })
        })
    }

    fn soft_targets(&self, rows: &[u32], device: &Device) -> CandleResult<Option<Tensor>> {
        let Some(soft) = &self.soft else { return Ok(None) };
        self.pick(rows, device, |rows| rows(soft).map(Some))
    }

    fn strata(&self) -> Option<&[u32]> {
        self.strata.as_deref().or(self.labels())
    }

    fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.digests.fingerprint(self.soft.is_some(), &self.weights, (self.task, self.positions))
    }
}

impl TensorDataset {
    /// Makes something of these rows of tensors with a row for each row of the data.
    fn pick<T>(
        &self,
        rows: &[u32],
        device: &Device,
        make: impl Fn(&PickRows<'_>) -> CandleResult<T>,
    ) -> CandleResult<T> {
        check_rows(rows, self.rows())?;
        let here = self.targets.device();
        if here.same_device(device)
            && let Some(start) = start_of_range(rows)
        {
            return make(&|t| t.narrow(0, start, rows.len()));
        }
        make(&|t| select(t, rows)?.to_device(device))
    }
}

/// Takes some rows of a tensor.
type PickRows<'a> = dyn Fn(&Tensor) -> CandleResult<Tensor> + 'a;

impl fmt::Debug for TensorDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorDataset")
            .field("task", &self.task)
            .field("positions", &self.positions)
            .field("inputs", &self.inputs.tensors())
            .field("targets", &self.targets)
            .field("weights", &self.weights())
            .field("soft", &self.soft.is_some())
            .field("strata", &self.strata.is_some())
            .field("groups", &self.groups.is_some())
            .finish()
    }
}

/// The first row, if the rows are consecutive.
fn start_of_range(rows: &[u32]) -> Option<usize> {
    let first = *rows.first()?;
    rows.iter().zip(first..).all(|(&row, next)| row == next).then_some(first as usize)
}

/// The names of the inputs, and of the targets after them, in error messages.
fn names(inputs: &Inputs) -> impl Iterator<Item = String> {
    inputs.names().chain(["targets".into()])
}

pub(super) fn shape(tensor: &Tensor) -> String {
    format!("of shape {:?}", tensor.dims())
}

pub(super) fn digest_ids(ids: &[u32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    ids.iter().for_each(|id| _ = hasher.update(&id.to_le_bytes()));
    *hasher.finalize().as_bytes()
}

/// Class ids as `u32`.
fn labels(targets: &Tensor) -> Result<Vec<u32>> {
    if !targets.dtype().is_int() {
        return Err(Error::invalid("targets of a classification", "integers", targets.dtype().as_str()));
    }
    if targets.rank() != 1 {
        return Err(Error::invalid("targets of a classification", "of shape (N,)", shape(targets)));
    }
    let targets = on_cpu(targets)?;
    if targets.dtype() == DType::U32 {
        // Without a conversion through f64.
        return targets.to_vec1().map_err(Error::from).and_then(|ids| {
            match ids.iter().position(|&c| c == u32::MAX) {
                Some(row) => Err(bad_label(row, u32::MAX)),
                None => Ok(ids),
            }
        });
    }
    on_values!(targets, values => values.iter().enumerate().map(|(row, &x)| label(row, x)).collect())
}

/// f64 represents every valid class id exactly, and the integers that it rounds are out of range.
pub(super) fn label<T: WithDType>(row: usize, x: T) -> Result<u32> {
    let id = x.to_f64();
    if (0. ..f64::from(u32::MAX)).contains(&id) {
        Ok(id as u32)
    } else {
        Err(bad_label(row, x))
    }
}

fn bad_label(row: usize, id: impl fmt::Display) -> Error {
    Error::invalid(format!("the class id in row {row}"), format!("from 0 to {}", u32::MAX - 1), id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CPU: Device = Device::Cpu;

    /// 4 rows of 2 numbers, of classes 0, 2, 1, 2.
    fn four() -> TensorDataset {
        let x = Tensor::arange(0f32, 8., &CPU).unwrap().reshape((4, 2)).unwrap();
        TensorDataset::classification(x, &Tensor::new(&[0u32, 2, 1, 2], &CPU).unwrap()).unwrap()
    }

    fn ones(rows: usize) -> Tensor {
        Tensor::ones((rows, 2), DType::F32, &CPU).unwrap()
    }

    fn assert_refused(result: Result<TensorDataset>, what: &str) {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(what), "{message:?} does not contain {what:?}");
    }

    #[test]
    fn class_ids_of_every_integer_type_are_read() {
        for dtype in [DType::U8, DType::U32, DType::I16, DType::I32, DType::I64] {
            let y = Tensor::new(&[0u32, 2, 1, 2], &CPU).unwrap().to_dtype(dtype).unwrap();
            let data = TensorDataset::classification(four().inputs().clone(), &y).unwrap();
            assert_eq!(data.labels().unwrap(), [0, 2, 1, 2], "{dtype:?}");
            assert_eq!(data.targets().dtype(), DType::U32);
            assert_eq!((data.classes(), data.strata()), (Some(3), data.labels()));
            assert_eq!(data.fingerprint(), four().fingerprint());
        }
    }

    #[test]
    fn bad_targets_of_a_classification_are_named() {
        let of = |y: &Tensor| TensorDataset::classification(ones(3), y);
        assert_refused(
            of(&Tensor::new(&[0i64, -1, 1], &CPU).unwrap()),
            "class id in row 1 must be from 0 to 4294967294, but is -1",
        );
        assert_refused(of(&Tensor::new(&[0i64, 1, 1 << 40], &CPU).unwrap()), "row 2");
        assert_refused(of(&Tensor::new(&[u32::MAX, 1, 1], &CPU).unwrap()), "row 0");
        assert_refused(of(&Tensor::new(&[0f32, 1., 1.], &CPU).unwrap()), "must be integers, but is f32");
        assert_refused(of(&Tensor::new(&[[0u32], [1], [1]], &CPU).unwrap()), "of shape (N,)");
        assert_refused(of(&Tensor::new(&[1u32, 1, 1], &CPU).unwrap()), "of more than one class");
        assert_refused(of(&Tensor::new(&[0u32, 1], &CPU).unwrap()), "3 rows, as the first input, but is 2");
        assert_refused(four().with_classes(2), "above the highest class id, 2");
        assert_eq!(four().with_classes(7).unwrap().task(), Task::Classification { classes: 7 });
    }

    #[test]
    fn bad_inputs_are_named() {
        let y = Tensor::new(&[0f32, 1., 2.], &CPU).unwrap();
        let of = |x: Inputs| TensorDataset::regression(x, &y);
        let holes = Tensor::new(&[[0f64, 1.], [1., f64::NAN], [f64::INFINITY, 1.]], &CPU).unwrap();
        assert_refused(of(holes.clone().into()), "inputs, row 1, column 1 must be finite, but is NaN");
        assert_refused(
            of(vec![ones(3), holes.to_dtype(DType::F16).unwrap()].into()),
            "inputs[1], row 1, column 1 must be finite",
        );
        assert_refused(of(vec![ones(3), ones(2)].into()), "inputs[1] must be 3 rows");
        assert_refused(of(vec![].into()), "at least one tensor");
        assert_refused(of(Tensor::zeros((0, 2), DType::F32, &CPU).unwrap().into()), "at least one row");
        assert_refused(of(Tensor::zeros((3, 0), DType::F32, &CPU).unwrap().into()), "at least one value");
        assert_refused(of(Tensor::zeros((), DType::F32, &CPU).unwrap().into()), "at least one row");
        let tokens = Tensor::new(&[[1u32, 2], [3, 4], [5, 6]], &CPU).unwrap();
        assert!(of(tokens.into()).is_ok(), "token ids are inputs");
    }

    #[test]
    fn bad_targets_of_a_regression_are_named() {
        let of = |y: &Tensor| TensorDataset::regression(ones(2), y);
        assert_refused(
            of(&Tensor::new(&[0f32, f32::NAN], &CPU).unwrap()),
            "targets, row 1 must be finite, but is NaN",
        );
        assert_refused(of(&Tensor::new(&[0u32, 1], &CPU).unwrap()), "must be floats, but is u32");
        assert_refused(of(&Tensor::zeros((2, 1, 1), DType::F32, &CPU).unwrap()), "(N,) or (N, K)");
        let two = of(&Tensor::new(&[[0f64, 1.], [1., 2.]], &CPU).unwrap()).unwrap();
        assert_eq!((two.task(), two.task().width()), (Task::Regression { outputs: 2 }, 2));
        assert_eq!((two.classes(), two.labels(), two.strata()), (None, None, None));
        assert_eq!(two.targets().dtype(), DType::F64, "the dtype is kept");
        assert_refused(two.with_classes(3), "regression");
    }

    #[test]
    fn bad_weights_strata_and_groups_are_named() {
        assert_refused(
            four().with_weights(vec![1.; 3]),
            "the number of weights must be that of rows, 4, but is 3",
        );
        assert_refused(
            four().with_weights(vec![1., -1., 1., 1.]),
            "the weight of row 1 must be finite and not negative, but is -1",
        );
        assert_refused(four().with_weights(vec![1., 1., f32::NAN, 1.]), "row 2");
        assert_refused(four().with_weights(vec![0.; 4]), "above 0 for at least one row");
        assert_refused(four().with_strata(vec![1; 5]), "the number of strata");
        assert_refused(four().with_groups(vec![]), "the number of groups");
    }

    #[test]
    fn a_subset_has_the_weights_strata_and_groups_of_its_rows() {
        let data = four().with_weights(vec![1., 2., 3., 4.]).unwrap();
        let data = data.with_strata(vec![5, 6, 7, 8]).unwrap().with_groups(vec![1, 1, 2, 2]).unwrap();
        let part = data.subset(&[3, 1, 3]).unwrap();
        assert_eq!(part.inputs().only().unwrap().to_vec2::<f32>().unwrap(), [[6., 7.], [2., 3.], [6., 7.]]);
        assert_eq!(part.labels().unwrap(), [2, 2, 2], "a subset may have one class only");
        assert_eq!(part.classes(), Some(3));
        assert_eq!(part.weights().unwrap().to_vec1::<f32>().unwrap(), [4., 2., 4.]);
        assert_eq!(part.strata().unwrap(), [8, 6, 8]);
        assert_eq!(part.groups().unwrap(), [2, 1, 2]);
        assert_eq!(data.subset(&[0, 1, 2, 3]).unwrap().fingerprint(), data.fingerprint());
        assert_refused(data.subset(&[4]), "row 4 is out of range: the data has 4 rows");
        assert_refused(data.subset(&[]), "at least one row");
    }

    #[test]
    fn any_change_of_the_content_changes_the_fingerprint() {
        let x = |v: f32| Tensor::new(&[[v, 1.], [2., 3.]], &CPU).unwrap();
        let y = |v: u32| Tensor::new(&[0, v], &CPU).unwrap();
        let of = |x: Tensor, y: Tensor| TensorDataset::classification(x, &y).unwrap();
        let base = of(x(0.), y(1));
        let others = [
            of(x(1e-30), y(1)),
            of(x(0.), y(2)),
            of(x(0.).to_dtype(DType::F64).unwrap(), y(1)),
            of(x(0.).reshape((2, 1, 2)).unwrap(), y(1)),
            base.clone().with_classes(3).unwrap(),
            base.clone().with_weights(vec![1., 1.]).unwrap(),
            base.clone().with_weights(vec![1., 2.]).unwrap(),
            base.clone().with_strata(vec![1, 0]).unwrap(),
            base.clone().with_groups(vec![1, 0]).unwrap(),
            TensorDataset::classification(vec![x(0.), x(0.)], &y(1)).unwrap(),
        ];
        let mut prints: Vec<_> = others.iter().chain([&base]).map(Dataset::fingerprint).collect();
        assert_eq!(prints[10], of(x(0.), y(1)).fingerprint());
        prints.sort();
        prints.dedup();
        assert_eq!(prints.len(), 11);
        let swapped = base.clone().with_groups(vec![1, 0]).unwrap().with_strata(vec![0, 1]).unwrap();
        let order = base.with_strata(vec![0, 1]).unwrap().with_groups(vec![1, 0]).unwrap();
        assert_eq!(swapped.fingerprint(), order.fingerprint(), "the order of the setters does not matter");
    }

    #[test]
    fn weights_for_three_purposes_are_three() {
        let weights = |data: &TensorDataset, purpose| {
            let batch = data.batch_for(purpose, &[3, 1], &CPU).unwrap();
            batch.weights.map(|weights| weights.to_vec1::<f32>().unwrap())
        };
        let data = four().with_training_weights(vec![1., 2., 3., 4.]).unwrap();
        assert_eq!(weights(&data, Purpose::Training), Some(vec![4., 2.]));
        assert_eq!((weights(&data, Purpose::Validation), weights(&data, Purpose::Scoring)), (None, None));
        let data = data.with_validation_weights(vec![5., 6., 7., 8.]).unwrap();
        let data = data.with_scoring_weights(vec![0., 0., 1., 9.]).unwrap();
        assert_eq!(weights(&data, Purpose::Training), Some(vec![4., 2.]));
        assert_eq!(weights(&data, Purpose::Validation), Some(vec![8., 6.]));
        assert_eq!(weights(&data, Purpose::Scoring), Some(vec![9., 0.]));
        assert_eq!(data.batch(&[0], &CPU).unwrap().weights.unwrap().to_vec1::<f32>().unwrap(), [1.]);
        let part = data.subset(&[3, 1]).unwrap();
        for purpose in Purpose::ALL {
            let of_part = part.weights_for(purpose).unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(Some(of_part), weights(&data, purpose), "{purpose:?}");
        }
        // The same weights for all purposes are one set of weights, in whatever order they are set.
        let all = four().with_weights(vec![1., 2., 3., 4.]).unwrap();
        let each = four().with_scoring_weights(vec![1., 2., 3., 4.]).unwrap();
        let each = each.with_training_weights(vec![1., 2., 3., 4.]).unwrap();
        assert_ne!(each.fingerprint(), all.fingerprint());
        let each = each.with_validation_weights(vec![1., 2., 3., 4.]).unwrap();
        assert_eq!(each.fingerprint(), all.fingerprint());
        assert_refused(four().with_scoring_weights(vec![0.; 4]), "above 0 for at least one row");
    }

    #[test]
    fn soft_targets_are_checked_and_belong_to_the_rows() {
        let soft = [[0.5f32, 0.25, 0.25], [0., 0., 1.], [0.1, 0.9, 0.], [0.3, 0.3, 0.4]];
        let tensor = Tensor::new(&soft, &CPU).unwrap();
        let data = four().with_soft_targets(&tensor).unwrap();
        assert_ne!(data.fingerprint(), four().fingerprint());
        let of = |data: &TensorDataset, rows: &[u32]| {
            data.soft_targets(rows, &CPU).unwrap().map(|soft| soft.to_vec2::<f32>().unwrap())
        };
        assert_eq!(of(&data, &[2, 0]), Some(vec![soft[2].to_vec(), soft[0].to_vec()]));
        assert_eq!(of(&data.subset(&[1, 1]).unwrap(), &[1]), Some(vec![soft[1].to_vec()]));
        assert_eq!(of(&data.with_inputs(ones(4)).unwrap(), &[3]), Some(vec![soft[3].to_vec()]));
        assert_eq!(of(&four(), &[0]), None);
        assert!(data.soft_targets(&[4], &CPU).is_err());
        assert_eq!(data.labels().unwrap(), [0, 2, 1, 2], "labels stay");

        let made = TensorDataset::soft_classification(four().inputs().clone(), &tensor).unwrap();
        assert_eq!((made.labels().unwrap(), made.classes()), (&[0, 2, 1, 2][..], Some(3)));
        assert_eq!(made.fingerprint(), data.fingerprint());

        let with = |rows: [[f32; 3]; 4]| four().with_soft_targets(&Tensor::new(&rows, &CPU).unwrap());
        let mut wrong = soft;
        wrong[1] = [0., 0., 0.9];
        assert_refused(with(wrong), "the sum of the soft targets of row 1 must be 1, but is 0.89");
        wrong[1] = [-0.5, 0.5, 1.];
        assert_refused(with(wrong), "the soft target of row 1, class 0, must be 0 or more");
        wrong[1] = [f32::NAN, 0.5, 0.5];
        assert_refused(with(wrong), "soft targets, row 1, column 0 must be finite");
        assert_refused(
            four().with_soft_targets(&ones(4)),
            "must be floats of shape [4, 3], but is f32 of shape",
        );
        let values = TensorDataset::regression(ones(2), &Tensor::new(&[0f32, 1.], &CPU).unwrap()).unwrap();
        assert!(values.clone().with_soft_targets(&Tensor::new(&[7f32, -3.], &CPU).unwrap()).is_ok());
        assert_refused(values.with_soft_targets(&ones(2)), "of shape [2]");
    }

    #[test]
    fn views_and_variables_are_copied_and_detached() {
        let var = candle_core::Var::from_tensor(&ones(4)).unwrap();
        let wide = Tensor::cat(&[var.as_tensor(), var.as_tensor()], 1).unwrap();
        let data = TensorDataset::regression(wide.narrow(1, 1, 2).unwrap(), &ones(4)).unwrap();
        let batch = data.batch(&[0, 2], &CPU).unwrap();
        assert!(!batch.inputs.only().unwrap().track_op());
        assert_eq!(batch.inputs.only().unwrap().to_vec2::<f32>().unwrap(), [[1.; 2]; 2]);
    }

    #[test]
    fn a_batch_out_of_range_is_an_error() {
        for rows in [&[0u32, 4][..], &[u32::MAX], &[3, 4], &[]] {
            assert!(four().batch(rows, &CPU).is_err(), "{rows:?}");
        }
    }

    proptest! {
        /// Both views and copies have the requested rows.
        #[test]
        fn a_batch_has_the_requested_rows(rows in prop_oneof![
            proptest::collection::vec(0u32..50, 1..20),
            (0u32..50, 1u32..10).prop_map(|(a, n)| (a..(a + n).min(50)).collect()),
        ]) {
            let x = Tensor::arange(0f32, 150., &CPU).unwrap().reshape((50, 3)).unwrap();
            let y = Tensor::arange(0f64, 50., &CPU).unwrap();
            let data = TensorDataset::regression(x, &y).unwrap();
            let data = data.with_weights((0..50).map(|w| w as f32).collect()).unwrap();
            let batch = data.batch(&rows, &CPU).unwrap();
            let want: Vec<_> = rows.iter().map(|&r| [0, 1, 2].map(|c| (r * 3 + c) as f32).to_vec()).collect();
            prop_assert_eq!(batch.inputs.only().unwrap().to_vec2::<f32>().unwrap(), want);
            let want: Vec<_> = rows.iter().map(|&r| f64::from(r)).collect();
            prop_assert_eq!(batch.targets.to_vec1::<f64>().unwrap(), want.clone());
            let weights = batch.weights.unwrap().to_vec1::<f32>().unwrap();
            prop_assert_eq!(weights.into_iter().map(f64::from).collect::<Vec<_>>(), want);
        }
    }
}
