//! The metrics of a fitted combiner on held-out rows.
use crate::{combine::FittedCombiner, metrics::Metrics, predictions::HeldOut, Result};

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
}
