//! The area under the receiver operating characteristic.
use crate::{
    metrics::{
        one_vs_rest::{Area, OneVsRest, Ranking},
        stream::of_classes,
        Average,
    },
    Result,
};
use candle_core::Tensor;

/// Computes the area under the receiver operating characteristic (ROC AUC): the share of pairs of a row of a
/// class and a row of another class in which the first has the higher probability of the class.
///
/// ```text
/// Σ_{i of c, j not of c} wᵢ wⱼ ([p_ic > p_jc] + ½ [p_ic = p_jc]) / Σ_{i of c, j not of c} wᵢ wⱼ
/// ```
///
/// It is between 0 and 1; more is better, and ½ is what chance reaches. `probs` is `(N, C)` (rows, classes)
/// of any float type; `weights` has one weight for each row. For two classes it is the area of class 1,
/// whatever the average. For more, each class stands against the others (one-vs-rest), and `average` says
/// how the areas become one: [`Average::Macro`] is the mean over the classes, [`Average::Weighted`] weights
/// each class by its rows, and [`Average::Micro`] pools the probabilities of all classes.
///
/// Use it to see how well probabilities order the rows, whatever the threshold and the share of the classes.
/// It does not see whether the probabilities are calibrated. Where positive rows are rare,
/// [`average_precision`](super::average_precision()) tells more.
///
/// The cost is a search of each row among the sorted rows of each class, `O(C N log(N/C))`, on all cores, and
/// a copy of the probabilities in f64.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), when the area of a class that counts is not
/// defined, because no row or every row is of this class (scikit-learn returns NaN), or when the average is
/// [`Average::Binary`] and there are not two classes.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{roc_auc, Average};
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]], &Device::Cpu)?;
/// // Of four pairs of a row of class 1 and a row of class 0, three are in order.
/// assert_eq!(roc_auc(&probs, &[0, 0, 1, 1], Average::Macro, None)?, 0.75);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747; Fawcett 2006,
/// doi:10.1016/j.patrec.2005.10.010. Reference: scikit-learn's `roc_auc_score` with `multi_class="ovr"`.
pub fn roc_auc(probs: &Tensor, labels: &[u32], average: Average, weights: Option<&[f64]>) -> Result<f64> {
    of_classes(OneVsRest::new(ROC_AUC, average), probs, labels, weights)
}

pub(crate) const ROC_AUC: Area = Area { name: "the ROC AUC", of: area };

fn area(ranking: &Ranking) -> Option<f64> {
    let (mut positive, mut negative, mut pairs) = (0.0, 0.0, 0.0);
    for group in &ranking.groups {
        negative += group.below;
        pairs += group.positive * (negative + group.ties / 2.0);
        negative += group.ties;
        positive += group.positive;
    }
    let all = positive * (negative + ranking.above);
    (all > 0.0).then(|| pairs / all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_averages, close, three_rows};

    #[test]
    fn agrees_with_scikit_learn() {
        check_averages(
            roc_auc,
            [
                [0.7864319964684253, 0.818601163440674],
                [0.7691964944892684, 0.8112889018248302],
                [0.7731018518518519, 0.8170030234315948],
                [0.7730812013348164, 0.8333788333788335],
            ],
            [
                [0.85625, 0.8940045248868779],
                [0.8416666666666667, 0.8772085757379875],
                [0.8333333333333334, 0.8752834467120181],
                [0.7777777777777778, 0.7037037037037037],
            ],
        );
    }

    #[test]
    fn a_class_without_rows_has_no_area() {
        let (probs, labels) = three_rows([0, 0, 0]);
        let e = roc_auc(&probs, &labels, Average::Macro, None).unwrap_err().to_string();
        assert!(
            e.starts_with("the ROC AUC of class 2 must be defined, which needs rows of the class"),
            "{e}"
        );
        close(roc_auc(&probs, &labels, Average::Weighted, None).unwrap(), 1.0);
        // A row of weight 0 is no row.
        let e = roc_auc(&probs, &labels, Average::Weighted, Some(&[0.0, 1.0, 1.0])).unwrap_err().to_string();
        assert!(e.starts_with("the ROC AUC of class 1 must be defined"), "{e}");
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let (probs, labels, weights) = crate::metrics::reference::classification();
        let area = || roc_auc(&probs, &labels, Average::Macro, Some(&weights)).unwrap();
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(single.install(area).to_bits(), area().to_bits());
    }
}
