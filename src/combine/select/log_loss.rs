//! The log-loss of the mean, from the probabilities of the true classes.
use crate::{
    combine::select::{
        panels::{Panels, LANES},
        Candidates, Scorer,
    },
    kernels::{float::Number, ln::ln, simd::vectorized},
    metrics::NLL_EPSILON,
    Result,
};
use std::{f64::consts::LN_2, ops::Range};

/// Number of factors of at least 2⁻⁵² whose product is a normal f64.
const FACTORS: usize = 16;

pub(crate) struct LogLoss<T> {
    predicted: Panels<T>,
    /// Sum over the members added so far, row by row.
    sum: Vec<f64>,
    count: usize,
    /// `None` when all weights are equal.
    weights: Option<Vec<f64>>,
}

impl<T: Number> LogLoss<T> {
    pub(crate) fn new(candidates: &Candidates<'_, T>, labels: &[u32]) -> Self {
        let probability = |slot: usize, row: usize, _: usize| candidates.row(slot, row)[labels[row] as usize];
        let predicted = Panels::new([candidates.slots.len(), candidates.rows, 1], probability);
        let equal = candidates.weights.iter().all(|w| *w == candidates.weights[0]);
        let weights = (!equal).then(|| candidates.weights.to_vec());
        Self { predicted, sum: vec![0.; candidates.rows], count: 0, weights }
    }

    #[inline(always)]
    fn add_losses(&self, rows: &Range<usize>, losses: &mut [[f64; LANES]]) {
        let sum = &self.sum[rows.clone()];
        let share = 1. / (self.count + 1) as f64;
        for (predicted, losses) in self.predicted.of_rows(rows).zip(losses) {
            match &self.weights {
                None => subtract_logs(sum, predicted, share, losses),
                Some(weights) => {
                    subtract_weighted_logs(sum, predicted, share, &weights[rows.clone()], losses)
                }
            }
        }
    }
}

impl<T: Number> Scorer for LogLoss<T> {
    fn losses_with_each(&mut self) -> Result<Vec<f64>> {
        let mut losses = self.predicted.sums(|rows, losses| {
            vectorized(
                #[inline(always)]
                || self.add_losses(rows, losses),
            );
        });
        if self.weights.is_none() {
            losses.iter_mut().for_each(|loss| *loss /= self.sum.len() as f64);
        }
        Ok(losses)
    }

    fn add(&mut self, slot: usize) {
        let rows = 0..self.sum.len();
        let predicted = self.predicted.of_rows(&rows).skip(slot / LANES).take(1).flatten();
        self.sum
            .iter_mut()
            .zip(predicted)
            .for_each(|(sum, predicted)| *sum += predicted[slot % LANES].into());
        self.count += 1;
    }
}

#[inline(always)]
fn mean<T: Number>(sum: f64, predicted: T, share: f64) -> f64 {
    let mean = (sum + predicted.into()) * share;
    let mean = if mean > NLL_EPSILON { mean } else { NLL_EPSILON };
    if mean < 1. {
        mean
    } else {
        1.
    }
}

/// Subtracts the logarithms of the means. It takes one logarithm for all rows, of their product, whose powers
/// of two are counted separately so that it does not underflow.
#[inline(always)]
fn subtract_logs<T: Number>(sum: &[f64], predicted: &[[T; LANES]], share: f64, losses: &mut [f64; LANES]) {
    const ONE: u64 = 1023 << 52;
    let (mut product, mut powers) = ([1f64; LANES], [0u64; LANES]);
    for (sum, predicted) in sum.chunks(FACTORS).zip(predicted.chunks(FACTORS)) {
        for (sum, predicted) in sum.iter().zip(predicted) {
            for (product, predicted) in product.iter_mut().zip(predicted) {
                *product *= mean(*sum, *predicted, share);
            }
        }
        for (product, power) in product.iter_mut().zip(&mut powers) {
            // At most 1, so its power of two is not positive.
            *power += 1023 - (product.to_bits() >> 52).min(1023);
            *product = f64::from_bits(product.to_bits() & (u64::MAX >> 12) | ONE);
        }
    }
    for ((loss, product), power) in losses.iter_mut().zip(product).zip(powers) {
        *loss += power as f64 * LN_2 - product.ln();
    }
}

#[inline(always)]
fn subtract_weighted_logs<T: Number>(
    sum: &[f64],
    predicted: &[[T; LANES]],
    share: f64,
    weights: &[f64],
    losses: &mut [f64; LANES],
) {
    for ((sum, predicted), weight) in sum.iter().zip(predicted).zip(weights) {
        for (loss, predicted) in losses.iter_mut().zip(predicted) {
            *loss -= weight * ln(mean(*sum, *predicted, share));
        }
    }
}
