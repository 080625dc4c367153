//! Brier score.
use crate::{
    kernels::sums,
    metrics::inputs::{Case, Cases},
    Result,
};
use candle_core::Tensor;

/// Brier score: `1/N Σᵢ Σ_c (p_ic - [c = yᵢ])²`, 0 to 2, less is better (Brier 1950,
/// `doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2`).
///
/// This is Brier's own form, summed over all classes: for two classes it is twice the one that only counts the
/// positive class (scikit-learn's `brier_score_loss` gives this one with `scale_by_half=False`). Guessing
/// uniformly costs `1 - 1/C`. `probs` is `(N, C)`; `weights`, one a row, make it a weighted mean. Errors: see
/// the [module](super).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::brier;
///
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.0, 1.0]], &Device::Cpu)?;
/// assert_eq!(brier(&probs, &[0, 0], None)?, (0.125 + 2.0) / 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn brier(probs: &Tensor, labels: &[u32], weights: Option<&[f32]>) -> Result<f64> {
    Cases::new(probs, labels, weights)?.mean(distance)
}

/// Squared distance of one row from its label's corner.
pub(crate) fn distance(case: &Case<'_>) -> f64 {
    let square = |p: f64| p * p;
    let (before, from) = case.probs.split_at(case.label);
    // Apart, since subtracting the label's share from the whole sum would cancel near perfection.
    let others = sums::sum(before, square) + sums::sum(&from[1..], square);
    others + square(1.0 - from[0])
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        let (probs, labels, weights) = tables::classification();
        tables::close(brier(&probs, &labels, None).unwrap(), 0.6396349970060231);
        tables::close(brier(&probs, &labels, Some(&weights)).unwrap(), 0.6154215849429466);
    }

    #[test]
    fn tiny_errors_do_not_cancel() {
        let e = 2f64.powi(-40);
        let probs = Tensor::new(&[[e, 1.0 - e]], &Device::Cpu).unwrap();
        assert_eq!(brier(&probs, &[1], None).unwrap(), 2.0 * e * e);
    }
}
