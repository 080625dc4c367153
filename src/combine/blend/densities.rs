//! The predictive density that each slot gives to the target of each row.
//!
//! For classes it is the probability of the true class. For values it is a normal density around the
//! prediction.
use crate::{
    combine::{
        blend::{
            matrix::SlotMatrix, means::Means, simplex_log_loss::true_class_probabilities, two_way::TwoWay,
        },
        held_out_table::{Coverage, HeldOutTable},
        Fit, Weighted,
    },
    data::Task,
    kernels::float::Number,
    metrics::{RowLoss, Truth, NLL_EPSILON},
    HeldOut, Result,
};

/// The least standard deviation of a slot's density, relative to the standard deviation of the targets.
const MIN_SCALE: f64 = 1e-6;

/// The logarithm of the density that each slot gives to the target of each row, `(S, R)`.
///
/// For classes it is the probability of the true class. For values a slot predicts, for each output
/// separately, a normal distribution around its prediction; the standard deviation is the slot's root mean
/// squared error of that output, on the rows that it predicts.
#[derive(Clone, Debug)]
pub(crate) struct LogDensities {
    /// No number of its own where a prediction is missing.
    logs: Vec<f64>,
    coverage: Option<Coverage>,
    task: Task,
    rows: usize,
    /// The weight of each row; the weights sum to one.
    pub(crate) weights: Vec<f64>,
}

/// Each density divided by the highest density of its row, at least [`NLL_EPSILON`], `(S, R)`; 0 where a
/// prediction is missing.
#[derive(Clone, Debug)]
pub(crate) struct RelativeDensities {
    matrix: Vec<f64>,
    coverage: Option<Coverage>,
    task: Task,
    rows: usize,
    pub(crate) weights: Vec<f64>,
    /// The weighted mean over the rows of the highest log density.
    mean_highest: f64,
}

impl RelativeDensities {
    /// The mixtures of the relative densities.
    pub(crate) fn means(&self) -> Means<'_, f64> {
        Means::new(SlotMatrix::new(&self.matrix, self.rows), self.coverage.as_ref(), 1)
    }

    /// The log score of the mixture with these weights, relative to the highest densities.
    pub(crate) fn log_score(&self, means: &Means<'_, f64>, weights: &[f64]) -> f64 {
        means.of(weights).into_iter().zip(&self.weights).map(|(m, w)| w * m.ln()).sum()
    }

    /// The weighted mean with these weights. Its objective is the negative log score of the mixture, which is
    /// the log-loss for classes.
    pub(crate) fn fitted(
        &self,
        held_out: &HeldOut,
        combiner: &str,
        weights: Vec<f64>,
        (iterations, gap): (usize, Option<f64>),
    ) -> Result<Weighted> {
        if let Task::Classification { .. } = self.task {
            return Weighted::with_loss_on(held_out, combiner, weights, &RowLoss::LogLoss, (iterations, gap));
        }
        let objective = -self.log_score(&self.means(), &weights) - self.mean_highest;
        let fit = Fit { objective, iterations, gap };
        Ok(Weighted::found(combiner, held_out, weights, Some(fit)))
    }
}

impl LogDensities {
    pub(crate) fn of(held_out: &HeldOut) -> Result<Self> {
        let table = HeldOutTable::of(held_out)?;
        let (_, rows, _) = table.dims();
        let logs = match (&table.task, &table.truth) {
            (Task::Regression { .. }, Truth::Values(truth)) => {
                table.with(|all: &[f64]| gaussian(&table, all, truth))?
            }
            _ => true_class_probabilities(&table)?.into_iter().map(|p| f64::from(p).ln()).collect(),
        };
        let HeldOutTable { coverage, task, weights, .. } = table;
        Ok(Self { logs, coverage, task, rows, weights })
    }

    fn predicts(&self, slot: usize, row: usize) -> bool {
        self.coverage.as_ref().is_none_or(|coverage| coverage.predicts(slot, row))
    }

    /// The densities relative to the highest of each row, for mixtures; computed in place.
    pub(crate) fn into_relative(mut self) -> RelativeDensities {
        let mut highest = vec![f64::NEG_INFINITY; self.rows];
        for (slot, logs) in self.logs.chunks_exact(self.rows).enumerate() {
            for (row, (most, l)) in highest.iter_mut().zip(logs).enumerate() {
                if self.predicts(slot, row) {
                    *most = most.max(*l);
                }
            }
        }
        let mean_highest = highest.iter().zip(&self.weights).map(|(h, w)| h * w).sum();
        let mut matrix = std::mem::take(&mut self.logs);
        for (slot, logs) in matrix.chunks_exact_mut(self.rows).enumerate() {
            for (row, (l, h)) in logs.iter_mut().zip(&highest).enumerate() {
                *l = if self.predicts(slot, row) { relative(*l, *h) } else { 0. };
            }
        }
        let Self { coverage, task, rows, weights, .. } = self;
        RelativeDensities { matrix, coverage, task, rows, weights, mean_highest }
    }

    /// The comparison of the slots by their log densities.
    pub(crate) fn comparison(&self) -> Result<TwoWay> {
        TwoWay::new(self.logs.clone(), self.coverage.as_ref(), &self.weights)
    }
}

fn relative(log: f64, highest: f64) -> f64 {
    (log - highest).exp().max(NLL_EPSILON)
}

/// The log density of a normal distribution around each prediction that is there.
fn gaussian<T: Number>(table: &HeldOutTable, all: &[T], truth: &[f64]) -> Vec<f64> {
    let (_, rows, width) = table.dims();
    let mut logs = Vec::with_capacity(all.len() / width);
    for (s, predicted) in all.chunks_exact(rows * width).enumerate() {
        let mut slot = vec![0.; rows];
        let own: Vec<usize> = (0..rows).filter(|row| table.predicts(s, *row)).collect();
        let weight: f64 = own.iter().map(|row| table.weights[*row]).sum();
        for k in 0..width {
            let error = |row: usize| predicted[row * width + k].into() - truth[row * width + k];
            let all_rows = |each: &dyn Fn(usize) -> f64| -> f64 {
                table.weights.iter().enumerate().map(|(row, w)| w * each(row)).sum()
            };
            let mean = all_rows(&|row| truth[row * width + k]);
            let spread = all_rows(&|row| (truth[row * width + k] - mean).powi(2)).sqrt();
            let least = MIN_SCALE * if spread > 0. { spread } else { 1. };
            let squares: f64 = own.iter().map(|row| table.weights[*row] * error(*row).powi(2)).sum();
            let scale = (squares / weight).sqrt().max(least);
            let constant = scale.ln() + 0.5 * std::f64::consts::TAU.ln();
            for row in &own {
                slot[*row] -= 0.5 * (error(*row) / scale).powi(2) + constant;
            }
        }
        logs.extend(slot);
    }
    logs
}
