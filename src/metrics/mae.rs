//! Mean absolute error.
use crate::{
    metrics::inputs::{finite, Pairs},
    Result,
};
use candle_core::Tensor;

/// Mean absolute error: `1/(N K) Σᵢ Σ_k |p_ik - t_ik|`, 0 or more, in the unit of the targets.
///
/// Outputs are pooled, which for a mean is the same as averaging theirs. Predictions and targets are `(N,)` or
/// `(N, K)`, where `(N,)` and `(N, 1)` are the same; `weights`, one a row, make it a weighted mean. Errors: see
/// the [module](super); and if the sum overflows f64.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::mae;
///
/// let predictions = Tensor::new(&[1f32, 2.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[2f32, 4.0], &Device::Cpu)?;
/// assert_eq!(mae(&predictions, &targets, None)?, 1.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn mae(predictions: &Tensor, targets: &Tensor, weights: Option<&[f32]>) -> Result<f64> {
    finite("mae", Pairs::new(predictions, targets, weights)?.mean(f64::abs)?)
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;

    #[test]
    fn agrees_with_scikit_learn() {
        let (p, t, w) = tables::regression();
        tables::close(mae(&p, &t, None).unwrap(), 0.6479166666666667);
        tables::close(mae(&p, &t, Some(&w)).unwrap(), 0.6473214285714286);
        let (p, t) = (tables::first(&p), tables::first(&t));
        tables::close(mae(&p, &t, None).unwrap(), 0.6458333333333334);
        tables::close(mae(&p, &t, Some(&w)).unwrap(), 0.6449404761904762);
    }
}
