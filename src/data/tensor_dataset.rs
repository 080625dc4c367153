//! A data set in memory.
use std::{fmt, sync::Arc};

use candle_core::{DType, Device, Result as CResult, Tensor, WithDType};

use crate::{
    data::{
        dataset::{check_rows, move_view},
        values::{digest, on_cpu},
        Batch, Dataset, Fingerprint, Inputs, Task,
    },
    kernels::cpu::on_values,
    Error, Result,
};

/// A data set in memory, on the device of its inputs.
///
/// Everything is checked when it is made: equal numbers of rows, no NaN, no infinity, class ids in range.
/// Clones share the data. The fingerprint is BLAKE3 over dtypes, dimensions, numbers and task; it does not
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
    weights: Option<Tensor>,
    labels: Option<Arc<[u32]>>,
    strata: Option<Arc<[u32]>>,
    groups: Option<Arc<[u32]>>,
    task: Task,
    digests: Digests,
}

/// Digests of the parts, so that a change of one does not hash the others again.
#[derive(Clone, Default)]
struct Digests {
    data: [u8; 32],
    weights: [u8; 32],
    strata: [u8; 32],
    groups: [u8; 32],
}

impl TensorDataset {
    /// Rows with a class each: inputs with rows along dimension 0, of any float or integer dtype, and `(N,)`
    /// class ids of any integer dtype. The number of classes is the highest id plus 1; see
    /// [`Self::with_classes`].
    ///
    /// # Errors
    /// No rows, unequal numbers of rows, NaN or infinity, negative ids, or only one class.
    pub fn classification(inputs: impl Into<Inputs>, targets: &Tensor) -> Result<Self> {
        let labels = labels(targets)?;
        let classes = labels.iter().max().map_or(0, |&c| c as usize + 1);
        if labels.iter().all(|c| Some(c) == labels.first()) && !labels.is_empty() {
            return Err(Error::invalid("targets", "of more than one class", "of one class only"));
        }
        Self::assemble(inputs.into(), targets, Some(labels.into()), Task::Classification { classes })
    }

    /// Rows with `K` real targets each: inputs as above, targets `(N,)` (`K` is 1) or `(N, K)` floats.
    ///
    /// # Errors
    /// No rows, unequal numbers of rows, NaN or infinity, or targets that are not floats.
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

