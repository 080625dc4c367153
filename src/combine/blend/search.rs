//! What any weights are worth by any criterion.
use crate::{
    combine::{blend::table::Table, held_out_table::HeldOutTable, Fit, Weighted},
    data::Task,
    kernels::float::Number,
    metrics::{Criterion, RowLoss, Scored},
    threads::wide,
    Error, HeldOut, Result,
};
use std::sync::Arc;

/// A criterion, or the task's own: the error (one minus the accuracy) for classes, the squared error for values.
#[derive(Clone, Debug, Default)]
pub(crate) struct By(Option<Arc<dyn Criterion>>);

impl By {
    pub(crate) fn given(criterion: impl Criterion + 'static) -> Self {
        Self(Some(Arc::new(criterion)))
    }

    fn of(&self, task: Task) -> Arc<dyn Criterion> {
        self.0.clone().unwrap_or_else(|| match task {
            Task::Classification { .. } => Arc::new(RowLoss::Error),
            Task::Regression { .. } => Arc::new(RowLoss::Squared),
        })
    }
}

/// The loss of weighted means.
pub(crate) trait Worth: Sync {
    fn slots(&self) -> usize;

    /// The loss of these weights, brought to sum to one; infinite where there is none.
    fn of(&self, weights: &[f64]) -> Result<f64>;
}

struct Trial<'a, T> {
    table: Table<'a, T>,
    held_out_table: &'a HeldOutTable,
    criterion: &'a dyn Criterion,
}

impl<T: Number> Worth for Trial<'_, T> {
    fn slots(&self) -> usize {
        self.table.slots
    }

    fn of(&self, weights: &[f64]) -> Result<f64> {
        let Some(weights) = shares(weights) else { return Ok(f64::INFINITY) };
        let (values, width) = (self.table.mix(&weights), self.held_out_table.dims().2);
        let (truth, weights) = (&self.held_out_table.truth, self.held_out_table.weights.as_slice());
        let loss = self.criterion.loss(&Scored { values: &values, width, truth, weights })?;
        Ok(if loss.is_nan() { f64::INFINITY } else { loss })
    }
}

/// Divided by their sum, where that is above 0.
pub(crate) fn shares(weights: &[f64]) -> Option<Vec<f64>> {
    let total: f64 = weights.iter().sum();
    (total > 0. && total.is_finite()).then(|| weights.iter().map(|w| w / total).collect())
}

/// The weights that `search` finds best, with how many it tried.
pub(crate) fn searched(
    rule: &str,
    held_out: &HeldOut,
    by: &By,
    search: impl FnOnce(&dyn Worth) -> Result<(Vec<f64>, u64)> + Send,
) -> Result<Weighted> {
    let held_out_table = HeldOutTable::of(held_out)?;
    let criterion = by.of(held_out_table.task);
    let found = |worth: &dyn Worth| {
        let (weights, tried) = match worth.slots() {
            1 => (vec![1.], 1),
            _ => search(worth)?,
        };
        let objective = worth.of(&weights)?;
        let weights = shares(&weights).filter(|_| objective < f64::INFINITY);
        let must = || Error::invalid(format!("{} of any weights", criterion.name()), "finite", objective);
        let fit = Fit { objective, iterations: tried, gap: None };
        Ok(Weighted::found(rule, held_out.names(), weights.ok_or_else(must)?, Some(fit)))
    };
    let cells = held_out_table.dims().1 * held_out_table.dims().2;
    let (held_out_table, criterion) = (&held_out_table, &*criterion);
    match held_out_table.task {
        Task::Classification { .. } => held_out_table.with(|all: &[f32]| {
            wide(|| found(&Trial { table: Table::new(all, cells), held_out_table, criterion }))
        })?,
        Task::Regression { .. } => held_out_table.with(|all: &[f64]| {
            wide(|| found(&Trial { table: Table::new(all, cells), held_out_table, criterion }))
        })?,
    }
}
