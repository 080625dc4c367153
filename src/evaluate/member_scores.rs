//! A metric of each member of a pool on some rows.
use crate::{
    data::Dataset,
    metrics::Metric,
    network::Scale,
    predictions::{passes::Source, scored_rows::ScoredRows},
    train::Learner,
    Pool, Result,
};
use candle_core::Device;

/// The metric of each slot of the pool on these rows of a data set, with the weights of the rows if there are
/// any.
pub(super) fn member_scores<L: Learner>(
    pool: &Pool<'_, L>,
    data: &dyn Dataset,
    rows: &[u32],
    metric: &Metric,
) -> Result<Vec<f64>> {
    let scored = ScoredRows::read(data, rows)?;
    let passes = pool.passes(Source::Rows(data, rows));
    let keep = |places, predicted| scored.select(places, predicted);
    let predictions = pool.predict_kept(&passes, Scale::Probability, keep)?.to_device(&Device::Cpu)?;
    let score = |slot: usize| {
        let predicted = predictions.values().get(slot)?;
        metric.compute(&predicted, &scored.targets_like(&predicted)?, scored.weights.as_deref())
    };
    (0..predictions.slots()).map(score).collect()
}
