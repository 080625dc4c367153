//! The scalings of a run.
use crate::{
    data::{
        scale::{fit::Fitting, FittedColumn},
        Batch, Dataset, FittedScaling, Inputs, Scaling, Task,
    },
    Error, Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// Rows that are read at a time.
const BATCH_ROWS: usize = 1024;

/// The scalings that a run has fitted on its training rows: of its inputs, and of its targets. The default is none.
///
/// They are part of a member's record ([`Record::scaling`](crate::store::Record::scaling)). Whatever predicts with the
/// member scales the inputs before the network, and the values that the network outputs back after it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::data::{FittedScalings, Scaling, TensorDataset};
///
/// let x = Tensor::new(&[[1f32], [3.], [9.]], &Device::Cpu)?;
/// let data = TensorDataset::regression(&x, &Tensor::new(&[100f32, 300., 0.], &Device::Cpu)?)?;
/// let fitted = FittedScalings::fit(&data, &[0, 1], None, None, Some(&Scaling::Standardize))?;
/// let z = Tensor::new(&[-1f32, 2.], &Device::Cpu)?;
/// assert_eq!(fitted.unscale_outputs(&z)?.to_vec1::<f32>()?, [100., 400.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FittedScalings {
    /// The scaling of the inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<FittedScaling>,
    /// The scaling of the targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<FittedScaling>,
}

impl FittedScalings {
    /// Fits the scalings of inputs and of targets on these rows of a data set. A row that occurs twice counts twice; the
    /// weights of rows have no effect. `features` are the columns of the inputs that the network gets, which are selected
    /// first; `None` means all. The columns of [`Scaling::Columns`] are those of the data set.
    ///
    /// The rows are read in batches, once where no more than 2²⁵ values (256 MiB) are scaled. Where there are more,
    /// [`Standardize`](Scaling::Standardize), [`MinMax`](Scaling::MinMax) and [`MaxAbs`](Scaling::MaxAbs) take three passes
    /// over the rows and no memory, and other scalings one for each 2²⁵ values, or for each column that has more. The numbers
    /// are the same.
    ///
    /// # Errors
    /// When a parameter is out of range; when the data set has several inputs, and they are to be scaled; when targets are
    /// classes, or are to be encoded one-hot; when there are no rows; when a number is NaN or infinite, or a column and its
    /// scaling do not fit together: the error names row or column.
    pub fn fit(
        data: &dyn Dataset,
        rows: &[u32],
        features: Option<&[u32]>,
        inputs: Option<&Scaling>,
        targets: Option<&Scaling>,
    ) -> Result<Self> {
        let [mut inputs, mut targets] = Self::fits(data, (rows, rows.len()), features, inputs, targets)?;
        loop {
            let next = |of: &mut Option<Fitting<'_>>| of.as_mut().map_or(Ok(false), Fitting::next_pass);
            let more = [next(&mut inputs)?, next(&mut targets)?];
            if more == [false; 2] {
                break;
            }
            let reads = |of: &Option<Fitting<'_>>| of.as_ref().is_some_and(Fitting::reads);
            if !reads(&inputs) && !reads(&targets) {
                continue;
            }
            for part in rows.chunks(BATCH_ROWS) {
                let Batch { inputs: x, targets: y, .. } = data.batch(part, &Device::Cpu)?;
                let number = |row: usize| part.get(row).map_or(row, |row| *row as usize);
                if let Some(fitting) = inputs.as_mut().filter(|of| of.reads()) {
                    fitting.add(x.columns(features)?.only()?, number)?;
                }
                if let Some(fitting) = targets.as_mut().filter(|of| of.reads()) {
                    fitting.add(&y, number)?;
                }
            }
        }
        let finish = |of: Option<Fitting<'_>>| of.map(Fitting::finish).transpose();
        Ok(Self { inputs: finish(inputs)?, targets: finish(targets)? })
    }

    /// Checks, by the first row, that the scalings can be fitted on so many rows.
    pub(crate) fn check(
        data: &dyn Dataset,
        rows: (&[u32], usize),
        features: Option<&[u32]>,
        inputs: Option<&Scaling>,
        targets: Option<&Scaling>,
    ) -> Result<()> {
        Self::fits(data, rows, features, inputs, targets).map(drop)
    }

