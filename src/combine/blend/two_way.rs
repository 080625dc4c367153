//! Comparison of slots on the rows that they have in common.
use crate::{
    combine::{common_rows::SlotEquations, held_out_table::Coverage},
    Error, Result,
};
use linfa_linalg::eigh::Eigh;
use ndarray::Array2;

/// Directions in which slots are compared on less than this share of the rows are not compared.
const LEAST_SHARE: f64 = 1e-12;

/// Scores of slots, compared row by row ([`SlotEquations`]).
///
/// ```text
/// x_si = θ_s + α_i + ε_si  for the rows i that slot s predicts, by weighted least squares
/// ```
///
/// The effect `α_i` of a row keeps a slot that predicts easy rows from looking good. Slots without common
/// rows, directly or by way of others, have the same `θ`. Where no score is missing, `θ_s` is the mean score of
/// the slot, up to a constant.
#[derive(Clone, Debug)]
pub(crate) struct TwoWay {
    /// The scores; with missing ones the residuals `ε`, 0 where a score is missing. `(S, R)`.
    scores: Vec<f64>,
    rows: usize,
    partial: Option<Partial>,
}

#[derive(Clone, Debug)]
struct Partial {
    /// The effects, as differences from their mean with the precision of each as its weight.
    effects: Vec<f64>,
    /// What gives the effects from the sums of the centred scores, `(S, S)`.
    solve: Vec<f64>,
    /// The standard error of each effect relative to that of a slot that predicts every row, as all others do.
    errors: Vec<f64>,
}

impl TwoWay {
    /// Compares scores `(S, R)` with these weights of the rows, which sum to one.
    pub(crate) fn new(scores: Vec<f64>, coverage: Option<&Coverage>, weights: &[f64]) -> Result<Self> {
        let rows = weights.len();
        let Some(coverage) = coverage else { return Ok(Self { scores, rows, partial: None }) };
        let slots = scores.len() / rows.max(1);
        let present = |row: usize| (0..slots).filter(move |slot| coverage.predicts(*slot, row));
        let (mut equations, mut of_row) = (SlotEquations::new(slots), Vec::with_capacity(slots));
        for (row, weight) in weights.iter().enumerate() {
            of_row.clear();
            of_row.extend(present(row).map(|s| (s, scores[s * rows + row])));
            equations.add_row(&of_row, *weight);
        }
        let mut scores = centred(&scores, rows, &present);
        let SlotEquations { matrix, sums } = equations;
        let inverse = pseudo_inverse(matrix, slots)?;
        let plain = product(&inverse, &sums);
        for row in 0..rows {
            present(row).for_each(|s| scores[s * rows + row] -= plain[s]);
        }
        let scores = centred(&scores, rows, &present);
        Ok(Self { scores, rows, partial: Some(Partial::new(&inverse, &sums)) })
    }

    /// The sum of the scores of each slot over all rows, up to a constant, with these weights of the rows.
    ///
    /// A slot that predicts few rows is compared with a larger error. Its difference from the mean is divided by
    /// its relative error, so that chance alone moves it as far as if it predicted every row; otherwise the slots
    /// with the fewest rows would be the best and the worst ones.
    pub(crate) fn totals(&self, weights: &[f64]) -> Vec<f64> {
        let total: f64 = weights.iter().sum();
        let sum = |slot: &[f64]| slot.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() / total;
        let sums: Vec<f64> = self.scores.chunks_exact(self.rows).map(sum).collect();
        let rows = self.rows as f64;
        let Some(Partial { effects, solve, errors }) = &self.partial else {
            return sums.into_iter().map(|x| rows * x).collect();
        };
        let moved = product(solve, &sums).into_iter().zip(effects).zip(errors);
        moved.map(|((moved, effect), e)| if *e > 0. { rows * (effect + moved) / e } else { 0. }).collect()
    }
}

impl Partial {
    /// From the inverse of the normal equations, which is the covariance of the effects when those of all slots
    /// add up to 0, and the sums of the centred scores.
    fn new(inverse: &[f64], sums: &[f64]) -> Self {
        let slots = sums.len();
        let precision = |s: usize| match inverse[s * slots + s] {
            variance if variance > 0. => 1. / variance,
            _ => 0.,
        };
        let total: f64 = (0..slots).map(precision).sum();
        let shares: Vec<f64> =
            (0..slots).map(|s| if total > 0. { precision(s) / total } else { 0. }).collect();
        // The rows minus their weighted mean, then the columns too.
        let mean = product(inverse, &shares);
        let of_mean: f64 = mean.iter().zip(&shares).map(|(m, share)| m * share).sum();
        let solve: Vec<f64> = (0..slots * slots).map(|i| inverse[i] - mean[i % slots]).collect();
        let complete = 1. - 1. / slots as f64;
        let error = |s: usize| match inverse[s * slots + s] {
            own if own > 0. => ((own - 2. * mean[s] + of_mean).max(0.) / complete).sqrt(),
            _ => 0.,
        };
        Self { effects: product(&solve, sums), errors: (0..slots).map(error).collect(), solve }
    }
}

