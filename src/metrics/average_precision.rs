//! The average precision.
use crate::{
    metrics::{
        one_vs_rest::{Area, OneVsRest, Ranking},
        stream::of_classes,
        Average,
    },
    Result,
};
use candle_core::Tensor;

/// Computes the average precision: the mean over the rows of a class of the precision among the rows that
/// have at least its probability.
///
/// ```text
/// Σ_t (R_t − R_{t−1}) P_t    over the thresholds t, from the greatest probability to the least
/// ```
///
/// `P_t` is the precision and `R_t` the recall when the rows with a probability of at least `t` are taken for
/// rows of the class. It is between 0 and 1; more is better, and the share of the class is what chance
/// reaches. `probs` is `(N, C)` (rows, classes) of any float type; `weights` has one weight for each row and
/// takes the place of counts. For two classes it is that of class 1, whatever the average. For more, each
/// class stands against the others, and `average` says how the numbers become one. The precision is not
/// interpolated. A class without rows scores 0, as in scikit-learn.
///
/// Use it where rows of a class are rare, and the first ones of a ranking matter. Its values depend on the
/// share of the class; [`roc_auc`](super::roc_auc()) does not.
///
/// The cost is a search of each row among the sorted rows of each class, `O(C N log(N/C))`, on all cores, and
/// a copy of the probabilities in f64.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the average is [`Average::Binary`] and there
/// are not two classes.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{average_precision, Average};
///
/// let probs = Tensor::new(&[[0.1f32, 0.9], [0.2, 0.8], [0.3, 0.7]], &Device::Cpu)?;
/// // The first row of class 1 is in the first place, the second in the third.
/// let expected = (1. / 1. + 2. / 3.) / 2.;
/// assert!((average_precision(&probs, &[1, 0, 1], Average::Macro, None)? - expected).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Davis and Goadrich 2006, doi:10.1145/1143844.1143874. Reference: scikit-learn's
/// `average_precision_score`.
pub fn average_precision(
    probs: &Tensor,
    labels: &[u32],
    average: Average,
    weights: Option<&[f64]>,
) -> Result<f64> {
    of_classes(OneVsRest::new(AVERAGE_PRECISION, average), probs, labels, weights)
}

pub(crate) const AVERAGE_PRECISION: Area = Area { name: "the average precision", of: area };

fn area(ranking: &Ranking) -> Option<f64> {
    let (mut positive, mut negative, mut sum) = (0.0, ranking.above, 0.0);
    for group in ranking.groups.iter().rev() {
        positive += group.positive;
        negative += group.ties;
        sum += group.positive * positive / (positive + negative);
        negative += group.below;
    }
    Some(if positive > 0.0 { sum / positive } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_averages, close, three_rows};

    #[test]
    fn agrees_with_scikit_learn() {
        check_averages(
            average_precision,
            [
                [0.5749093172002264, 0.6457669310727817],
                [0.584857155701141, 0.6446975433831991],
                [0.5491829582278543, 0.6195813111121511],
                [0.7271026743608184, 0.716693194697143],
            ],
            [
                [0.75, 0.8311507936507937],
                [0.7777777777777778, 0.8382464096749811],
                [0.6805555555555557, 0.7604875283446711],
                [0.7333333333333334, 0.5816993464052287],
            ],
        );
    }

    #[test]
    fn a_class_without_rows_scores_zero_as_in_scikit_learn() {
        let (probs, labels) = three_rows([0, 0, 0]);
        close(average_precision(&probs, &labels, Average::Macro, None).unwrap(), 0.6666666666666666);
        close(average_precision(&probs, &labels, Average::Weighted, None).unwrap(), 1.0);
    }
}
