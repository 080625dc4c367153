//! The absolute error of the mean.
use crate::{
    combine::select::{
        panels::{Panels, LANES},
        Candidates, Scorer,
    },
    kernels::simd::vectorized,
    Result,
};
use std::ops::Range;

pub(crate) struct AbsoluteError {
    /// Prediction minus truth.
    residuals: Panels<f64>,
    /// Sum over the members added so far, `(R, K)`.
    sum: Vec<f64>,
    width: usize,
    count: usize,
    weights: Vec<f64>,
}

impl AbsoluteError {
    pub(crate) fn new(candidates: &Candidates<'_, f64>, truth: &[f64]) -> Self {
        let (rows, width) = (candidates.rows, candidates.width);
        let residual =
            |slot: usize, row: usize, k: usize| candidates.row(slot, row)[k] - truth[row * width + k];
        let residuals = Panels::new([candidates.slots.len(), rows, width], residual);
        Self { residuals, sum: vec![0.; rows * width], width, count: 0, weights: candidates.weights.to_vec() }
    }

    #[inline(always)]
    fn add_losses(&self, rows: &Range<usize>, losses: &mut [[f64; LANES]]) {
        for (residuals, losses) in self.residuals.of_rows(rows).zip(losses) {
            for (at, row) in rows.clone().enumerate() {
                let residuals = &residuals[at * self.width..][..self.width];
                for (sum, residuals) in self.sum[row * self.width..][..self.width].iter().zip(residuals) {
                    for (loss, residual) in losses.iter_mut().zip(residuals) {
                        *loss += self.weights[row] * (sum + residual).abs();
                    }
                }
            }
        }
    }
}

impl Scorer for AbsoluteError {
    fn losses_with_each(&mut self) -> Result<Vec<f64>> {
        let mut losses = self.residuals.sums(|rows, losses| {
            vectorized(
                #[inline(always)]
                || self.add_losses(rows, losses),
            );
        });
        let divisor = ((self.count + 1) * self.width) as f64;
        losses.iter_mut().for_each(|loss| *loss /= divisor);
        Ok(losses)
    }

    fn add(&mut self, slot: usize) {
        let rows = 0..self.weights.len();
        let residuals = self.residuals.of_rows(&rows).skip(slot / LANES).take(1).flatten();
        self.sum.iter_mut().zip(residuals).for_each(|(sum, e)| *sum += e[slot % LANES]);
        self.count += 1;
    }
}
