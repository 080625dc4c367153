//! The accuracy.
use crate::{
    kernels::sums,
    metrics::inputs::{Case, Cases},
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
    Cases::new(probs, labels, weights)?.mean(|case| f64::from(Top::of(case).correct))
}

/// The most probable class of a row.
pub(crate) struct Top {
    /// Its probability.
    pub(crate) confidence: f64,
    /// Whether it is the label.
    pub(crate) correct: bool,
}

impl Top {
    pub(crate) fn of(case: &Case<'_>) -> Self {
        let (_, confidence) = sums::range(case.probs);
        let class = case.probs.iter().position(|&p| p == confidence);
        Self { confidence, correct: class == Some(case.label) }
    }
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
