//! Search for weights by any criterion: the loss of given weights, and the weighted mean that a search ends
//! in.
use crate::{
    combine::{
        blend::matrix::SlotMatrix,
        held_out_table::{with_predictions, HeldOutTable, Number},
        Fit, Weighted,
    },
    metrics::{Criterion, RowLoss, Scored},
    threads::wide,
    Error, HeldOut, Result,
};
use std::sync::Arc;

/// The criterion that a search minimises: a given one, or the task's own, the error rate for classes and the
/// squared error for values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objective(Option<Arc<dyn Criterion>>);

impl Objective {
    pub(crate) fn given(criterion: impl Criterion + 'static) -> Self {
        Self(Some(Arc::new(criterion)))
    }
}

/// The loss of the weighted mean, as a function of the weights.
pub(crate) trait WeightLoss: Sync {
    fn slots(&self) -> usize;

    /// The loss of these weights, divided by their sum; infinite where it is not defined.
    fn of(&self, weights: &[f64]) -> Result<f64>;
}

struct MeanLoss<'a, T> {
    matrix: SlotMatrix<'a, T>,
    table: &'a HeldOutTable,
    criterion: &'a dyn Criterion,
}

impl<T: Number> WeightLoss for MeanLoss<'_, T> {
    fn slots(&self) -> usize {
        self.matrix.slots
    }

    fn of(&self, weights: &[f64]) -> Result<f64> {
        let Some(weights) = normalized(weights) else { return Ok(f64::INFINITY) };
        let (values, width) = (self.matrix.weighted_sum(&weights), self.table.dims().2);
        let (truth, weights) = (&self.table.truth, self.table.weights.as_slice());
        let loss = self.criterion.loss(&Scored { values: &values, width, truth, weights })?;
        Ok(if loss.is_nan() { f64::INFINITY } else { loss })
    }
}

/// The weights divided by their sum, where the sum is above 0.
fn normalized(weights: &[f64]) -> Option<Vec<f64>> {
    let total: f64 = weights.iter().sum();
    (total > 0. && total.is_finite()).then(|| weights.iter().map(|w| w / total).collect())
}

/// Fits weights by `search`, which returns the best weights and how many it tried.
pub(crate) fn fit_by_search(
    combiner: &str,
    held_out: &HeldOut,
    objective: &Objective,
    search: impl FnOnce(&dyn WeightLoss) -> Result<(Vec<f64>, usize)> + Send,
) -> Result<Weighted> {
    let table = HeldOutTable::of(held_out)?;
    let criterion = objective.0.clone().unwrap_or_else(|| Arc::new(RowLoss::error_for(table.task)));
    let fit = |loss: &dyn WeightLoss| {
        let (weights, tried) = match loss.slots() {
            1 => (vec![1.], 1),
            _ => search(loss)?,
        };
        let objective = loss.of(&weights)?;
        let weights = normalized(&weights).filter(|_| objective < f64::INFINITY);
        let not_finite =
            || Error::invalid(format!("{} of the best weights", criterion.name()), "finite", objective);
        let fit = Fit { objective, iterations: tried, gap: None };
        Ok(Weighted::found(combiner, held_out, weights.ok_or_else(not_finite)?, Some(fit)))
    };
    let cells = table.dims().1 * table.dims().2;
    let (table, criterion) = (&table, &*criterion);
    with_predictions!(table, |all| {
        wide(|| fit(&MeanLoss { matrix: SlotMatrix::new(all, cells), table, criterion }))
    })?
}
