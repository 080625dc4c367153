//! What rules that are fitted on held-out predictions on disk need of the rows of the file.
use crate::{
    combine::FittedCombiner,
    data::Task,
    metrics::{Criterion, Scored, Truth},
    predictions::on_disk::{AboutRows, ChunkView},
    HeldOutFile, Result,
};
use candle_core::DType;

/// The targets of rows.
pub(crate) fn truth_of(task: Task, about: AboutRows) -> Truth {
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