/// The scores minus their mean over the slots that have one for the row; 0 where a score is missing.
fn centred<I: Iterator<Item = usize>>(
    scores: &[f64],
    rows: usize,
    present: &impl Fn(usize) -> I,
) -> Vec<f64> {
    let mut result = vec![0.; scores.len()];
    for row in 0..rows {
        let (count, sum) = present(row).fold((0., 0.), |(n, sum), s| (n + 1., sum + scores[s * rows + row]));
        present(row).for_each(|s| result[s * rows + row] = scores[s * rows + row] - sum / count);
    }
    result
}

fn product(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(vector.len()).map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
}

/// The pseudo-inverse of a positive semidefinite matrix whose eigenvalues are shares.
fn pseudo_inverse(matrix: Vec<f64>, size: usize) -> Result<Vec<f64>> {
    let failed = |e: &dyn std::fmt::Display| Error::invalid("the comparison of the members", "solvable", e);
    let matrix = Array2::from_shape_vec((size, size), matrix).map_err(|e| failed(&e))?;
    let (values, vectors) = matrix.eigh().map_err(|e| failed(&e))?;
    let mut inverse = vec![0.; size * size];
    for (value, vector) in values.iter().zip(vectors.columns()) {
        if *value > LEAST_SHARE * size as f64 {
            for (row, x) in inverse.chunks_exact_mut(size).zip(vector) {
                row.iter_mut().zip(vector).for_each(|(sum, y)| *sum += x * y / value);
            }
        }
    }
    Ok(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::Task, predictions::Predictions, HeldOut};
    use candle_core::{Device, Tensor};

    fn coverage(there: &[&[u8]]) -> Coverage {
        let (slots, rows) = (there.len(), there[0].len());
        let covered = Tensor::from_vec(there.concat(), (slots, rows), &Device::Cpu).unwrap();
        let values = Tensor::zeros((slots, rows, 1), candle_core::DType::F64, &Device::Cpu).unwrap();
        let predictions = Predictions::partial(values, covered, Task::Regression { outputs: 1 }).unwrap();
        let y = Tensor::zeros((rows, 1), candle_core::DType::F64, &Device::Cpu).unwrap();
        let held_out = HeldOut::from_predictions(&predictions, &y).unwrap();
        crate::combine::held_out_table::HeldOutTable::of(&held_out).unwrap().coverage.unwrap()
    }

    /// Scores that are an effect of the slot plus one of the row: the effects come back, whoever predicts what.
    #[test]
    fn the_effects_of_rows_are_taken_out() {
        let there = coverage(&[&[1, 1, 0, 0, 0], &[0, 1, 1, 1, 1], &[1, 0, 0, 1, 0]]);
        let (slot, row) = ([0.5, -1., 0.25], [0., 7., -3., 100., 5.]);
        let scores = (0..3).flat_map(|s| (0..5).map(move |i| (s, i)));
        let scores = scores.map(|(s, i)| if there.predicts(s, i) { slot[s] + row[i] } else { 9e9 }).collect();
        let compared = TwoWay::new(scores, Some(&there), &[0.1, 0.2, 0.3, 0.2, 0.2]).unwrap();
        let effects = compared.partial.unwrap().effects;
        for s in 1..3 {
            assert!((effects[s] - effects[0] - (slot[s] - slot[0])).abs() < 1e-12, "{effects:?}");
        }
        assert!(compared.scores.iter().all(|residual| residual.abs() < 1e-12));
    }

    /// Where nothing is missing but the fact is not known, the totals are those of the complete case.
    #[test]
    fn complete_scores_are_compared_by_their_means() {
        let there = Coverage::complete_for_test(3, 4);
        let scores: Vec<f64> = (0..12).map(|i| f64::from(i * i % 7) / 3.).collect();
        let (weights, draw) = ([0.1, 0.2, 0.3, 0.4], [0.5, 0.25, 1.5, 0.75]);
        let complete = TwoWay::new(scores.clone(), None, &weights).unwrap().totals(&draw);
        let partial = TwoWay::new(scores, Some(&there), &weights).unwrap().totals(&draw);
        for s in 1..3 {
            assert!((complete[s] - complete[0] - (partial[s] - partial[0])).abs() < 1e-12);
        }
    }

    #[test]
    fn slots_without_common_rows_are_equal() {
        let there = coverage(&[&[1, 1, 0], &[0, 0, 1]]);
        let compared = TwoWay::new(vec![1., 2., 0., 0., 0., 50.], Some(&there), &[0.25, 0.25, 0.5]).unwrap();
        assert_eq!(compared.totals(&[0.25, 0.25, 0.5]), [0., 0.]);
    }
}
