//! The metric that early stopping watches, over the validation rows.
use crate::{
    data::{Batch, FittedScalings, Positions, Task},
    metrics::{ClassParts, Metric, MetricList},
    network::{Output, Scale},
    train::Run,
    Result,
};
use candle_core::{DType, Device, Tensor};

/// Checks that a metric can be watched of networks with this output.
pub(crate) fn check_watched(metric: &Metric, output: Output, task: Task) -> Result<()> {
    metric.check_orders()?;
    output.check_metric(metric, task)
}

/// The network's predictions for the validation rows added so far, with their targets and weights.
pub(super) struct ValidationRows<'m> {
    metric: &'m Metric,
    /// What the network outputs.
    kind: Output,
    task: Task,
    /// Shift and scale of each target, where the metric is one of distributions.
    targets_of: Option<Vec<(f64, f64)>>,
    /// The metric of rows that need not be kept, because they come in parts.
    parts: Option<ClassParts>,
    /// Probabilities or values, `(B, W)`, or the parameters of distributions of each member, `(M, B, W)`.
    predictions: Vec<Tensor>,
    targets: Vec<Tensor>,
    weights: Vec<f64>,
}

impl<'m> ValidationRows<'m> {
    /// For rows of this kind. Those with several positions are not kept, where the metric is one of the library's.
    pub(super) fn new(
        metric: &'m Metric,
        kind: Output,
        (task, positions): (Task, Positions),
        scalings: &FittedScalings,
    ) -> Result<Self> {
        let targets_of =
            metric.needs_distributions().then(|| scalings.affine_targets(task.width())).transpose()?;
        let list = MetricList::new(vec![metric.clone()])?;
        let in_parts =
            !positions.is_one() && matches!(task, Task::Classification { .. }) && list.are_built_in();
        let parts = in_parts.then(|| list.class_parts());
        let (predictions, targets, weights) = (vec![], vec![], vec![]);
        Ok(Self { metric, kind, task, targets_of, parts, predictions, targets, weights })
    }

    /// Adds a batch with the network's output for it, as it is, and in the targets' own units with means in place of
    /// distributions. The output may be that of several members, the rows of one after those of the other, where it is of
    /// distributions.
    pub(super) fn add(&mut self, output: &Tensor, unscaled: &Tensor, batch: &Batch) -> Result<()> {
        let targets = batch.targets.to_device(&Device::Cpu)?;
        let values =
            || self.kind.prediction(unscaled, self.task, Scale::Probability)?.to_device(&Device::Cpu);
        if let Some(parts) = &mut self.parts {
            let weights = batch.weights.as_ref().map(|w| w.to_dtype(DType::F64)?.to_vec1::<f64>());
            return parts.add(&values()?, &targets.to_vec1::<u32>()?, weights.transpose()?.as_deref());
        }
        self.predictions.push(match (&self.targets_of, self.task) {
            (Some(targets_of), _) => {
                let parameters = self.kind.parameters(output, targets_of)?;
                let (all, width) = parameters.dims2()?;
                let rows = targets.dim(0)?;
                parameters.reshape((all / rows.max(1), rows, width))?
            }
            // One output `(B, 1)` may have the targets `(B,)`.
            (None, Task::Regression { .. }) => values()?.reshape(targets.shape())?,
            (None, Task::Classification { .. }) => values()?,
        });
        self.targets.push(targets);
        if let Some(weights) = &batch.weights {
            self.weights.extend(weights.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?);
        }
        Ok(())
    }

    /// The metric of all rows.
    pub(super) fn finish(self, run: &Run<'_>, epoch: usize) -> Result<f64> {
        let value = match self.parts {
            Some(parts) => parts.finish()?.first().copied().unwrap_or(f64::NAN),
            None => {
                let along = usize::from(self.targets_of.is_some());
                let (predictions, targets) =
                    (Tensor::cat(&self.predictions, along)?, Tensor::cat(&self.targets, 0)?);
                let weights = (!self.weights.is_empty()).then_some(self.weights.as_slice());
                match self.targets_of {
                    None => self.metric.compute(&predictions, &targets, weights)?,
                    Some(_) => {
                        let predicted = self.kind.mixture(&predictions, self.task.width())?;
                        self.metric.compute_distributions(&predicted, &targets, weights)?
                    }
                }
            }
        };
        if value.is_nan() {
            let when = format!("in the validation after epoch {epoch}");
            let what = format!("the metric {} of the validation rows", self.metric.name());
            return Err(run.not_finite(what, value, &when, "the metric returned it for finite predictions"));
        }
        Ok(value)
    }
}
