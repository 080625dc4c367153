//! The log-loss of the mean, from the probabilities of the true classes.
use crate::{
    combine::select::{
        panels::{Panels, LANES},
        Candidates, Scorer,
    },
    kernels::{float::Number, simd::vectorized},
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

/// `ln x` of a positive normal number, with a relative or absolute error of at most 4e-16. The compiler can
/// vectorise it.
///
/// `x = 2^k m` with m from √½ to √2; `ln m = 2 artanh s`, `s = (m−1)/(m+1)`, by its series up to `s²¹`.
#[inline(always)]
fn ln(x: f64) -> f64 {
    // The bits of √½. The difference of the bits as integers holds both k and m.
    const ROOT: u64 = 0x3FE6_A09E_667F_3BCD;
    const WHOLE: f64 = 6_755_399_441_055_744.; // 1.5 · 2⁵²: an integer added to its bits is added to the number
    let bits = x.to_bits().wrapping_sub(ROOT);
    let m = f64::from_bits((bits & (u64::MAX >> 12)).wrapping_add(ROOT));
    // Not every processor shifts signed 64-bit lanes; an offset makes a logical shift do.
    let k = (bits.wrapping_add(1 << 63) >> 52).wrapping_sub(1 << 11);
    let k = f64::from_bits(WHOLE.to_bits().wrapping_add(k)) - WHOLE;
    let s = (m - 1.) / (m + 1.);
    let square = s * s;
    let mut series = 1. / 21.;
    for odd in [19., 17., 15., 13., 11., 9., 7., 5., 3.] {
        series = series * square + 1. / odd;
    }
    k * LN_2 + 2. * (s + s * square * series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectorised_logarithm_agrees_with_ln() {
        let mut worst = 0f64;
        for i in 0..400_000u64 {
            for x in [i as f64 / 400_000., (-(i as f64) / 1e4).exp(), 1. - i as f64 * 1e-15] {
                if x >= NLL_EPSILON {
                    worst = worst.max((ln(x) - x.ln()).abs() / x.ln().abs().max(1.));
                }
            }
        }
        assert!(worst < 4e-16, "{worst}");
        assert_eq!(ln(1.), 0.);
        assert_eq!(ln(NLL_EPSILON), -52. * LN_2);
    }
}
