//! The correlation of members' errors, for values.
use super::pair_matrix::{pairs, PairMatrix};
use crate::{evaluate::RowTargets, kernels::cpu, predictions::Predictions, threads, Result};
use rayon::prelude::*;

/// Number of cells of a slot that are compared at a time; those of a hundred slots fit in the cache.
const BLOCK: usize = 4096;

/// The share of a mean square below which a variance is rounding.
const ROUNDING: f64 = 1e-24;

/// The errors of all slots, `(S, N·K)`, as differences from the slot's mean error.
pub(super) struct Errors<'a> {
    slots: usize,
    width: usize,
    cells: usize,
    targets: &'a RowTargets,
    /// 0 where a prediction is missing.
    centred: Vec<f64>,
    covered: Option<Vec<Vec<f32>>>,
    /// The mean squared error of each slot over the rows that it predicts.
    pub(super) mean_squared: Vec<Option<f64>>,
}

impl<'a> Errors<'a> {
    pub(super) fn new(predictions: &Predictions, targets: &'a RowTargets) -> Result<Self> {
        predictions.check_finite()?;
        let (slots, rows, width) = predictions.values().dims3()?;
        let covered = predictions.coverage_by_slot()?;
        let cells = rows * width;
        let one = |slot: usize| -> Result<(Vec<f64>, Option<f64>)> {
            let there = |row: usize| covered.as_ref().is_none_or(|c| c[slot][row] > 0.);
            let weight = |row: usize| if there(row) { targets.weight(row) } else { 0. };
            let mut errors = vec![0.; cells];
            cpu::with_slice(&predictions.values().get(slot)?, |values: &[f64]| {
                let rows = errors.chunks_exact_mut(width).zip(values.chunks_exact(width));
                for (row, (errors, values)) in rows.enumerate().filter(|(row, _)| there(*row)) {
                    let target = targets.row(row);
                    for (k, (error, value)) in errors.iter_mut().zip(values).enumerate() {
                        *error = value - target.column(k);
                    }
                }
            })?;
            let total = (0..rows).map(weight).sum::<f64>() * width as f64;
            let mean = |f: &dyn Fn(f64) -> f64| {
                let by_row = errors.chunks_exact(width).enumerate();
                by_row
                    .map(|(row, errors)| weight(row) * errors.iter().map(|e| f(*e)).sum::<f64>())
                    .sum::<f64>()
                    / total
            };
            if total <= 0. {
                return Ok((errors, None));
            }
            let (centre, square) = (mean(&|e| e), mean(&|e| e * e));
            // Equal errors, whose mean may be rounded, do not vary.
            let scale = if mean(&|e| (e - centre).powi(2)) > ROUNDING * square { 1. } else { 0. };
            for (_, errors) in errors.chunks_exact_mut(width).enumerate().filter(|(row, _)| there(*row)) {
                errors.iter_mut().for_each(|error| *error = scale * (*error - centre));
            }
            Ok((errors, Some(square)))
        };
        let all = threads::wide(|| (0..slots).into_par_iter().map(one).collect::<Result<Vec<_>>>())?;
        let mean_squared = all.iter().map(|(_, square)| *square).collect();
        let centred = all.into_iter().flat_map(|(errors, _)| errors).collect();
        Ok(Self { slots, width, cells, targets, centred, covered, mean_squared })
    }

    /// The correlation of the errors of each pair, over the rows that both predict and all outputs.
    ///
    /// ```text
    /// r_st = Σ w (e_s − ē_s)(e_t − ē_t) / √(Σ w (e_s − ē_s)² Σ w (e_t − ē_t)²)
    /// ```
    ///
    /// `None` where the errors of one of them do not vary.
    pub(super) fn correlations(self) -> PairMatrix {
        let slots = self.slots;
        let values = match &self.covered {
            None => self.complete(),
            Some(covered) => {
                let all: Vec<_> = pairs(slots).collect();
                threads::wide(|| all.par_iter().map(|(a, b)| self.pair(covered, *a, *b)).collect())
            }
        };
        PairMatrix::new(slots, values)
    }

    fn slot(&self, slot: usize) -> &[f64] {
        &self.centred[slot * self.cells..][..self.cells]
    }

    /// The correlations where no prediction is missing: one matrix product, block by block.
    fn complete(mut self) -> Vec<Option<f64>> {
        if let Some(weights) = self.targets.weights() {
            for slot in self.centred.chunks_exact_mut(self.cells) {
                for (errors, weight) in slot.chunks_exact_mut(self.width).zip(weights) {
                    errors.iter_mut().for_each(|error| *error *= weight.sqrt());
                }
            }
        }
        let of = &self;
        let row = |a: usize| -> Vec<f64> {
            let mut products = vec![0.; of.slots - a];
            for start in (0..of.cells).step_by(BLOCK) {
                let end = (start + BLOCK).min(of.cells);
                let first = &of.slot(a)[start..end];
                for (product, b) in products.iter_mut().zip(a..) {
                    *product += dot(first, &of.slot(b)[start..end]);
                }
            }
            products
        };
        let products = threads::wide(|| (0..of.slots).into_par_iter().map(row).collect::<Vec<_>>());
        let square = |slot: usize| products[slot][0];
        pairs(of.slots).map(|(a, b)| correlation(products[a][b - a], square(a), square(b))).collect()
    }

    fn pair(&self, covered: &[Vec<f32>], a: usize, b: usize) -> Option<f64> {
        // The sums of w, w x, w y, w x², w y², w x y over the rows that both predict.
        let mut sums = [0.; 6];
        let cells = self.slot(a).chunks_exact(self.width).zip(self.slot(b).chunks_exact(self.width));
        for (row, (of_a, of_b)) in cells.enumerate() {
            if covered[a][row] > 0. && covered[b][row] > 0. {
                let w = self.targets.weight(row);
                for (x, y) in of_a.iter().zip(of_b) {
                    let terms = [1., *x, *y, x * x, y * y, x * y];
                    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += w * term);
                }
            }
        }
        let [w, x, y, xx, yy, xy] = sums;
        let varies = |square: f64, sum: f64| match square - sum * sum / w {
            rest if rest > ROUNDING.sqrt() * square => rest,
            _ => 0.,
        };
        (w > 0.).then(|| correlation(xy - x * y / w, varies(xx, x), varies(yy, y))).flatten()
    }
}

/// The correlation from a sum of products and two sums of squares; `None` where one of the squares is 0.
fn correlation(product: f64, first: f64, second: f64) -> Option<f64> {
    let scale = first.max(0.).sqrt() * second.max(0.).sqrt();
    (scale > 0.).then(|| (product / scale).clamp(-1., 1.))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.; 8];
    let (first, second) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = first.remainder().iter().zip(second.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in first.zip(second) {
        for ((lane, x), y) in lanes.iter_mut().zip(a).zip(b) {
            *lane += x * y;
        }
    }
    lanes.into_iter().sum::<f64>() + rest
}
