//! The mean absolute error of classes with an order.
use crate::{
    metrics::{
        inputs::Case,
        stream::{of_classes, MeanScore},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the mean absolute error in classes: by how many classes the most probable one misses the true one.
///
/// ```text
/// 1/N Σᵢ |bᵢ − yᵢ|
/// ```
///
/// `bᵢ` is the most probable class of a row (the lowest of equals). It is between 0 and `C − 1`; less is better. `probs` is
/// `(N, C)` (rows, classes) of any float type, with the classes in their order; `weights` has one weight for each row and
/// makes the mean a weighted one.
///
/// Use it for classes with an order whose steps are alike, such as ages. The median class would minimise it, and
/// [`rps`](super::rps()) judges the probabilities; where chance agreement matters, use
/// [`cohen_kappa`](super::cohen_kappa()) with quadratic weights.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid; see the [module](super).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::ordinal_mae;
///
/// let probs = Tensor::new(&[[0.8f32, 0.1, 0.1], [0.2, 0.7, 0.1]], &Device::Cpu)?;
/// assert_eq!(ordinal_mae(&probs, &[2, 1], None)?, (2. + 0.) / 2.);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn ordinal_mae(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<f64> {
    of_classes(MeanScore::new(distance), probs, labels, weights)
}

/// By how many classes one row is missed.
pub(crate) fn distance(case: &Case<'_>) -> f64 {
    case.top.abs_diff(case.label) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_classification, check_ties};

    /// `tests/reference/ordinal.py`.
    #[test]
    fn agrees_with_the_formula() {
        check_classification(ordinal_mae, [0.38333333333333336, 0.26666666666666666]);
        check_ties(ordinal_mae, [0.3333333333333333, 0.23809523809523808]);
    }
}
