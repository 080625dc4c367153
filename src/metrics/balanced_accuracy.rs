//! The balanced accuracy.
use crate::{
    metrics::{
        margins::{share, Margins, OfMargins},
        stream::{of_classes, ClassRows},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the balanced accuracy: the mean over the true classes of the share of rows that are right.
///
/// ```text
/// 1/C Σ_c (rows of class c whose most probable class is c) / (rows of class c)
/// ```
///
/// It is between 0 and 1; more is better. A model that always predicts the same class scores `1/C`. `probs`
/// is `(N, C)` (rows, classes) of any float type; of classes that tie for the most probable the lowest is
/// taken. `weights` has one weight for each row and takes the place of counts. A class without rows is left
/// out.
///
/// Use it where the classes are unbalanced and each counts the same. With few rows of a class it varies much.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid; see the [module](super).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::balanced_accuracy;
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]], &Device::Cpu)?;
/// assert_eq!(balanced_accuracy(&probs, &[0, 0, 0, 1], None)?, 0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Brodersen, Ong, Stephan and Buhmann 2010, doi:10.1109/ICPR.2010.764. Reference: scikit-learn's
/// `balanced_accuracy_score`.
pub fn balanced_accuracy(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<f64> {
    of_classes(balanced(), probs, labels, weights)
}

pub(crate) fn balanced() -> impl ClassRows {
    OfMargins::new(|margins: &Margins| {
        let present = || margins.classes.iter().filter(|counts| counts.actual > 0.0);
        let recalls = present().map(|counts| share(counts.correct, counts.actual));
        Ok(recalls.sum::<f64>() / present().count() as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_classification, check_ties, close, three_rows};

    #[test]
    fn agrees_with_scikit_learn() {
        check_classification(balanced_accuracy, [0.7823529411764706, 0.8262992675270318]);
        check_ties(balanced_accuracy, [0.875, 0.9125]);
    }

    #[test]
    fn a_class_without_rows_is_left_out() {
        let (probs, labels) = three_rows([0, 1, 2]);
        close(balanced_accuracy(&probs, &labels, None).unwrap(), 0.75);
    }
}
