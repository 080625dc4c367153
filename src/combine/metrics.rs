//! The metrics of a fitted combiner on held-out rows.
use crate::{
    combine::FittedCombiner,
    metrics::{Criterion, Metrics, Scored},
    predictions::HeldOut,
    Result,
};
use candle_core::{DType, Device};

impl HeldOut {
    /// Computes all metrics of a fitted combiner on these rows; for bagging this is the out-of-bag estimate.
    /// Where predictions are missing, each row is scored on the predictions that it has.
    ///
    /// A combiner that was fitted on the same rows looks better here than it is. [`HeldOut::judge`] scores it
    /// on rows that it was not fitted on.
    ///
    /// # Errors
    /// When the combiner does not support the task, or needs predictions that are missing (score
    /// [`HeldOut::complete_rows`] then).
    pub fn metrics(&self, fitted: &dyn FittedCombiner) -> Result<Metrics> {
        self.metrics_of(&fitted.combine(self.predictions())?)
    }

    /// The loss of what a fitted combiner makes of these rows.
    pub(crate) fn loss_of(&self, fitted: &dyn FittedCombiner, criterion: &dyn Criterion) -> Result<f64> {
        let combined = fitted.combine(self.predictions())?.to_device(&Device::Cpu)?;
        let (_, width) = combined.dims2()?;
        let values = combined.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let mut weights = self.weights_or_ones()?;
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        criterion.loss(&Scored { values: &values, width, truth: &self.truth()?, weights: &weights })
    }
}
