//! The accuracy.
use crate::{
    metrics::{
        inputs::Case,
        stream::{of_classes, MeanScore},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the accuracy: the share of rows whose most probable class is the label.
///
/// ```text
/// 1/N Σᵢ [argmax_c p_ic = yᵢ]
/// ```
///
/// It is between 0 and 1; more is better. `probs` is `(N, C)` (rows, classes) of any float type; `weights`
/// has one weight for each row and makes the mean a weighted one. Of classes that tie for the most probable
/// the lowest is taken.
///
/// Use it to report how often a classifier is right. It ignores the probabilities themselves, and few rows
/// change it only in steps; to choose between models, [`nll`](super::nll()) and [`brier`](super::brier())
/// vary less.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid; see the [module](super).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::accuracy;
///
/// let probs = Tensor::new(&[[0.8f32, 0.2], [0.5, 0.5]], &Device::Cpu)?;
/// assert_eq!(accuracy(&probs, &[0, 1], None)?, 0.5); // the tie goes to class 0
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Reference: scikit-learn's `accuracy_score` of the most probable classes.
pub fn accuracy(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<f64> {
    of_classes(MeanScore::new(correct), probs, labels, weights)
}

/// 1 where the most probable class is the label, else 0.
pub(crate) fn correct(case: &Case<'_>) -> f64 {
    f64::from(case.is_correct())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_classification;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        check_classification(accuracy, [0.7333333333333333, 0.8095238095238095]);
    }

    #[test]
    fn ties_go_to_the_lowest_class() {
        let probs = Tensor::new(&[[0.2f32, 0.4, 0.4], [0.2, 0.4, 0.4]], &Device::Cpu).unwrap();
        assert_eq!(accuracy(&probs, &[1, 2], None).unwrap(), 0.5);
        assert_eq!(accuracy(&probs, &[1, 2], Some(&[3.0, 1.0])).unwrap(), 0.75);
    }
}
