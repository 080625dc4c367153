//! The precision.
use crate::{
    metrics::{
        margins::{averaged, share, Counts},
        stream::of_classes,
        Average,
    },
    Result,
};
use candle_core::Tensor;

/// Computes the precision of the most probable classes: the share of rows predicted as a class that are of
/// this class.
///
/// ```text
/// precision_c = tp / (tp + fp)
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
/// Use it where a false alarm is costly, and together with the [`recall`](super::recall()): a model that
/// predicts a class only when it is certain has a high precision.
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
/// use candle_ensemble::metrics::{precision, Average};
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], &Device::Cpu)?;
/// // Class 1 has one row right, one row too many, and one row too few.
/// assert_eq!(precision(&probs, &[0, 1, 1, 0], Average::Binary, None)?, 0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: van Rijsbergen 1979, "Information Retrieval", chapter 7. Reference: scikit-learn's
/// `precision_score`.
pub fn precision(probs: &Tensor, labels: &[u32], average: Average, weights: Option<&[f64]>) -> Result<f64> {
    of_classes(averaged(of_class, average), probs, labels, weights)
}

/// The precision of one class.
pub(crate) fn of_class(counts: &Counts) -> f64 {
    share(counts.correct, counts.predicted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_averages;

    #[test]
    fn agrees_with_scikit_learn() {
        check_averages(
            precision,
            [
                [0.750506072874494, 0.8322749400147655],
                [0.7763326585695007, 0.8340345343563781],
                [0.7333333333333333, 0.8095238095238095],
                [0.8064516129032258, 0.7982456140350878],
            ],
            [
                [0.8333333333333333, 0.8888888888888888],
                [0.8888888888888888, 0.9153439153439153],
                [0.8333333333333334, 0.8809523809523809],
                [1.0, 1.0],
            ],
        );
    }
}
