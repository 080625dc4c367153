//! The Brier score.
use crate::{
    kernels::sums,
    metrics::{
        inputs::Case,
        stream::{of_classes, MeanScore},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the Brier score: the mean squared distance of the probabilities from the label's indicator.
///
/// ```text
/// 1/N Σᵢ Σ_c (p_ic − [c = yᵢ])²
/// ```
///
/// It is between 0 and 2; less is better. Uniform probabilities score `1 − 1/C`. `probs` is `(N, C)` (rows,
/// classes) of any float type; `weights` has one weight for each row and makes the mean a weighted one. This
/// is Brier's own form, summed over all classes. For two classes it is twice the form that uses the positive
/// class only; scikit-learn's `brier_score_loss` computes it with `scale_by_half=False`.
///
/// Use it as a proper score of probabilities that stays finite for certain errors. [`nll`](super::nll())
/// penalises these more.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid; see the [module](super).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::brier;
///
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.0, 1.0]], &Device::Cpu)?;
/// assert_eq!(brier(&probs, &[0, 0], None)?, (0.125 + 2.0) / 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Brier 1950, `doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2`.
pub fn brier(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<f64> {
    of_classes(MeanScore::new(distance), probs, labels, weights)
}

/// The squared distance of one row from its label's indicator.
pub(crate) fn distance(case: &Case<'_>) -> f64 {
    let square = |p: f64| p * p;
    let (before, from) = case.probs.split_at(case.label);
    // The other classes are summed without the label, because a difference of sums would cancel for small
    // errors.
    let others = sums::sum(before, square) + sums::sum(&from[1..], square);
    others + square(1.0 - from[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_classification;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        check_classification(brier, [0.6396349970060231, 0.6154215849429466]);
    }

    #[test]
    fn small_errors_do_not_cancel() {
        let e = 2f64.powi(-40);
        let probs = Tensor::new(&[[e, 1.0 - e]], &Device::Cpu).unwrap();
        assert_eq!(brier(&probs, &[1], None).unwrap(), 2.0 * e * e);
    }
}
