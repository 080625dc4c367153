//! The mean absolute percentage error.
use crate::{
    metrics::stream::{of_values, MeanError, ValueRows},
    Result,
};
use candle_core::Tensor;

/// Computes the mean absolute percentage error.
///
/// ```text
/// 1/(N K) Σᵢ Σ_k |p_ik − t_ik| / max(|t_ik|, ε)
/// ```
///
/// It is 0 or more, without a unit; less is better. It is a ratio: 0.1 means 10 %. Predictions and
/// targets are `(N,)` or `(N, K)` (rows, outputs) of any float type, where `(N,)` and `(N, 1)` are the same.
/// `weights` has one weight for each row and makes the mean a weighted one.
/// `ε` is 2⁻⁵², as in scikit-learn, so a target of 0 gives a huge number and not infinity.
///
/// Use it where errors count in proportion to the target and all targets are far from 0. It prefers
/// predictions that are too low; [`msle`](super::msle()) does so less.
///
/// The cost is one pass over the predictions.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the sum overflows f64.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::mape;
///
/// let predictions = Tensor::new(&[1f32, 5.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[2f32, 4.0], &Device::Cpu)?;
/// assert_eq!(mape(&predictions, &targets, None)?, (0.5 + 0.25) / 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: de Myttenaere, Golden, Le Grand and Rossi 2016, arXiv:1605.02541. Reference: scikit-learn's
/// `mean_absolute_percentage_error`.
pub fn mape(predictions: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
    of_values(percentage_errors(), predictions, targets, weights)
}

pub(crate) fn percentage_errors() -> impl ValueRows {
    MeanError::new("mape", |p, t| (p - t).abs() / t.abs().max(f64::EPSILON))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_shifted_regression;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        check_shifted_regression(
            mape,
            8.0,
            [0.09411022554693944, 0.09285256126283337],
            [0.093305003008515, 0.09127444749520118],
        );
    }

    #[test]
    fn a_target_of_zero_counts_as_the_machine_epsilon() {
        let (p, t) =
            (Tensor::new(&[1f64], &Device::Cpu).unwrap(), Tensor::new(&[0f64], &Device::Cpu).unwrap());
        assert_eq!(mape(&p, &t, None).unwrap(), 2f64.powi(52));
    }
}
