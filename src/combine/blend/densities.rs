//! The predictive density that each slot gives to the target of each row.
//!
//! For classes it is the probability of the true class. For values it is a normal density around the
//! prediction.
use crate::{
    combine::{
        blend::{matrix::SlotMatrix, simplex_log_loss::true_class_probabilities},
        held_out_table::HeldOutTable,
        Fit, Weighted,
    },
    data::Task,
    kernels::float::Number,
    metrics::{Truth, NLL_EPSILON},
    HeldOut, Result,
};

/// The least standard deviation of a slot's density, relative to the standard deviation of the targets.
const MIN_SCALE: f64 = 1e-6;

/// The logarithm of the density that each slot gives to the target of each row, `(S, R)`.
///
/// For classes it is the probability of the true class. For values a slot predicts, for each output
/// separately, a normal distribution around its prediction; the standard deviation is the slot's root mean
/// squared error of that output.
#[derive(Clone, Debug)]
pub(crate) struct LogDensities {
    logs: Vec<f64>,
    pub(crate) slots: usize,
    rows: usize,
    /// The weight of each row; the weights sum to one.
    pub(crate) weights: Vec<f64>,
}

/// Each density divided by the highest density of its row, at least [`NLL_EPSILON`], `(S, R)`.
#[derive(Clone, Debug)]
pub(crate) struct RelativeDensities {
    matrix: Vec<f64>,
    rows: usize,
    pub(crate) weights: Vec<f64>,
    /// The weighted mean over the rows of the highest log density.
    pub(crate) mean_highest: f64,
}

impl RelativeDensities {
    pub(crate) fn matrix(&self) -> SlotMatrix<'_, f64> {
        SlotMatrix::new(&self.matrix, self.rows)
    }
}

impl LogDensities {
    pub(crate) fn of(held_out: &HeldOut) -> Result<Self> {
        let table = HeldOutTable::of(held_out)?;
        let (slots, rows, _) = table.dims();
        let logs = match (&table.task, &table.truth) {
            (Task::Regression { .. }, Truth::Values(truth)) => {
                table.with(|all: &[f64]| gaussian(&table, all, truth))?
            }
            _ => true_class_probabilities(&table)?.into_iter().map(|p| f64::from(p).ln()).collect(),
        };
        Ok(Self { logs, slots, rows, weights: table.weights })
    }

    /// The highest log density of each row, and their weighted mean.
    fn highest(&self) -> (Vec<f64>, f64) {
        let mut highest = vec![f64::NEG_INFINITY; self.rows];
        for slot in self.logs.chunks_exact(self.rows) {
            highest.iter_mut().zip(slot).for_each(|(most, l)| *most = most.max(*l));
        }
        let mean = highest.iter().zip(&self.weights).map(|(h, w)| h * w).sum();
        (highest, mean)
    }

    /// The densities relative to the highest of each row, for mixtures; computed in place.
    pub(crate) fn into_relative(mut self) -> RelativeDensities {
        let (highest, mean) = self.highest();
        for slot in self.logs.chunks_exact_mut(self.rows) {
            slot.iter_mut().zip(&highest).for_each(|(l, h)| *l = relative(*l, *h));
        }
        RelativeDensities { matrix: self.logs, rows: self.rows, weights: self.weights, mean_highest: mean }
    }

    /// The expected log pointwise predictive density (elpd) of each slot, `R Σ_i ω_i ln p_s(y_i) / Σ_i ω_i`.
    pub(crate) fn elpd(&self, weights: &[f64]) -> Vec<f64> {
        let total: f64 = weights.iter().sum();
        let sum = |slot: &[f64]| slot.iter().zip(weights).map(|(l, w)| l * w).sum::<f64>();
        self.logs.chunks_exact(self.rows).map(|slot| self.rows as f64 * sum(slot) / total).collect()
    }

    /// The weighted mean with these weights, whose objective is the negative log score.
    pub(crate) fn weighted(
        &self,
        combiner: &str,
        held_out: &HeldOut,
        weights: Vec<f64>,
        steps: usize,
    ) -> Weighted {
        let (highest, mean) = self.highest();
        let mut sums = vec![0.; self.rows];
        for (slot, weight) in self.logs.chunks_exact(self.rows).zip(&weights) {
            let each = sums.iter_mut().zip(slot).zip(&highest);
            each.for_each(|((m, l), h)| *m += weight * relative(*l, *h));
        }
        let score: f64 = sums.iter().zip(&self.weights).map(|(m, w)| w * m.ln()).sum();
        let fit = Fit { objective: -score - mean, iterations: steps, gap: None };
        Weighted::found(combiner, held_out, weights, Some(fit))
    }
}

fn relative(log: f64, highest: f64) -> f64 {
    (log - highest).exp().max(NLL_EPSILON)
}

/// `e^x` divided by the sum over all `x`.
pub(crate) fn softmax(logs: &[f64]) -> Vec<f64> {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let raw: Vec<f64> = logs.iter().map(|l| (l - most).exp()).collect();
    let total: f64 = raw.iter().sum();
    raw.into_iter().map(|x| x / total).collect()
}

/// The log density of a normal distribution around each prediction.
fn gaussian<T: Number>(table: &HeldOutTable, all: &[T], truth: &[f64]) -> Vec<f64> {
    let (_, rows, width) = table.dims();
    let mean_of = |each: &dyn Fn(usize) -> f64| -> f64 {
        table.weights.iter().enumerate().map(|(row, w)| if *w > 0. { w * each(row) } else { 0. }).sum()
    };
    let mut logs = Vec::with_capacity(all.len() / width);
    for predicted in all.chunks_exact(rows * width) {
        let mut slot = vec![0.; rows];
        for k in 0..width {
            let error = |row: usize| predicted[row * width + k].into() - truth[row * width + k];
            let mean = mean_of(&|row| truth[row * width + k]);
            let spread = mean_of(&|row| (truth[row * width + k] - mean).powi(2)).sqrt();
            let least = MIN_SCALE * if spread > 0. { spread } else { 1. };
            let scale = mean_of(&|row| error(row).powi(2)).sqrt().max(least);
            let constant = scale.ln() + 0.5 * std::f64::consts::TAU.ln();
            slot.iter_mut().enumerate().for_each(|(row, log)| {
                *log -= 0.5 * (error(row) / scale).powi(2) + constant;
            });
        }
        logs.extend(slot);
    }
    logs
}
