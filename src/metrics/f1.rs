//! The F1 score.
use crate::{
    metrics::{
        margins::{averaged, share, Counts},
        stream::of_classes,
        Average,
    },
    Result,
};
use candle_core::Tensor;

/// Computes the F1 score of the most probable classes: the harmonic mean of precision and recall.
///
/// ```text
/// F1_c = 2 tp / (2 tp + fp + fn)
/// ```
///
/// It is between 0 and 1; more is better. Of a class, `tp` are the rows that are of the class and predicted
/// as such, `fp` those that are predicted as such only, and `fn` those that are of the class only. `probs` is
/// `(N, C)` (rows, classes) of any float type; the predicted class is the most probable one, the lowest of
/// equals. `average` says how the classes become one number, and `weights` has one weight for each row and
/// takes the place of counts.
///
/// A quotient 0/0 is 0. A class that is neither true nor predicted for any row is left out of the macro
/// average. Both are as in scikit-learn, where however a row of weight zero makes its class present.
///
/// Use it where the classes are unbalanced and the rows of a class matter more than the many rows outside of
/// it. It ignores the probabilities; [`average_precision`](super::average_precision()) reads them. The micro
/// average is the accuracy.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the average is [`Average::Binary`] and there
/// are not two classes.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{f1, Average};
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], &Device::Cpu)?;
/// // Class 1 has one row right, one row too many, and one row too few.
/// assert_eq!(f1(&probs, &[0, 1, 1, 0], Average::Binary, None)?, 0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: van Rijsbergen 1979, "Information Retrieval", chapter 7. Reference: scikit-learn's
/// `f1_score`.
pub fn f1(probs: &Tensor, labels: &[u32], average: Average, weights: Option<&[f64]>) -> Result<f64> {
    of_classes(averaged(of_class, average), probs, labels, weights)
}

/// The F1 score of one class.
pub(crate) fn of_class(counts: &Counts) -> f64 {
    share(2.0 * counts.correct, counts.predicted + counts.actual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_averages;

    #[test]
    fn agrees_with_scikit_learn() {
        check_averages(
            f1,
            [
                [0.7346096432303328, 0.8034970025692264],
                [0.7241593272627755, 0.7935096901068925],
                [0.7333333333333333, 0.8095238095238095],
                [0.8064516129032258, 0.8544600938967136],
            ],
            [
                [0.8285714285714285, 0.886421937195931],
                [0.8380952380952381, 0.8837471830837599],
                [0.8333333333333334, 0.8809523809523809],
                [0.5, 0.2],
            ],
        );
    }
}
