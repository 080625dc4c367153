//! The correlation coefficient of Matthews.
use crate::{
    metrics::{
        margins::{Margins, OfMargins},
        stream::{of_classes, ClassRows},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the correlation coefficient of Matthews between the most probable classes and the true ones, for
/// any number of classes (`R_K`).
///
/// ```text
/// (n s − Σ_c a_c b_c) / sqrt((n² − Σ_c b_c²) (n² − Σ_c a_c²))
/// ```
///
/// `a_c` rows are of class `c`, `b_c` rows are predicted as such, `s` rows are right, and `n` is the number
/// of rows. It is between −1 and 1; more is better, and 0 is what chance reaches. `probs` is `(N, C)` (rows,
/// classes) of any float type; of classes that tie for the most probable the lowest is taken. `weights` has
/// one weight for each row and takes the place of counts. Where all rows are of one class, or all are
/// predicted as one, it is 0, as in scikit-learn.
///
/// Use it to summarise the whole confusion matrix in one number where the classes are unbalanced. It ignores
/// the probabilities.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid; see the [module](super).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::matthews_correlation;
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], &Device::Cpu)?;
/// assert_eq!(matthews_correlation(&probs, &[0, 1, 0, 1], None)?, 1.0);
/// assert_eq!(matthews_correlation(&probs, &[0, 1, 1, 0], None)?, 0.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Matthews 1975, doi:10.1016/0005-2795(75)90109-9; Gorodkin 2004,
/// doi:10.1016/j.compbiolchem.2004.09.006. Reference: scikit-learn's `matthews_corrcoef`.
pub fn matthews_correlation(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<f64> {
    of_classes(matthews(), probs, labels, weights)
}

pub(crate) fn matthews() -> impl ClassRows {
    OfMargins::new(|margins: &Margins| Ok(correlation(margins)))
}

fn correlation(margins: &Margins) -> f64 {
    let actual: Vec<f64> = margins.classes.iter().map(|counts| counts.actual).collect();
    let predicted: Vec<f64> = margins.classes.iter().map(|counts| counts.predicted).collect();
    let total: f64 = actual.iter().sum();
    let spread = other_pairs(&actual, &actual) * other_pairs(&predicted, &predicted);
    if spread == 0.0 {
        return 0.0;
    }
    // n s − Σ a b, with s = n − wrong.
    ((other_pairs(&actual, &predicted) - total * margins.wrong) / spread.sqrt()).clamp(-1.0, 1.0)
}

/// `Σ_c a_c Σ_{d ≠ c} b_d`, which is `n² − Σ_c a_c b_c` without a difference that could cancel.
pub(crate) fn other_pairs(a: &[f64], b: &[f64]) -> f64 {
    let one_way = |pairs: &mut dyn Iterator<Item = (&f64, &f64)>| {
        let (mut below, mut sum) = (0.0, 0.0);
        for (a, b) in pairs {
            sum += a * below;
            below += b;
        }
        sum
    };
    one_way(&mut a.iter().zip(b)) + one_way(&mut a.iter().zip(b).rev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_classification, check_ties, one_class};

    #[test]
    fn agrees_with_scikit_learn() {
        check_classification(matthews_correlation, [0.6678021405344917, 0.7636942117093292]);
        check_ties(matthews_correlation, [0.7925939239012171, 0.8512681917272461]);
    }

    #[test]
    fn one_class_scores_zero_as_in_scikit_learn() {
        let (probs, labels) = one_class();
        assert_eq!(matthews_correlation(&probs, &labels, Some(&[0.1, 0.7])).unwrap(), 0.0);
    }

    #[test]
    fn pairs_of_two_classes() {
        assert_eq!(other_pairs(&[1.0, 2.0, 4.0], &[8.0, 16.0, 32.0]), 48.0 + 80.0 + 96.0);
    }
}
