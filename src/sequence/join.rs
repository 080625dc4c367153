//! How the predictions of the members of a sequence become one.
use crate::{
    data::Task,
    kernels::{argmax::argmax, softmax::softmax},
};
use serde::{Deserialize, Serialize};

/// How the predictions of the members of a sequence become one, with weights `w` of the members.
///
/// | Join | Prediction |
/// |---|---|
/// | `Mean` | `Σ w p / Σ w` |
/// | `Vote` | `softmax(f / (K − 1))` with `f_c = Σ w (1 where the member predicts class c, else −1 / (K − 1)) / Σ w` |
/// | `LogProbabilities` | the same with `f_c = Σ (K − 1)(ln p_c − mean ln p) / Σ w` |
/// | `Median` | the lowest prediction up to which the weights sum to half of all weights |
/// | `Sum` | `start + Σ w o`; for classes the softmax of it, or for one output the logistic function |
///
/// For two classes, the votes enter as `softmax((−d / 2, d / 2))` with `d = f₁ − f₀`, as in scikit-learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Join {
    /// The weighted mean of probabilities or values.
    Mean,
    /// Weighted votes: AdaBoost with SAMME.
    Vote,
    /// Log-probabilities: AdaBoost with SAMME.R.
    LogProbabilities,
    /// The weighted median of values: AdaBoost.R2.
    Median,
    /// A sum of outputs that are neither probabilities nor values of the data: gradient boosting.
    Sum {
        /// What it begins with, a number for each output.
        start: Vec<f64>,
    },
}

impl Join {
    /// Whether each member predicts probabilities or values of the data by itself.
    #[must_use]
    pub fn has_predictors(&self) -> bool {
        !matches!(self, Self::Sum { .. })
    }

    /// The prediction of all members, `(B, C)`, one row after the other, where each predicts `rows` rows.
    pub(crate) fn combine(&self, weights: &[f64], members: &[Vec<f64>], rows: usize, task: Task) -> Vec<f64> {
        let width = task.width();
        match self {
            Self::Mean => mean(weights, members, rows * width),
            Self::Vote => probabilities(&votes(weights, members, (rows, width)), weights, width),
            Self::LogProbabilities => probabilities(&log_odds(members, (rows, width)), weights, width),
            Self::Median => median(weights, members, rows * width),
            Self::Sum { start } => {
                let mut sums = start.repeat(rows);
                for (weight, member) in weights.iter().zip(members) {
                    sums.iter_mut().zip(member).for_each(|(sum, output)| *sum += weight * output);
                }
                match task {
                    Task::Regression { .. } => sums,
                    Task::Classification { .. } if start.len() == 1 => {
                        sums.into_iter().map(logistic).flat_map(|p| [1. - p, p]).collect()
                    }
                    Task::Classification { .. } => softmax_rows(sums, width),
                }
            }
        }
    }
}

/// `1 / (1 + e^−x)`.
pub(super) fn logistic(x: f64) -> f64 {
    match x >= 0. {
        true => 1. / (1. + (-x).exp()),
        false => x.exp() / (1. + x.exp()),
    }
}

/// The softmax of each row of `width` numbers.
pub(super) fn softmax_rows(mut raw: Vec<f64>, width: usize) -> Vec<f64> {
    raw.chunks_mut(width.max(1)).for_each(|row| _ = softmax(row));
    raw
}

fn mean(weights: &[f64], members: &[Vec<f64>], numbers: usize) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let mut sums = vec![0.; numbers];
    for (weight, member) in weights.iter().zip(members) {
        sums.iter_mut().zip(member).for_each(|(sum, p)| *sum += weight * p);
    }
    sums.iter_mut().for_each(|sum| *sum /= total);
    sums
}

/// `Σ w` for the class that a member predicts, and `Σ −w / (K − 1)` for the others.
fn votes(weights: &[f64], members: &[Vec<f64>], (rows, classes): (usize, usize)) -> Vec<f64> {
    let mut sums = vec![0.; rows * classes];
    for (weight, member) in weights.iter().zip(members) {
        for (sums, row) in sums.chunks_mut(classes).zip(member.chunks(classes)) {
            let voted = argmax(row);
            for (class, sum) in sums.iter_mut().enumerate() {
                *sum += if class == voted { *weight } else { -weight / (classes as f64 - 1.) };
            }
        }
    }
    sums
}

/// `Σ (K − 1)(ln p − mean ln p)`.
fn log_odds(members: &[Vec<f64>], (rows, classes): (usize, usize)) -> Vec<f64> {
    let mut sums = vec![0.; rows * classes];
    for member in members {
        for (sums, row) in sums.chunks_mut(classes).zip(member.chunks(classes)) {
            let logs: Vec<f64> = row.iter().map(|p| p.max(f64::EPSILON).ln()).collect();
            let mean = logs.iter().sum::<f64>() / classes as f64;
            sums.iter_mut().zip(&logs).for_each(|(sum, log)| *sum += (classes as f64 - 1.) * (log - mean));
        }
    }
    sums
}

/// The probabilities of a decision function whose numbers are still to be divided by the sum of the weights.
fn probabilities(decisions: &[f64], weights: &[f64], classes: usize) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let scaled = decisions.chunks(classes.max(1)).flat_map(|row| match row {
        [first, second] => {
            let d = (second - first) / total;
            vec![-d / 2., d / 2.]
        }
        row => row.iter().map(|x| x / total / (classes as f64 - 1.)).collect(),
    });
    softmax_rows(scaled.collect(), classes)
}

fn median(weights: &[f64], members: &[Vec<f64>], numbers: usize) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let of_number = |number: usize| {
        let value = |member: &Vec<f64>| member.get(number).copied().unwrap_or(f64::NAN);
        let mut sorted: Vec<(f64, f64)> = members.iter().map(value).zip(weights.iter().copied()).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0)); // stable
        let mut below = 0.;
        let middle = sorted.iter().find(|(_, weight)| {
            below += weight;
            below >= 0.5 * total
        });
        middle.or(sorted.last()).map_or(f64::NAN, |(value, _)| *value)
    };
    (0..numbers).map(of_number).collect()
}
