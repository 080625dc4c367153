//! The mean absolute error.
use crate::{
    metrics::stream::{of_values, MeanError, ValueRows},
    Result,
};
use candle_core::Tensor;

/// Computes the mean absolute error.
///
/// ```text
/// 1/(N K) Σᵢ Σ_k |p_ik − t_ik|
/// ```
///
/// It is 0 or more, in the unit of the targets; less is better. Predictions and targets are `(N,)` or
/// `(N, K)` (rows, outputs) of any float type, where `(N,)` and `(N, 1)` are the same. `weights` has one
/// weight for each row and makes the mean a weighted one.
///
/// Use it when large errors should not count more than their size. The predictions that minimise it are
/// medians; for means use [`rmse`](super::rmse()).
///
/// The cost is one pass over the predictions.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the sum overflows f64.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::mae;
///
/// let predictions = Tensor::new(&[1f32, 2.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[2f32, 4.0], &Device::Cpu)?;
/// assert_eq!(mae(&predictions, &targets, None)?, 1.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Reference: scikit-learn's `mean_absolute_error`.
pub fn mae(predictions: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
    of_values(absolute_errors(), predictions, targets, weights)
}

pub(crate) fn absolute_errors() -> impl ValueRows {
    MeanError::new("mae", |p, t| (p - t).abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_regression;

    #[test]
    fn agrees_with_scikit_learn() {
        check_regression(
            mae,
            [0.6479166666666667, 0.6473214285714286],
            [0.6458333333333334, 0.6449404761904762],
        );
    }
}
