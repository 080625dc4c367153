//! A metric of each member of a pool on some rows.
use crate::{
    data::Dataset,
    metrics::Metric,
    pool::ROWS,
    train::{in_batches, Learner},
    Pool, Result,
};
use candle_core::{DType, Device, Tensor};

/// The metric of each slot of the pool on these rows of a data set, with the weights of the rows if there are
/// any.
pub(super) fn member_scores<L: Learner>(
    pool: &Pool<'_, L>,
    data: &dyn Dataset,
    rows: &[u32],
    metric: &Metric,
) -> Result<Vec<f64>> {
    let (mut targets, mut weights) = (vec![], vec![]);
    for batch in in_batches(data, rows.to_vec(), ROWS, &Device::Cpu) {
        let batch = batch?;
        targets.push(batch.targets);
        if let Some(of_batch) = batch.weights {
            weights.extend(of_batch.to_dtype(DType::F64)?.to_vec1::<f64>()?);
        }
    }
    let targets = Tensor::cat(&targets, 0)?;
    let weights = (!weights.is_empty()).then_some(weights);
    let predictions = pool.predict_rows(data, rows)?.to_device(&Device::Cpu)?;
    let score = |slot: usize| {
        let predicted = predictions.values().get(slot)?;
        // Targets of one output in the shape and the type of the predictions.
        let targets = match targets.dtype().is_float() {
            true => targets.to_dtype(predicted.dtype())?.reshape(predicted.shape())?,
            false => targets.clone(),
        };
        metric.compute(&predicted, &targets, weights.as_deref())
    };
    (0..predictions.slots()).map(score).collect()
}
