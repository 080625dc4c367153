//! The metric that early stopping watches, over the validation rows.
use crate::{
    data::{Batch, Positions, Task},
    metrics::{ClassParts, Metric, MetricList},
    network::{Output, Scale},
    train::Run,
    Result,
};
use candle_core::{DType, Device, Tensor};

/// The network's predictions for the validation rows added so far, with their targets and weights.
pub(super) struct ValidationRows<'m> {
    metric: &'m Metric,
    /// What the network outputs for classes.
    kind: Output,
    /// The metric of rows that need not be kept, because they come in parts.
    parts: Option<ClassParts>,
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
    ) -> Result<Self> {
        let list = MetricList::new(vec![metric.clone()])?;
        let in_parts =
            !positions.is_one() && matches!(task, Task::Classification { .. }) && list.are_built_in();
        let parts = in_parts.then(|| list.class_parts());
        Ok(Self { metric, kind, parts, predictions: vec![], targets: vec![], weights: vec![] })
    }

    /// Adds a batch with the network's output for it.
    pub(super) fn add(&mut self, output: &Tensor, batch: &Batch, task: Task) -> Result<()> {
        let targets = batch.targets.to_device(&Device::Cpu)?;
        // A distribution has been replaced by its mean.
        let predictions = self.kind.prediction(output, task, Scale::Probability)?.to_device(&Device::Cpu)?;
        if let Some(parts) = &mut self.parts {
            let weights = batch.weights.as_ref().map(|w| w.to_dtype(DType::F64)?.to_vec1::<f64>());
            return parts.add(&predictions, &targets.to_vec1::<u32>()?, weights.transpose()?.as_deref());
        }
        self.predictions.push(match task {
            // One output `(B, 1)` may have the targets `(B,)`.
            Task::Regression { .. } => predictions.reshape(targets.shape())?,
            Task::Classification { .. } => predictions,
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
                let (predictions, targets) =
                    (Tensor::cat(&self.predictions, 0)?, Tensor::cat(&self.targets, 0)?);
                let weights = (!self.weights.is_empty()).then_some(self.weights.as_slice());
                self.metric.compute(&predictions, &targets, weights)?
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
