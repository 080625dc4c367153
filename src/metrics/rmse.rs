//! The root mean squared error.
use crate::{
    metrics::stream::{of_values, MeanError, ValueRows},
    Result,
};
use candle_core::Tensor;

/// Computes the root mean squared error.
///
/// ```text
/// sqrt(1/(N K) Σᵢ Σ_k (p_ik − t_ik)²)
/// ```
///
/// It is 0 or more, in the unit of the targets; less is better. Predictions and targets are `(N,)` or
/// `(N, K)` (rows, outputs) of any float type, where `(N,)` and `(N, 1)` are the same. `weights` has one
/// weight for each row and makes the mean a weighted one. The root is taken once, of the mean over all
/// outputs; scikit-learn's `root_mean_squared_error` takes a root for each output and averages the roots,
/// which is the same for one output.
///
/// Use it as the standard error of regression. A few large errors dominate it; [`mae`](super::mae()) is more
/// robust.
///
/// The cost is one pass over the predictions.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or squares overflow f64.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::rmse;
///
/// let predictions = Tensor::new(&[1f32, 2.0, 3.0, 4.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[1f32, 2.0, 3.0, 8.0], &Device::Cpu)?;
/// assert_eq!(rmse(&predictions, &targets, None)?, 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Reference: for one output, scikit-learn's `root_mean_squared_error`.
pub fn rmse(predictions: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
    of_values(root_of_squares(), predictions, targets, weights)
}

pub(crate) fn root_of_squares() -> impl ValueRows {
    MeanError::new("rmse", square).then(f64::sqrt)
}

/// The mean of the squares, without the root.
pub(crate) fn mean_of_squares() -> impl ValueRows {
    MeanError::new("mse", square)
}

fn square(prediction: f64, target: f64) -> f64 {
    (prediction - target) * (prediction - target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_regression;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        check_regression(
            rmse,
            [0.742877055403143, 0.746723165645148],
            [0.744336253539577, 0.7465072440882208],
        );
    }

    #[test]
    fn overflow_is_an_error() {
        let huge = Tensor::new(&[1e200f64, 0.0], &Device::Cpu).unwrap();
        let zero = Tensor::zeros_like(&huge).unwrap();
        assert!(rmse(&huge, &zero, None).unwrap_err().to_string().starts_with("rmse must be finite"));
    }
}