    /// The fits of inputs and of targets before their first pass.
    fn fits<'s>(
        data: &dyn Dataset,
        (first, count): (&[u32], usize),
        features: Option<&[u32]>,
        inputs: Option<&'s Scaling>,
        targets: Option<&'s Scaling>,
    ) -> Result<[Option<Fitting<'s>>; 2]> {
        if inputs.is_none() && targets.is_none() {
            return Ok([None, None]);
        }
        let Some(first) = first.get(..1) else {
            return Err(Error::invalid("the number of rows that a scaling is fitted on", "at least 1", 0));
        };
        let batch = data.batch(first, &Device::Cpu)?;
        let fit_inputs = |scaling| {
            let width = only(&batch.inputs)?.dims().get(1).copied().unwrap_or(1);
            let selected = batch.inputs.columns(features)?;
            let features = features.map(|features| (features, width));
            Fitting::new("inputs, ", scaling, only(&selected)?, count, features)
        };
        let fit_targets = |scaling: &'s Scaling| {
            check_targets(scaling, data.task())?;
            Fitting::new("targets, ", scaling, &batch.targets, count, None)
        };
        Ok([inputs.map(fit_inputs).transpose()?, targets.map(fit_targets).transpose()?])
    }

    /// Whether nothing is scaled.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.inputs.is_none() && self.targets.is_none()
    }

    /// The inputs as the network gets them. NaN stays NaN.
    ///
    /// # Errors
    /// When there are several inputs, when they have another number of columns, or when a category is unknown.
    pub fn scale_inputs(&self, inputs: &Inputs) -> CandleResult<Inputs> {
        match &self.inputs {
            None => Ok(inputs.clone()),
            Some(scaling) => Ok(scaling.transform_all(only(inputs)?)?.into()),
        }
    }

    /// The targets as the network is trained on them.
    ///
    /// # Errors
    /// When they have another number of columns.
    pub fn scale_targets(&self, targets: &Tensor) -> CandleResult<Tensor> {
        self.targets.as_ref().map_or_else(|| Ok(targets.clone()), |scaling| scaling.transform_all(targets))
    }

    /// What the network outputs, in the targets' own units: `(B, K)` or `(B,)`, of f32 at least if targets are
    /// scaled. Gradients pass through.
    ///
    /// # Errors
    /// When the outputs have another number of columns than the targets.
    pub fn unscale_outputs(&self, output: &Tensor) -> CandleResult<Tensor> {
        match (&self.targets, output.dtype()) {
            (None, _) => Ok(output.clone()),
            // The targets' own units can be beyond the range of short floats.
            (Some(scaling), DType::F16 | DType::BF16) => scaling.inverse_all(&output.to_dtype(DType::F32)?),
            (Some(scaling), _) => scaling.inverse_all(output),
        }
    }

    /// Shift and scale of each of `outputs` targets: scaled targets times the scale, plus the shift, are targets.
    ///
    /// # Errors
    /// When the scaling of the targets is more than that, as `power` is, or is one of another number of columns.
    pub(crate) fn affine_targets(&self, outputs: usize) -> Result<Vec<(f64, f64)>> {
        let Some(scaling) = &self.targets else { return Ok(vec![(0., 1.); outputs]) };
        if scaling.columns() != outputs {
            let must = format!("that of the outputs, {outputs}");
            return Err(Error::invalid("the number of scaled targets", must, scaling.columns()));
        }
        let affine = scaling.parameters().iter().map(FittedColumn::affine);
        affine.collect::<Option<Vec<_>>>().ok_or_else(not_affine)
    }
}

/// The error for a scaling of targets that does more than to shift and to stretch them.
pub(crate) fn not_affine() -> Error {
    let must = "standardize, min-max, max-abs or robust where the network predicts distributions, which are shifted and \
                stretched with the targets";
    Error::invalid("the scaling of the targets", must, "power or quantile")
}

/// Checks that targets of a task can be scaled so.
pub(crate) fn check_targets(scaling: &Scaling, task: Task) -> Result<()> {
    scaling.check()?;
    match task {
        Task::Classification { .. } => {
            let must = "unset for classification, whose targets are classes";
            Err(Error::invalid("the scaling of the targets", must, "set"))
        }
        Task::Regression { .. } if !scaling.has_inverse() => {
            let must = "one with an inverse, which brings predictions back to the targets' units";
            Err(Error::invalid("the scaling of the targets", must, "one-hot"))
        }
        Task::Regression { .. } => Ok(()),
    }
}

/// The only input.
fn only(inputs: &Inputs) -> Result<&Tensor> {
    match inputs.tensors() {
        [only] => Ok(only),
        several => {
            let got = format!("set for {} inputs", several.len());
            Err(Error::invalid("the scaling of the inputs", "unset unless there is one input", got))
        }
    }
}
