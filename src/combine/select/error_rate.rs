//! The error rate of the mean, from the sums of the class probabilities.
use crate::{
    combine::select::{
        panels::{Panels, LANES},
        Candidates, Scorer,
    },
    kernels::{float::Number, simd::vectorized},
    Result,
};
use std::ops::Range;

/// A margin farther from a tie than any rounding of the sums.
const CLEAR_MARGIN: f64 = 1e-6;

pub(crate) struct ErrorRate<T> {
    predicted: Panels<T>,
    labels: Vec<u32>,
    /// Sum over the members added so far, `(R, C)`.
    sum: Vec<f64>,
    classes: usize,
    weights: Vec<f64>,
    /// The least and the greatest change that any candidate can make to the margin of a row (the true class
    /// minus the best other class). Rows whose margin is farther from a tie than that are skipped.
    changes: Vec<[f64; 2]>,
}

impl<T: Number> ErrorRate<T> {
    pub(crate) fn new(candidates: &Candidates<'_, T>, labels: &[u32]) -> Self {
        let (slots, rows, classes) = (candidates.slots.len(), candidates.rows, candidates.width);
        let predicted =
            Panels::new([slots, rows, classes], |slot, row, class| candidates.row(slot, row)[class]);
        let mut changes = vec![[f64::INFINITY, f64::NEG_INFINITY]; rows];
        for slot in 0..slots {
            for (row, [least, most]) in changes.iter_mut().enumerate() {
                let (label, predicted) = (labels[row] as usize, candidates.row(slot, row));
                let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
                for (class, other) in predicted.iter().enumerate() {
                    let other: f64 = (*other).into();
                    low = if other < low { other } else { low };
                    high = if class != label && other > high { other } else { high };
                }
                let own: f64 = predicted[label].into();
                *least = least.min(own - high);
                *most = most.max(own - low);
            }
        }
        // Equal weights are summed as counts, which is exact, and divided by the number of rows at the end.
        let equal = candidates.weights.iter().all(|w| *w == candidates.weights[0]);
        let weights = if equal { vec![1.; rows] } else { candidates.weights.to_vec() };
        Self { predicted, labels: labels.to_vec(), sum: vec![0.; rows * classes], classes, weights, changes }
    }

    /// The margin of a row by the sums so far: `p_y − max_{c ≠ y} p_c`.
    #[inline(always)]
    fn margin(&self, row: usize) -> f64 {
        let (sum, label) = (&self.sum[row * self.classes..][..self.classes], self.labels[row] as usize);
        let (before, rest) = sum.split_at(label);
        let greatest =
            before.iter().chain(&rest[1..]).fold(f64::NEG_INFINITY, |g, x| if *x > g { *x } else { g });
        rest[0] - greatest
    }

    #[inline(always)]
    fn add_losses(&self, rows: &Range<usize>, losses: &mut [[f64; LANES]]) {
        let mut undecided = vec![];
        let mut wrong = 0.;
        for row in rows.clone() {
            let (margin, [least, most]) = (self.margin(row), self.changes[row]);
            if margin + most < -CLEAR_MARGIN {
                wrong += self.weights[row];
            } else if margin + least <= CLEAR_MARGIN {
                undecided.push(row);
            }
        }
        for (predicted, losses) in self.predicted.of_rows(rows).zip(losses) {
            *losses = [wrong; LANES];
            for &row in &undecided {
                let predicted = &predicted[(row - rows.start) * self.classes..][..self.classes];
                let sum = &self.sum[row * self.classes..][..self.classes];
                let label = self.labels[row] as usize;
                let truth = sums(sum[label], &predicted[label]);
                // Ties go to the lowest class: a lower class than the true one wins them, a higher one loses
                // them.
                let below = greatest(&sum[..label], &predicted[..label]);
                let above = greatest(&sum[label + 1..], &predicted[label + 1..]);
                let weight = self.weights[row];
                for lane in 0..LANES {
                    let lost = below[lane] >= truth[lane] || above[lane] > truth[lane];
                    losses[lane] += if lost { weight } else { 0. };
                }
            }
        }
    }
}

#[inline(always)]
fn sums<T: Number>(sum: f64, predicted: &[T; LANES]) -> [f64; LANES] {
    let mut sums = [sum; LANES];
    sums.iter_mut().zip(predicted).for_each(|(sum, predicted)| *sum += (*predicted).into());
    sums
}

#[inline(always)]
fn greatest<T: Number>(sum: &[f64], predicted: &[[T; LANES]]) -> [f64; LANES] {
    let mut greatest = [f64::NEG_INFINITY; LANES];
    for (sum, predicted) in sum.iter().zip(predicted) {
        for (greatest, x) in greatest.iter_mut().zip(sums(*sum, predicted)) {
            *greatest = if x > *greatest { x } else { *greatest };
        }
    }
    greatest
}

impl<T: Number> Scorer for ErrorRate<T> {
    fn losses_with_each(&mut self) -> Result<Vec<f64>> {
        let mut losses = self.predicted.sums(|rows, losses| {
            vectorized(
                #[inline(always)]
                || self.add_losses(rows, losses),
            );
        });
        let total: f64 = self.weights.iter().sum();
        losses.iter_mut().for_each(|loss| *loss /= total);
        Ok(losses)
    }

    fn add(&mut self, slot: usize) {
        let rows = 0..self.labels.len();
        let predicted = self.predicted.of_rows(&rows).skip(slot / LANES).take(1).flatten();
        self.sum
            .iter_mut()
            .zip(predicted)
            .for_each(|(sum, predicted)| *sum += predicted[slot % LANES].into());
    }
}
