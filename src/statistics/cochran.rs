//! Cochran's Q test of several classifiers on the same rows.
use super::tails::chi_square_tail;
use crate::{statistics::TestResult, Error, Result};

/// Tests whether several classifiers have the same accuracy, from their right and wrong answers on the same
/// rows, by Cochran's Q test.
///
/// ```text
/// Q = (k − 1) (k Σ_j G_j² − T²) / (k T − Σ_i L_i²),  chi-square with k − 1 degrees of freedom
/// ```
///
/// `k` is the number of classifiers, `G_j` the number of rows that classifier `j` predicts rightly, `L_i` the
/// number of classifiers that predict row `i` rightly, and `T` the sum of either.
///
/// **Setting**: one set of test rows, and three or more fitted classifiers. `right` has one slice for each
/// classifier, which says for each row whether the prediction was right. With two classifiers Q is McNemar's
/// statistic without correction; use [`mcnemar_test`](crate::statistics::mcnemar_test) then. Compare pairs
/// afterwards with that test and [`holm`](crate::statistics::holm).
///
/// **Assumes** that the rows are independent of each other, and that the rows on which the classifiers
/// disagree number at least about `24 / k`. The answer is about these fitted classifiers.
///
/// The effect is `Q / (n (k − 1))` for `n` rows: 0 for equal accuracies, and 1 where a part of the
/// classifiers is right on all rows and the others on none. The statistic is `Q`; it is `None`, with a
/// p-value of 1, where the classifiers never disagree. Cost: `O(k n)`.
///
/// # Errors
/// When there are fewer than 2 classifiers, no rows, or the numbers of rows differ.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::cochran_q_test;
///
/// let right = |upto: usize| (0..50).map(|row| row % 25 < upto).collect::<Vec<bool>>();
/// let test = cochran_q_test(&[right(20), right(20), right(14)])?;
/// assert!(test.p_value < 0.001);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Cochran 1950, doi:10.1093/biomet/37.3-4.256; for the effect Serlin, Carr and Marascuilo 1982,
/// doi:10.1037/0033-2909.92.3.786.
pub fn cochran_q_test<R: AsRef<[bool]>>(right: &[R]) -> Result<TestResult> {
    let k = right.len();
    if k < 2 {
        return Err(Error::invalid("number of classifiers", "at least 2", k));
    }
    let rows = right.first().map_or(0, |first| first.as_ref().len());
    if rows == 0 {
        return Err(Error::invalid("number of rows", "at least 1", 0));
    }
    let (mut of_row, mut of_classifier) = (vec![0u64; rows], Vec::with_capacity(k));
    for (classifier, answers) in right.iter().enumerate() {
        let answers = answers.as_ref();
        if answers.len() != rows {
            let what = format!("number of rows of classifier {classifier}");
            return Err(Error::invalid(what, format!("{rows}, as many as of classifier 0"), answers.len()));
        }
        of_row.iter_mut().zip(answers).for_each(|(count, right)| *count += u64::from(*right));
        of_classifier.push(answers.iter().filter(|right| **right).count() as f64);
    }
    // Σ (G − T/k)² loses no digits where the accuracies are alike.
    let (total, k) = (of_classifier.iter().sum::<f64>(), k as f64);
    let between: f64 = of_classifier.iter().map(|g| (g - total / k) * (g - total / k)).sum();
    let within: f64 = of_row.iter().map(|&l| l as f64 * (k - l as f64)).sum();
    let test = TestResult::of_ratio(k * (k - 1.0) * between, within, |q| chi_square_tail(q, k - 1.0));
    let effect = test.statistic.unwrap_or_default() / (rows as f64 * (k - 1.0));
    Ok(TestResult { effect, ..test })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        mcnemar_test,
        testing::{close, draws},
        McNemar,
    };

    fn right() -> Vec<Vec<bool>> {
        let mut draw = draws(7);
        let mut right = vec![vec![]; 4];
        for _ in 0..200 {
            for (answers, p) in right.iter_mut().zip([0.8, 0.75, 0.8, 0.7]) {
                answers.push(draw() < p);
            }
        }
        right
    }

    /// `cochrans_q` of statsmodels and of mlxtend: `tests/reference/statistics.py`.
    #[test]
    fn q_agrees_with_statsmodels() {
        let test = cochran_q_test(&right()).unwrap();
        close(test.statistic.unwrap(), 11.209150326797385, 1e-12);
        close(test.p_value, 0.010647047202262989, 1e-12);
        close(test.effect, 11.209150326797385 / 600.0, 1e-12);
    }

    /// With two classifiers, Q is `(b − c)² / (b + c)`, of which McNemar's corrected value is a known part.
    #[test]
    fn two_classifiers_give_mcnemar_s_statistic() {
        let right = right();
        let q = cochran_q_test(&right[..2]).unwrap().statistic.unwrap();
        let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count() as f64;
        let (b, c) = (only(&right[0], &right[1]), only(&right[1], &right[0]));
        close(q, (b - c) * (b - c) / (b + c), 1e-12);
        let corrected = mcnemar_test(&right[0], &right[1], McNemar::ChiSquare).unwrap().statistic.unwrap();
        close(corrected, ((q * (b + c)).sqrt() - 1.0) * ((q * (b + c)).sqrt() - 1.0) / (b + c), 1e-12);
    }

    #[test]
    fn extremes_and_errors() {
        let all = |right| vec![right; 20];
        let test = cochran_q_test(&[all(true), all(true), all(false)]).unwrap();
        close(test.effect, 1.0, 1e-14);
        let test = cochran_q_test(&[all(true), all(true), all(true)]).unwrap();
        assert_eq!(test, TestResult { effect: 0.0, statistic: None, p_value: 1.0 });
        let message = |right: &[Vec<bool>]| cochran_q_test(right).unwrap_err().to_string();
        assert_eq!(
            message(&[all(true), vec![true]]),
            "number of rows of classifier 1 must be 20, as many as of classifier 0, but is 1"
        );
        assert!(message(&[all(true)]).starts_with("number of classifiers must be at least 2"));
        assert!(message(&[vec![], vec![]]).starts_with("number of rows must be at least 1"));
    }
}
