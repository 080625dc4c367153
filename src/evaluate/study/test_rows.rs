//! The test rows of a study: their targets and weights, and the metrics that are computed on them.
use crate::{
    data::{Dataset, Scaler, Task},
    kernels::argmax::argmax_rows,
    metrics::{reliability_bins, Metric, MetricList, ReliabilityBin, RowLoss, Truth, ECE_BINS},
    predictions::scored_rows::ScoredRows,
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;

/// The most classes for which a confusion matrix is kept.
const CONFUSION_CLASSES: usize = 30;

/// The targets and weights of the test rows.
pub(crate) struct TestRows {
    /// Class ids `(N,)`, or values `(N, K)` in the original units and in f64.
    targets: Tensor,
    truth: Truth,
    scored: Arc<ScoredRows>,
    scaler: Option<Scaler>,
    task: Task,
    metrics: MetricList,
    headline: Option<MeanOfRows>,
}

impl TestRows {
    pub(crate) fn of(test: &dyn Dataset, scaler: Option<&Scaler>, metrics: MetricList) -> Result<Self> {
        metrics.check_of_predictions(test.task())?;
        let scored = Arc::new(ScoredRows::of_test(test)?);
        let (targets, task) = (scored.targets.clone(), test.task());
        let (targets, truth) = match task {
            Task::Classification { .. } => {
                let ids = targets.to_vec1()?;
                (targets, Truth::Classes(ids))
            }
            Task::Regression { outputs } => {
                let values = restored(&targets, scaler)?.reshape(((), outputs))?;
                let truth = Truth::Values(values.flatten_all()?.to_vec1()?);
                (values, truth)
            }
        };
        let headline = MeanOfRows::of(metrics.headline());
        Ok(Self { targets, truth, scored, scaler: scaler.cloned(), task, metrics, headline })
    }

    /// The targets as they were read, for predictions of all positions.
    pub(crate) fn scored(&self) -> Arc<ScoredRows> {
        self.scored.clone()
    }

    pub(super) fn task(&self) -> Task {
        self.task
    }

    pub(crate) fn metrics(&self) -> &MetricList {
        &self.metrics
    }

    pub(crate) fn targets(&self) -> &Tensor {
        &self.targets
    }

    pub(crate) fn truth(&self) -> &Truth {
        &self.truth
    }

    pub(crate) fn weights(&self) -> Option<&[f64]> {
        self.scored.weights.as_deref()
    }

    /// Predictions `(N, C)` of networks in the units of the targets: probabilities as they are, values in f64.
    pub(crate) fn in_units(&self, predicted: &Tensor) -> Result<Tensor> {
        match self.task {
            Task::Classification { .. } => Ok(predicted.to_device(&Device::Cpu)?),
            Task::Regression { .. } => restored(predicted, self.scaler.as_ref()),
        }
    }

    /// [`in_units`](Self::in_units) for the predictions of several members, `(M, N, C)`.
    pub(super) fn members_in_units(&self, predicted: &Tensor) -> Result<Tensor> {
        let (members, rows, width) = predicted.dims3()?;
        Ok(self.in_units(&predicted.reshape((members * rows, width))?)?.reshape((members, rows, width))?)
    }

    /// The value of each metric for predictions in the units of the targets.
    pub(crate) fn scores(&self, predicted: &Tensor) -> Result<Vec<f64>> {
        self.metrics.compute(predicted, &self.targets, self.weights())
    }

    /// The first metric alone.
    pub(super) fn headline(&self, predicted: &Tensor) -> Result<f64> {
        self.score(predicted, self.weights())
    }

    /// The first metric with other weights of the rows.
    pub(super) fn score(&self, predicted: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
        self.metrics.headline().compute(predicted, &self.targets, weights)
    }

    /// The loss of each row, for a headline metric that is a function of their mean ([`of_mean`](Self::of_mean)).
    pub(super) fn losses(&self, predicted: &Tensor) -> Result<Option<Vec<f64>>> {
        let Some(of_rows) = self.headline else { return Ok(None) };
        let (_, width) = predicted.dims2()?;
        let values = predicted.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let loss = |(row, values): (usize, &[f64])| of_rows.loss.of(values, &self.truth, row);
        Ok(Some(values.chunks(width).enumerate().map(loss).collect()))
    }

    /// The headline metric of a mean loss.
    pub(super) fn of_mean(&self, mean: f64) -> Result<f64> {
        match self.headline {
            Some(of_rows) => Ok((of_rows.finish)(mean)),
            None => Err(Error::invalid("the metric", "a function of a mean over rows", "another one")),
        }
    }

    /// The weight of a row.
    pub(super) fn weight(&self, row: usize) -> f64 {
        self.scored.weights.as_ref().map_or(1., |weights| weights.get(row).copied().unwrap_or_default())
    }

    /// The groups of the rows, if there are any.
    pub(crate) fn groups(&self) -> Option<&[u32]> {
        self.scored.groups.as_deref()
    }

    /// The bins of a reliability diagram; none for values, and for predictions that are no distributions.
    pub(super) fn reliability(&self, predicted: &Tensor) -> Vec<ReliabilityBin> {
        match &self.truth {
            Truth::Classes(ids) => {
                reliability_bins(predicted, ids, ECE_BINS, self.weights()).unwrap_or_default()
            }
            Truth::Values(_) => vec![],
        }
    }

    /// The counts of true classes (rows) and predicted classes (columns), where there are few enough classes.
    pub(super) fn confusion(&self, predicted: &Tensor) -> Result<Option<Vec<Vec<f64>>>> {
        match &self.truth {
            Truth::Classes(ids) if self.task.width() <= CONFUSION_CLASSES => {
                let mut counts = vec![vec![0.; self.task.width()]; self.task.width()];
                for (row, (id, class)) in ids.iter().zip(argmax_rows(predicted)?).enumerate() {
                    if let Some(count) =
                        counts.get_mut(*id as usize).and_then(|of| of.get_mut(class as usize))
                    {
                        *count += self.weight(row);
                    }
                }
                Ok(Some(counts))
            }
            _ => Ok(None),
        }
    }
}

/// A metric that is a function of the mean of a loss over the rows.
#[derive(Clone, Copy)]
struct MeanOfRows {
    loss: RowLoss,
    finish: fn(f64) -> f64,
}

impl MeanOfRows {
    fn of(metric: &Metric) -> Option<Self> {
        match (metric.row_loss(), metric.higher_is_better()) {
            (Some(loss), false) => Some(Self { loss, finish: |mean| mean }),
            (Some(loss), true) => Some(Self { loss, finish: |mean| 1. - mean }),
            (None, _) if metric.name() == "rmse" => Some(Self { loss: RowLoss::Squared, finish: f64::sqrt }),
            _ => None,
        }
    }
}

/// Values in the original units, in f64 on the CPU: an offset of 1e9 leaves f32 no digits for what networks
/// predict.
fn restored(values: &Tensor, scaler: Option<&Scaler>) -> Result<Tensor> {
    let values = values.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    scaler.map_or_else(|| Ok(values.clone()), |scaler| scaler.inverse(&values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TensorDataset;

    /// Errors of 0.5, −0.5, 0.5 and −0.5 in standardized values, whose standard deviation is √5/2.
    #[test]
    fn an_offset_changes_no_score() {
        for offset in [0., 1e9, -1.7e12] {
            let y = [0., 1., 2., 3.].map(|y| y + offset);
            let y = Tensor::new(&y, &Device::Cpu).unwrap();
            let scaler = Scaler::standardize(&y).unwrap();
            let z = scaler.transform(&y).unwrap();
            let test = TensorDataset::regression(z.reshape((4, 1)).unwrap(), &z).unwrap();
            let metrics = MetricList::for_task(test.task());
            let rows = TestRows::of(&test, Some(&scaler), metrics).unwrap();
            let errors = Tensor::new(&[0.5f32, -0.5, 0.5, -0.5], &Device::Cpu).unwrap();
            let predicted = (z.to_dtype(DType::F32).unwrap() + errors).unwrap().reshape((4, 1)).unwrap();
            let predicted = rows.in_units(&predicted).unwrap();
            let error = 0.5 * 1.25f64.sqrt();
            for (got, want) in rows.scores(&predicted).unwrap().into_iter().zip([error, error, 0.75]) {
                assert!((got - want).abs() < 1e-3 * want, "{got} is not {want} at {offset}");
            }
            let losses = rows.losses(&predicted).unwrap().unwrap();
            let got = rows.of_mean(losses[0]).unwrap();
            assert!((got - error).abs() < 1e-3, "{got} at {offset}");
        }
    }

    #[test]
    fn the_confusion_matrix_counts_true_classes_by_row() {
        let x = Tensor::zeros((3, 1), DType::F32, &Device::Cpu).unwrap();
        let test =
            TensorDataset::classification(x, &Tensor::new(&[0u32, 1, 1], &Device::Cpu).unwrap()).unwrap();
        let rows = TestRows::of(&test, None, MetricList::for_task(test.task())).unwrap();
        let predicted = Tensor::new(&[[0.9f32, 0.1], [0.6, 0.4], [0.2, 0.8]], &Device::Cpu).unwrap();
        let confusion = rows.confusion(&predicted).unwrap().unwrap();
        assert_eq!(confusion, [[1., 0.], [1., 1.]]);
    }
}
