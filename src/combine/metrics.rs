//! The metrics of a fitted rule on held-out rows.
use crate::{combine::FittedCombiner, metrics::Metrics, predictions::HeldOut, Result};

impl HeldOut {
    /// How good a rule is on these rows: for bagging, the out-of-bag estimate. Where predictions are missing, each row is
    /// scored on those that are there.
    ///
    /// A rule that was fitted on the same rows looks better here than it is: [`HeldOut::judge`] tells what it is
    /// worth.
    ///
    /// # Errors
    /// When the rule does not go with the task, or needs predictions that are missing (score
    /// [`HeldOut::complete_rows`] then).
    pub fn metrics(&self, fitted: &dyn FittedCombiner) -> Result<Metrics> {
        self.metrics_of(&fitted.combine(self.predictions())?)
    }
}
