//! Combiners and held-out predictions on disk.
use crate::{
    combine::{Combiner, FittedCombiner},
    data::Task,
    metrics::{ClassMetrics, Criterion, Metrics, Scored, Truth, ValueMetrics},
    predictions::on_disk::ChunkView,
    Error, HeldOutFile, Result,
};
use candle_core::DType;

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

/// The targets of rows.
#[cfg(feature = "learned")]
pub(crate) fn truth_of(task: Task, about: crate::predictions::on_disk::AboutRows) -> Truth {
    match task {
        Task::Classification { .. } => Truth::Classes(about.classes),
        Task::Regression { .. } => Truth::Values(about.values),
    }
}

/// The targets and the weights of all rows of a file.
#[derive(Debug)]
pub(crate) struct FileRows {
    pub(crate) truth: Truth,
    /// The weight of each row; the weights sum to one.
    pub(crate) weights: Vec<f64>,
}

impl FileRows {
    pub(crate) fn of(file: &HeldOutFile) -> Result<Self> {
        let (mut classes, mut values, mut weights) = (vec![], vec![], vec![]);
        for view in file.views() {
            let of_view = weights_of(view, 1.)?;
            let about = view.about_rows()?;
            classes.extend(about.classes);
            values.extend(about.values);
            weights.extend(of_view);
        }
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        let truth = match file.task() {
            Task::Classification { .. } => Truth::Classes(classes),
            Task::Regression { .. } => Truth::Values(values),
        };
        Ok(Self { truth, weights })
    }
}

/// The weights of the rows of a chunk, as shares of a total.
pub(crate) fn weights_of(view: ChunkView<'_>, total: f64) -> Result<Vec<f64>> {
    let weights = view.about_rows()?.weights.unwrap_or_else(|| vec![1.; view.rows()]);
    Ok(weights.into_iter().map(|w| w / total).collect())
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

    /// The loss of what a fitted combiner makes of these slots, in one pass. A criterion that is no mean over rows needs the
    /// combined predictions of all rows in memory.
    pub(crate) fn loss_of(
        &self,
        fitted: &dyn FittedCombiner,
        slots: &[usize],
        criterion: &dyn Criterion,
    ) -> Result<f64> {
        let (total, width) = (self.total_weight(), self.task().width());
        let (mut sum, mut combined) = (0., vec![]);
        for view in self.views() {
            let part = self.slots_of(view, slots)?;
            let predicted = fitted.combine(part.predictions())?;
            let predicted = predicted.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
            match criterion.by_row() {
                Some(loss) => {
                    let (truth, weights) = (part.truth()?, weights_of(view, total)?);
                    loss.check(&truth)?;
                    let rows = predicted.chunks_exact(width).zip(&weights).enumerate();
                    sum += rows.map(|(row, (values, w))| w * loss.of(values, &truth, row)).sum::<f64>();
                }
                None => combined.extend(predicted),
            }
        }
        match criterion.by_row() {
            Some(_) => Ok(sum),
            None => {
                let FileRows { truth, weights } = FileRows::of(self)?;
                criterion.loss(&Scored { values: &combined, width, truth: &truth, weights: &weights })
            }
        }
    }
}
