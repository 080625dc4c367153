//! Combiners and held-out predictions on disk.
use crate::{
    combine::{Combiner, FittedCombiner},
    data::Task,
    metrics::{ClassMetrics, Metrics, ValueMetrics},
    Error, HeldOutFile, Result,
};

/// Fits a combiner that needs all predictions in memory, or none.
pub(crate) fn fit_loaded<C: Combiner + ?Sized>(combiner: &C, file: &HeldOutFile) -> Result<C::Fitted> {
    if !combiner.needs_held_out() {
        return combiner.fit(&file.without_rows()?);
    }
    if combiner.needs_inputs() {
        let must = "one that does not read the inputs of rows, which are not in the file";
        let got = format!("{combiner:?}");
        return Err(Error::invalid("a combiner for held-out predictions on disk", must, got));
    }
    combiner.fit(&file.load_for(&format!("{combiner:?}"))?)
}

impl HeldOutFile {
    /// Computes all metrics of a fitted combiner on these rows, in one pass over the file. They are those of
    /// [`HeldOut::metrics`](crate::HeldOut::metrics) on the same rows.
    ///
    /// A combiner that was fitted on the same rows looks better here than it is.
    ///
    /// # Errors
    /// When the combiner does not support the task, or needs predictions that are missing or inputs; when the file is
    /// damaged.
    pub fn metrics(&self, fitted: &dyn FittedCombiner) -> Result<Metrics> {
        let (mut classes, mut values) = (ClassMetrics::default(), ValueMetrics::default());
        for number in 0..self.chunks() {
            let part = self.chunk(number)?;
            let (predicted, weights) = (fitted.combine(part.predictions())?, part.row_weights::<f64>()?);
            match self.task() {
                Task::Classification { .. } => {
                    classes.add(&predicted, &part.targets().to_vec1::<u32>()?, weights.as_deref())?;
                }
                Task::Regression { .. } => values.add(&predicted, part.targets(), weights.as_deref())?,
            }
        }
        match self.task() {
            Task::Classification { .. } => classes.finish(),
            Task::Regression { .. } => values.finish(),
        }
    }
}
