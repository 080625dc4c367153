//! Negative log-likelihood.
use crate::{
    metrics::inputs::{Case, Cases},
    Result,
};
use candle_core::Tensor;

/// The least probability that [`nll`] takes the logarithm of: 2⁻⁵², so a row costs at most 36.04.
pub const NLL_EPSILON: f64 = f64::EPSILON;

/// Negative log-likelihood, or log loss, in nats: `-1/N Σᵢ ln p_i,yᵢ`, 0 or more, less is better (Good 1952,
/// "Rational decisions", J. R. Stat. Soc. B 14:107).
///
/// Probabilities are clipped to [`NLL_EPSILON`] and 1, so that a certain and wrong row costs 36.04 and not
/// infinity. scikit-learn's `log_loss` clips to `[ε, 1-ε]` with ε the machine epsilon of the array's own type:
/// the same for f64 (a perfect row costs 2·10⁻¹⁶ there and 0 here), but for f32 a certain and wrong row costs
/// 15.9 there. `probs` is `(N, C)`; `weights`, one a row, make it a weighted mean. Errors: see the
/// [module](super).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::nll;
///
/// let probs = Tensor::new(&[[0.5f64, 0.5], [0.75, 0.25]], &Device::Cpu)?;
/// assert!((nll(&probs, &[0, 1], None)? - (2f64.ln() + 4f64.ln()) / 2.0).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn nll(probs: &Tensor, labels: &[u32], weights: Option<&[f32]>) -> Result<f64> {
    Cases::new(probs, labels, weights)?.mean(loss)
}

/// Loss of one row.
pub(crate) fn loss(case: &Case<'_>) -> f64 {
    // 0 minus, so that a perfect row gives 0 and not -0.
    0.0 - case.probs[case.label].clamp(NLL_EPSILON, 1.0).ln()
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        let (probs, labels, weights) = tables::classification();
        tables::close(nll(&probs, &labels, None).unwrap(), 1.2187843617440828);
        tables::close(nll(&probs, &labels, Some(&weights)).unwrap(), 1.161833352582515);
    }

    #[test]
    fn certain_and_wrong_is_finite_and_certain_and_right_is_zero() {
        let probs = Tensor::new(&[[1f32, 0.0]], &Device::Cpu).unwrap();
        assert_eq!(nll(&probs, &[1], None).unwrap(), 52.0 * std::f64::consts::LN_2);
        assert!(nll(&probs, &[0], None).unwrap().is_sign_positive());
        assert_eq!(nll(&probs, &[0], None).unwrap(), 0.0);
        // Within the tolerance of the inputs, and no gain below zero.
        let probs = Tensor::new(&[[1.0005f32, -0.0005]], &Device::Cpu).unwrap();
        assert_eq!(nll(&probs, &[0], None).unwrap(), 0.0);
        assert_eq!(nll(&probs, &[1], None).unwrap(), 52.0 * std::f64::consts::LN_2);
    }
}
