//! Root mean squared error.
use crate::{
    metrics::inputs::{finite, Pairs},
    Result,
};
use candle_core::Tensor;

/// Root mean squared error: `sqrt(1/(N K) Σᵢ Σ_k (p_ik - t_ik)²)`, 0 or more, in the unit of the targets.
///
/// Outputs are pooled: the root is taken once, of the mean over all entries. (scikit-learn's
/// `root_mean_squared_error` takes a root for each output and averages these; for one output they agree.)
/// Predictions and targets are `(N,)` or `(N, K)`, where `(N,)` and `(N, 1)` are the same; `weights`, one a row,
/// make the mean a weighted one. Errors: see the [module](super); and if squares overflow f64.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::rmse;
///
/// let predictions = Tensor::new(&[1f32, 2.0, 3.0, 4.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[1f32, 2.0, 3.0, 8.0], &Device::Cpu)?;
/// assert_eq!(rmse(&predictions, &targets, None)?, 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn rmse(predictions: &Tensor, targets: &Tensor, weights: Option<&[f32]>) -> Result<f64> {
    finite("rmse", Pairs::new(predictions, targets, weights)?.mean(square)?.sqrt())
}

/// Cost of one error.
pub(crate) fn square(error: f64) -> f64 {
    error * error
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        let (p, t, w) = tables::regression();
        tables::close(rmse(&p, &t, None).unwrap(), 0.742877055403143);
        tables::close(rmse(&p, &t, Some(&w)).unwrap(), 0.746723165645148);
        let (p, t) = (tables::first(&p), tables::first(&t));
        tables::close(rmse(&p, &t, None).unwrap(), 0.744336253539577);
        tables::close(rmse(&p, &t, Some(&w)).unwrap(), 0.7465072440882208);
    }

    #[test]
    fn overflow_is_an_error() {
        let huge = Tensor::new(&[1e200f64, 0.0], &Device::Cpu).unwrap();
        let zero = Tensor::zeros_like(&huge).unwrap();
        assert!(rmse(&huge, &zero, None).unwrap_err().to_string().starts_with("rmse must be finite"));
    }
}