    fn assemble(inputs: Inputs, targets: &Tensor, labels: Option<Arc<[u32]>>, task: Task) -> Result<Self> {
        let rows = inputs.rows();
        let Some(device) = inputs.tensors().first().map(|t| t.device().clone()) else {
            return Err(Error::invalid("inputs", "at least one tensor", "none"));
        };
        // Row numbers are u32, and candle reads the highest one as a gap.
        if rows >= u32::MAX as usize {
            return Err(Error::invalid("the number of rows", format!("below {}", u32::MAX), rows));
        }
        for (name, tensor) in names(&inputs).zip(inputs.tensors().iter().chain([targets])) {
            if tensor.elem_count() == 0 || tensor.rank() == 0 {
                return Err(Error::invalid(name, "at least one row of at least one number", shape(tensor)));
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
        Ok(Self { inputs, targets, weights: None, labels, strata: None, groups: None, task, digests })
    }

    /// Says how many classes there are, where the highest do not occur in these rows.
    ///
    /// # Errors
    /// A regression, or a class id beyond `classes`.
    pub fn with_classes(mut self, classes: usize) -> Result<Self> {
        let Some(highest) = self.labels().and_then(|labels| labels.iter().max()) else {
            return Err(Error::invalid(
                "a data set with classes",
                "one of classification",
                "one of regression",
            ));
        };
        if classes <= *highest as usize {
            return Err(Error::invalid("classes", format!("above the highest class id, {highest}"), classes));
        }
        self.task = Task::Classification { classes };
        Ok(self)
    }

    /// Says how much each row counts: 2 is as good as the row twice.
    ///
    /// # Errors
    /// Not one weight a row; a negative, infinite or NaN weight; or only zeros.
    pub fn with_weights(mut self, weights: Vec<f32>) -> Result<Self> {
        self.check_length("weights", weights.len())?;
        if let Some((row, w)) = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.) {
            return Err(Error::invalid(format!("the weight of row {row}"), "finite and not negative", w));
        }
        if weights.iter().all(|&w| w == 0.) {
            return Err(Error::invalid("weights", "above 0 for at least one row", "0 for all"));
        }
        let rows = weights.len();
        let weights = Tensor::from_vec(weights, rows, self.targets.device())?;
        self.digests.weights = digest("weights", &weights)?;
        self.weights = Some(weights);
        Ok(self)
    }

    /// Sets the stratum of each row, in place of the class ids.
    ///
    /// # Errors
    /// Not one stratum a row.
    pub fn with_strata(mut self, strata: Vec<u32>) -> Result<Self> {
        self.check_length("strata", strata.len())?;
        self.digests.strata = digest_ids(&strata);
        self.strata = Some(strata.into());
        Ok(self)
    }

    /// Sets the group of each row; a group is never split between rows trained on and rows held out.
    ///
    /// # Errors
    /// Not one group a row.
    pub fn with_groups(mut self, groups: Vec<u32>) -> Result<Self> {
        self.check_length("groups", groups.len())?;
        self.digests.groups = digest_ids(&groups);
        self.groups = Some(groups.into());
        Ok(self)
    }

    /// A data set of the rows of these numbers, in this order, with the same task; a number may occur more
    /// than once.
    ///
    /// # Errors
    /// No rows, rows out of range, or rows that all weigh 0.
    pub fn subset(&self, rows: &[u32]) -> Result<Self> {
        let part = self.batch(rows, self.targets.device())?;
        let of = |ids: &Arc<[u32]>| rows.iter().filter_map(|&row| ids.get(row as usize).copied()).collect();
        let labels = self.labels.as_ref().map(|ids| Vec::into(of(ids)));
        let mut data = Self::assemble(part.inputs, &part.targets, labels, self.task)?;
        if let Some(weights) = &part.weights {
            data = data.with_weights(weights.to_vec1()?)?;
        }
        if let Some(strata) = &self.strata {
            data = data.with_strata(of(strata))?;
        }
        if let Some(groups) = &self.groups {
            data = data.with_groups(of(groups))?;
        }
        Ok(data)
    }

    /// Inputs of all rows.
    #[must_use]
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Targets of all rows: `(N,)` `u32` class ids, or `(N,)` or `(N, K)` floats.
    #[must_use]
    pub fn targets(&self) -> &Tensor {
        &self.targets
    }

    /// Weights of all rows, `(N,)` `f32`, if they were set.
    #[must_use]
    pub fn weights(&self) -> Option<&Tensor> {
        self.weights.as_ref()
    }

    /// Class ids of all rows; none for a regression.
    #[must_use]
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    /// Number of classes; none for a regression.
    #[must_use]
    pub fn classes(&self) -> Option<usize> {
        match self.task {
            Task::Classification { classes } => Some(classes),
            Task::Regression { .. } => None,
        }
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

    /// Consecutive rows are a view without a copy, where the data is on `device` already.
    fn batch(&self, rows: &[u32], device: &Device) -> CResult<Batch> {
        check_rows(rows, self.rows())?;
        let here = self.targets.device();
        if here.same_device(device)
            && let Some(start) = first_of_run(rows)
        {
            let view = |t: &Tensor| t.narrow(0, start, rows.len());
            return self.pick(view);
        }
        let ids = Tensor::from_slice(rows, rows.len(), here)?;
        self.pick(|t| t.index_select(&ids, 0)?.to_device(device))
    }

    fn strata(&self) -> Option<&[u32]> {
        self.strata.as_deref().or(self.labels())
    }

    fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    fn fingerprint(&self) -> Fingerprint {
        let Digests { data, weights, strata, groups } = &self.digests;
        let task = format!("candle-ensemble data 1 {:?}", self.task);
        Fingerprint::of(&[data, weights, strata, groups, task.as_bytes()].concat())
    }
}

impl TensorDataset {
    fn pick(&self, rows: impl Fn(&Tensor) -> CResult<Tensor>) -> CResult<Batch> {
        Ok(Batch {
            inputs: self.inputs.map(&rows)?,
            targets: rows(&self.targets)?,
            weights: self.weights.as_ref().map(rows).transpose()?,
        })
    }
}

impl fmt::Debug for TensorDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorDataset")
            .field("task", &self.task)
            .field("inputs", &self.inputs.tensors())
            .field("targets", &self.targets)
            .field("weights", &self.weights)
            .field("strata", &self.strata.is_some())
            .field("groups", &self.groups.is_some())
            .finish()
    }
}

