//! How probable each slot found what happened, row by row.
use crate::{
    combine::{
        blend::{log_loss::of_true_class, table::Table},
        held_out_table::HeldOutTable,
        Fit, Weighted,
    },
    data::Task,
    kernels::float::Number,
    metrics::{Truth, NLL_EPSILON},
    HeldOut, Result,
};

/// The least scale of a slot's errors, relative to the spread of the targets.
const LEAST_SCALE: f64 = 1e-6;

/// `(S, R)`: the logarithm of the density that each slot gives each row's answer.
///
/// For classes the probability of the true class. For values a slot predicts the normal distribution around what it
/// says, for each output by itself, whose standard deviation is the slot's root mean squared error of that output.
#[derive(Clone, Debug)]
pub(crate) struct Densities {
    logs: Vec<f64>,
    pub(crate) slots: usize,
    rows: usize,
    /// They sum to one.
    pub(crate) weights: Vec<f64>,
}

/// `(S, R)`: each density beside the highest of its row, at least [`NLL_EPSILON`].
#[derive(Clone, Debug)]
pub(crate) struct Relative {
    table: Vec<f64>,
    rows: usize,
    pub(crate) weights: Vec<f64>,
    /// The mean of the logarithms of the highest.
    pub(crate) highest: f64,
}

impl Relative {
    pub(crate) fn table(&self) -> Table<'_, f64> {
        Table::new(&self.table, self.rows)
    }
}

impl Densities {
    pub(crate) fn of(held_out: &HeldOut) -> Result<Self> {
        let held_out_table = HeldOutTable::of(held_out)?;
        let (slots, rows, _) = held_out_table.dims();
        let logs = match (&held_out_table.task, &held_out_table.truth) {
            (Task::Regression { .. }, Truth::Values(truth)) => {
                held_out_table.with(|all: &[f64]| gaussian(&held_out_table, all, truth))?
            }
            _ => of_true_class(&held_out_table)?.into_iter().map(|p| f64::from(p).ln()).collect(),
        };
        Ok(Self { logs, slots, rows, weights: held_out_table.weights })
    }

    /// The highest of each row, and the mean of these.
    fn highest(&self) -> (Vec<f64>, f64) {
        let mut highest = vec![f64::NEG_INFINITY; self.rows];
        for slot in self.logs.chunks_exact(self.rows) {
            highest.iter_mut().zip(slot).for_each(|(most, l)| *most = most.max(*l));
        }
        let mean = highest.iter().zip(&self.weights).map(|(h, w)| h * w).sum();
        (highest, mean)
    }

    /// For mixtures, in place.
    pub(crate) fn into_relative(mut self) -> Relative {
        let (highest, mean) = self.highest();
        for slot in self.logs.chunks_exact_mut(self.rows) {
            slot.iter_mut().zip(&highest).for_each(|(l, h)| *l = relative(*l, *h));
        }
        Relative { table: self.logs, rows: self.rows, weights: self.weights, highest: mean }
    }

    /// A slot's expected log density for as many new rows as there are (elpd), each row counted `weights` times.
    pub(crate) fn expected(&self, weights: &[f64]) -> Vec<f64> {
        let total: f64 = weights.iter().sum();
        let sum = |slot: &[f64]| slot.iter().zip(weights).map(|(l, w)| l * w).sum::<f64>();
        self.logs.chunks_exact(self.rows).map(|slot| self.rows as f64 * sum(slot) / total).collect()
    }

    /// These weights, with their log score as the objective.
    pub(crate) fn weighted(&self, rule: &str, held_out: &HeldOut, weights: Vec<f64>, steps: u64) -> Weighted {
        let (highest, mean) = self.highest();
        let mut mixed = vec![0.; self.rows];
        for (slot, weight) in self.logs.chunks_exact(self.rows).zip(&weights) {
            let each = mixed.iter_mut().zip(slot).zip(&highest);
            each.for_each(|((m, l), h)| *m += weight * relative(*l, *h));
        }
        let score: f64 = mixed.iter().zip(&self.weights).map(|(m, w)| w * m.ln()).sum();
        let fit = Fit { objective: -score - mean, iterations: steps, gap: None };
        Weighted::found(rule, held_out.names(), weights, Some(fit))
    }
}

fn relative(log: f64, highest: f64) -> f64 {
    (log - highest).exp().max(NLL_EPSILON)
}

/// `e^x` over its sum.
pub(crate) fn softmax(logs: &[f64]) -> Vec<f64> {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let raw: Vec<f64> = logs.iter().map(|l| (l - most).exp()).collect();
    let total: f64 = raw.iter().sum();
    raw.into_iter().map(|x| x / total).collect()
}

fn gaussian<T: Number>(held_out_table: &HeldOutTable, all: &[T], truth: &[f64]) -> Vec<f64> {
    let (_, rows, width) = held_out_table.dims();
    let mean_of = |each: &dyn Fn(usize) -> f64| -> f64 {
        held_out_table
            .weights
            .iter()
            .enumerate()
            .map(|(row, w)| if *w > 0. { w * each(row) } else { 0. })
            .sum()
    };
    let mut logs = Vec::with_capacity(all.len() / width);
    for predicted in all.chunks_exact(rows * width) {
        let mut slot = vec![0.; rows];
        for k in 0..width {
            let error = |row: usize| predicted[row * width + k].into() - truth[row * width + k];
            let mean = mean_of(&|row| truth[row * width + k]);
            let spread = mean_of(&|row| (truth[row * width + k] - mean).powi(2)).sqrt();
            let least = LEAST_SCALE * if spread > 0. { spread } else { 1. };
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
