//! The negative log-likelihood.
use crate::{
    metrics::{
        inputs::Case,
        stream::{of_classes, MeanScore},
    },
    Result,
};
use candle_core::Tensor;

/// The least probability of which [`nll`] takes the logarithm: 2⁻⁵², so the loss of a row is at most 36.04.
pub const NLL_EPSILON: f64 = f64::EPSILON;

/// Computes the negative log-likelihood (log-loss) in nats: the mean of minus the logarithm of the label's
/// probability.
///
/// ```text
/// −1/N Σᵢ ln p_i,yᵢ
/// ```
///
/// It is 0 or more; less is better. Uniform probabilities score `ln C`. `probs` is `(N, C)` (rows, classes)
/// of any float type; `weights` has one weight for each row and makes the mean a weighted one.
///
/// Probabilities are clipped to [`NLL_EPSILON`] and 1, so the loss of a certain and wrong row is 36.04
/// instead of infinity. scikit-learn's `log_loss` clips to `[ε, 1 − ε]` with the machine epsilon `ε` of the
/// array's type. For f64 that is the same, except that the loss of a perfect row is 2·10⁻¹⁶ there and 0 here;
/// for f32 the loss of a certain and wrong row is 15.9 there.
///
/// Use it as the standard proper score of probabilities, and to choose between models. A few certain errors
/// dominate it; [`brier`](super::brier()) is bounded.
///
/// The cost is one pass over the probabilities and one logarithm for each row.
///
/// # Errors
/// When the inputs are not valid; see the [module](super).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::nll;
///
/// let probs = Tensor::new(&[[0.5f64, 0.5], [0.75, 0.25]], &Device::Cpu)?;
/// assert!((nll(&probs, &[0, 1], None)? - (2f64.ln() + 4f64.ln()) / 2.0).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Good 1952, "Rational decisions", J. R. Stat. Soc. B 14:107.
pub fn nll(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<f64> {
    of_classes(MeanScore::new(loss), probs, labels, weights)
}

/// The loss of one row.
pub(crate) fn loss(case: &Case<'_>) -> f64 {
    // 0 minus, so that a perfect row gives 0 and not -0.
    0.0 - case.probs[case.label].clamp(NLL_EPSILON, 1.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_classification;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        check_classification(nll, [1.2187843617440828, 1.161833352582515]);
    }

    #[test]
    fn certain_and_wrong_is_finite_and_certain_and_right_is_zero() {
        let probs = Tensor::new(&[[1f32, 0.0]], &Device::Cpu).unwrap();
        assert_eq!(nll(&probs, &[1], None).unwrap(), 52.0 * std::f64::consts::LN_2);
        assert!(nll(&probs, &[0], None).unwrap().is_sign_positive());
        assert_eq!(nll(&probs, &[0], None).unwrap(), 0.0);
        // Within the tolerance of the inputs; the loss is not negative.
        let probs = Tensor::new(&[[1.0005f32, -0.0005]], &Device::Cpu).unwrap();
        assert_eq!(nll(&probs, &[0], None).unwrap(), 0.0);
        assert_eq!(nll(&probs, &[1], None).unwrap(), 52.0 * std::f64::consts::LN_2);
    }
}