/// The first of rows that follow one another.
fn first_of_run(rows: &[u32]) -> Option<usize> {
    let first = *rows.first()?;
    rows.iter().zip(first..).all(|(&row, next)| row == next).then_some(first as usize)
}

/// What errors call the inputs, and the targets after them.
fn names(inputs: &Inputs) -> impl Iterator<Item = String> {
    let of = inputs.tensors().len();
    let inputs = (0..of).map(move |i| if of == 1 { "inputs".into() } else { format!("inputs[{i}]") });
    inputs.chain(["targets".into()])
}

fn shape(tensor: &Tensor) -> String {
    format!("of shape {:?}", tensor.dims())
}

fn digest_ids(ids: &[u32]) -> [u8; 32] {
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
        // Spares the detour through f64.
        return targets.to_vec1().map_err(Error::from).and_then(|ids| {
            match ids.iter().position(|&c| c == u32::MAX) {
                Some(row) => Err(bad_label(row, u32::MAX)),
                None => Ok(ids),
            }
        });
    }
    on_values!(targets, values => values.iter().enumerate().map(|(row, &x)| label(row, x)).collect())
}

/// f64 holds every integer in question, and those that it rounds are out of range.
fn label<T: WithDType>(row: usize, x: T) -> Result<u32> {
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
    use proptest::prelude::*;

    use super::*;

    const CPU: Device = Device::Cpu;

    /// 4 rows of 2 numbers, of classes 0, 2, 1, 2.
    fn four() -> TensorDataset {
        let x = Tensor::arange(0f32, 8., &CPU).unwrap().reshape((4, 2)).unwrap();
        TensorDataset::classification(x, &Tensor::new(&[0u32, 2, 1, 2], &CPU).unwrap()).unwrap()
    }

    fn ones(rows: usize) -> Tensor {
        Tensor::ones((rows, 2), DType::F32, &CPU).unwrap()
    }

    fn says(result: Result<TensorDataset>, what: &str) {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(what), "{message:?} does not say {what:?}");
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
        says(
            of(&Tensor::new(&[0i64, -1, 1], &CPU).unwrap()),
            "class id in row 1 must be from 0 to 4294967294, but is -1",
        );
        says(of(&Tensor::new(&[0i64, 1, 1 << 40], &CPU).unwrap()), "row 2");
        says(of(&Tensor::new(&[u32::MAX, 1, 1], &CPU).unwrap()), "row 0");
        says(of(&Tensor::new(&[0f32, 1., 1.], &CPU).unwrap()), "must be integers, but is f32");
        says(of(&Tensor::new(&[[0u32], [1], [1]], &CPU).unwrap()), "of shape (N,)");
        says(of(&Tensor::new(&[1u32, 1, 1], &CPU).unwrap()), "of more than one class");
        says(of(&Tensor::new(&[0u32, 1], &CPU).unwrap()), "3 rows, as the first input, but is 2");
        says(four().with_classes(2), "above the highest class id, 2");
        assert_eq!(four().with_classes(7).unwrap().task(), Task::Classification { classes: 7 });
    }

    #[test]
    fn bad_inputs_are_named() {
        let y = Tensor::new(&[0f32, 1., 2.], &CPU).unwrap();
        let of = |x: Inputs| TensorDataset::regression(x, &y);
        let holes = Tensor::new(&[[0f64, 1.], [1., f64::NAN], [f64::INFINITY, 1.]], &CPU).unwrap();
        says(of(holes.clone().into()), "inputs, row 1 must be finite, but is NaN");
        says(
            of(vec![ones(3), holes.to_dtype(DType::F16).unwrap()].into()),
            "inputs[1], row 1 must be finite",
        );
        says(of(vec![ones(3), ones(2)].into()), "inputs[1] must be 3 rows");
        says(of(vec![].into()), "at least one tensor");
        says(of(Tensor::zeros((0, 2), DType::F32, &CPU).unwrap().into()), "at least one row");
        says(of(Tensor::zeros((3, 0), DType::F32, &CPU).unwrap().into()), "at least one number");
        says(of(Tensor::zeros((), DType::F32, &CPU).unwrap().into()), "at least one row");
        let tokens = Tensor::new(&[[1u32, 2], [3, 4], [5, 6]], &CPU).unwrap();
        assert!(of(tokens.into()).is_ok(), "token ids are inputs");
    }

    #[test]
    fn bad_targets_of_a_regression_are_named() {
        let of = |y: &Tensor| TensorDataset::regression(ones(2), y);
        says(of(&Tensor::new(&[0f32, f32::NAN], &CPU).unwrap()), "targets, row 1 must be finite, but is NaN");
        says(of(&Tensor::new(&[0u32, 1], &CPU).unwrap()), "must be floats, but is u32");
        says(of(&Tensor::zeros((2, 1, 1), DType::F32, &CPU).unwrap()), "(N,) or (N, K)");
        let two = of(&Tensor::new(&[[0f64, 1.], [1., 2.]], &CPU).unwrap()).unwrap();
        assert_eq!((two.task(), two.task().width()), (Task::Regression { outputs: 2 }, 2));
        assert_eq!((two.classes(), two.labels(), two.strata()), (None, None, None));
        assert_eq!(two.targets().dtype(), DType::F64, "the dtype is kept");
        says(two.with_classes(3), "regression");
    }

    #[test]
    fn bad_weights_strata_and_groups_are_named() {
        says(four().with_weights(vec![1.; 3]), "the number of weights must be that of rows, 4, but is 3");
        says(
            four().with_weights(vec![1., -1., 1., 1.]),
            "the weight of row 1 must be finite and not negative, but is -1",
        );
        says(four().with_weights(vec![1., 1., f32::NAN, 1.]), "row 2");
        says(four().with_weights(vec![0.; 4]), "above 0 for at least one row");
        says(four().with_strata(vec![1; 5]), "the number of strata");
        says(four().with_groups(vec![]), "the number of groups");
    }

    #[test]
    fn a_subset_takes_everything_along() {
        let data = four().with_weights(vec![1., 2., 3., 4.]).unwrap();
        let data = data.with_strata(vec![5, 6, 7, 8]).unwrap().with_groups(vec![1, 1, 2, 2]).unwrap();
        let part = data.subset(&[3, 1, 3]).unwrap();
        assert_eq!(part.inputs().only().unwrap().to_vec2::<f32>().unwrap(), [[6., 7.], [2., 3.], [6., 7.]]);
        assert_eq!(part.labels().unwrap(), [2, 2, 2], "one class alone will do in a subset");
        assert_eq!(part.classes(), Some(3));
        assert_eq!(part.weights().unwrap().to_vec1::<f32>().unwrap(), [4., 2., 4.]);
        assert_eq!(part.strata().unwrap(), [8, 6, 8]);
        assert_eq!(part.groups().unwrap(), [2, 1, 2]);
        assert_eq!(data.subset(&[0, 1, 2, 3]).unwrap().fingerprint(), data.fingerprint());
        says(data.subset(&[4]), "row 4 is out of range: the data has 4 rows");
        says(data.subset(&[]), "at least one row");
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
        assert_eq!(swapped.fingerprint(), order.fingerprint(), "the order of setting does not matter");
    }

    #[test]
    fn views_and_variables_are_taken_apart_from_where_they_came() {
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
        /// Views and copies alike hold the rows asked for.
        #[test]
        fn a_batch_holds_its_rows(rows in prop_oneof![
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
