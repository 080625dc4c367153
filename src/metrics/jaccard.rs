//! The Jaccard index: intersection over union.
use crate::{
    metrics::{
        margins::{averaged, share, Counts},
        stream::of_classes,
        Average,
    },
    Result,
};
use candle_core::Tensor;

/// Computes the Jaccard index of the most probable classes: intersection over union. Its macro average is the mean IoU of
/// segmentation.
///
/// ```text
/// IoU_c = tp / (tp + fp + fn)
/// ```
///
/// It is between 0 and 1; more is better. Of a class, `tp` are the rows, or pixels, that are of the class and predicted as
/// such, `fp` those that are predicted as such only, and `fn` those that are of the class only. `probs` is `(N, C)` (rows,
/// classes) of any float type; the predicted class is the most probable one, the lowest of equals. `average` says how the
/// classes become one number, and `weights` has one weight for each row and takes the place of counts.
///
/// A class that is neither true nor predicted for any row is left out of the macro average. The counts are those of all
/// rows together, as in the benchmarks of Cityscapes and PASCAL VOC, and not means over images.
///
/// Use it for segmentation, where most pixels are background and the accuracy says little. For two classes it orders models
/// as [`f1`](super::f1()) does.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the average is [`Average::Binary`] and there are not two
/// classes.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{jaccard, Average};
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], &Device::Cpu)?;
/// // Class 1 has one row right, one row too many, and one row too few.
/// assert_eq!(jaccard(&probs, &[0, 1, 1, 0], Average::Binary, None)?, 1. / 3.);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Everingham et al. 2010, "The PASCAL Visual Object Classes Challenge", doi:10.1007/s11263-009-0275-4. Reference:
/// scikit-learn's `jaccard_score`.
pub fn jaccard(probs: &Tensor, labels: &[u32], average: Average, weights: Option<&[f64]>) -> Result<f64> {
    of_classes(averaged(of_class, average), probs, labels, weights)
}

/// The Jaccard index of one class.
pub(crate) fn of_class(counts: &Counts) -> f64 {
    share(counts.correct, counts.predicted + counts.actual - counts.correct)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_averages;

    #[test]
    fn agrees_with_scikit_learn() {
        check_averages(
            jaccard,
            [
                [0.587593984962406, 0.6834259745564892],
                [0.5741165413533835, 0.6705709367080165],
                [0.5789473684210527, 0.68],
                [0.6756756756756757, 0.7459016393442623],
            ],
            [
                [0.7083333333333333, 0.8013888888888888],
                [0.7222222222222221, 0.7962962962962963],
                [0.7142857142857143, 0.7872340425531915],
                [0.3333333333333333, 0.1111111111111111],
            ],
        );
    }
}
