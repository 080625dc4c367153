//! Soft targets of a data set in memory.
use super::{shape, TensorDataset};
use crate::{
    data::{
        dataset::move_view,
        values::{digest, on_cpu},
        Dataset, Inputs, Task,
    },
    kernels::argmax::argmax_rows,
    Error, Result,
};
use candle_core::{DType, Device, Tensor};

/// By how much the soft targets of a row may miss the sum 1.
const TOLERANCE: f64 = 1e-3;

impl TensorDataset {
    /// A data set for classification whose targets are probabilities `(N, C)` of `C` classes, such as shares of
    /// annotators' votes: networks are trained on these, and metrics and validation use the most probable class of each
    /// row, the first of equal ones. It is [`Self::classification`] of these classes with
    /// [`Self::with_soft_targets`].
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::data::{Dataset, TensorDataset};
    ///
    /// let x = Tensor::new(&[[0f32], [1.], [2.]], &Device::Cpu)?;
    /// let votes = Tensor::new(&[[0.8f32, 0.2], [0.4, 0.6], [0., 1.]], &Device::Cpu)?;
    /// let data = TensorDataset::soft_classification(x, &votes)?;
    /// assert_eq!(data.labels().unwrap(), [0, 1, 1]);
    /// assert_eq!(data.soft_targets(&[1], &Device::Cpu)?.unwrap().to_vec2::<f32>()?, [[0.4, 0.6]]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::classification`] and [`Self::with_soft_targets`].
    pub fn soft_classification(inputs: impl Into<Inputs>, probabilities: &Tensor) -> Result<Self> {
        let [_, classes] = *probabilities.dims() else {
            return Err(Error::invalid("soft targets", "of shape (N, C)", shape(probabilities)));
        };
        let labels = argmax_rows(&on_cpu(probabilities)?)?;
        let labels = Tensor::new(labels, &Device::Cpu)?;
        Self::classification(inputs, &labels)?.with_classes(classes)?.with_soft_targets(probabilities)
    }

    /// Sets soft targets, which networks are trained on in place of the targets: probabilities `(N, C)` of the classes,
    /// each row with the sum 1, or values in the shape of the targets. Metrics and validation use the targets in any
    /// case.
    ///
    /// Use them for shares of votes, or for the predictions of other networks
    /// ([`Distillation`](crate::train::Distillation)). The losses of classes that take them are
    /// [`Loss::CrossEntropy`](crate::train::Loss::CrossEntropy), also with one logit, and
    /// [`Loss::KlDivergence`](crate::train::Loss::KlDivergence).
    ///
    /// # Errors
    /// When the shape is another one, a number is NaN or infinite, or a row of probabilities has a negative one or
    /// another sum than 1, with a tolerance of 0.001.
    pub fn with_soft_targets(mut self, targets: &Tensor) -> Result<Self> {
        let must = match self.task {
            Task::Classification { classes } => vec![self.rows(), classes],
            Task::Regression { .. } => self.targets.dims().to_vec(),
        };
        if targets.dims() != must || !targets.dtype().is_float() {
            let must = format!("floats of shape {must:?}");
            return Err(Error::invalid(
                "soft targets",
                must,
                format!("{} {}", targets.dtype().as_str(), shape(targets)),
            ));
        }
        let digest = digest("soft targets", targets)?;
        if let Task::Classification { classes } = self.task {
            check_probabilities(targets, classes)?;
        }
        self.digests.soft = digest;
        self.soft = Some(move_view(&targets.detach(), self.targets.device())?.contiguous()?);
        Ok(self)
    }
}

/// Checks that each row is a distribution over the classes.
fn check_probabilities(probabilities: &Tensor, classes: usize) -> Result<()> {
    let all = on_cpu(probabilities)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    for (row, of_row) in all.chunks_exact(classes.max(1)).enumerate() {
        if let Some((class, p)) = of_row.iter().enumerate().find(|(_, p)| **p < 0.) {
            let what = format!("the soft target of row {row}, class {class},");
            return Err(Error::invalid(what, "0 or more", p));
        }
        let sum: f64 = of_row.iter().sum();
        if (sum - 1.).abs() > TOLERANCE {
            return Err(Error::invalid(format!("the sum of the soft targets of row {row}"), "1", sum));
        }
    }
    Ok(())
}
