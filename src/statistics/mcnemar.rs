//! McNemar's test of two classifiers on the same rows.
use super::tails::chi_square_tail;
use crate::{statistics::TestResult, Error, Result};
use statrs::function::gamma::ln_gamma;
use std::f64::consts::LN_2;

/// How [`mcnemar_test`] computes the p-value.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{mcnemar_test, McNemar};
///
/// // Only the first is right on three rows, and only the second on none.
/// let (first, second) = ([true; 3], [false; 3]);
/// let p = |method| mcnemar_test(&first, &second, method).map(|test| test.p_value);
/// assert!((p(McNemar::Exact)? - 0.25).abs() < 1e-12);
/// assert!((p(McNemar::MidP)? - 0.125).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McNemar {
    /// `2 P(X ≤ min(b, c))` for a binomial variable of `b + c` trials of probability 1/2. The error rate is
    /// never above the level, and often far below it.
    Exact,
    /// The exact p-value less `P(X = min(b, c))`. The error rate is close to the level, and above it by little
    /// if ever. It finds more than the exact test and is the best choice in most cases.
    MidP,
    /// `(|b − c| − 1)² / (b + c)` as a chi-square variable with one degree of freedom: an approximation of the
    /// exact test by Edwards, for comparison with other programs.
    ChiSquare,
}

/// Tests whether two classifiers have the same accuracy, from their right and wrong answers on the same rows,
/// by McNemar's test.
///
/// ```text
/// b = rows that only the first predicts rightly,  c = rows that only the second predicts rightly
/// without a difference, b is binomial with b + c trials and probability 1/2
/// ```
///
/// **Setting**: one set of test rows, and two fitted classifiers. `first` and `second` say for each row whether
/// the prediction was right.
///
/// **Assumes** that the rows are independent of each other; the classifiers need not be. Where rows come in
/// groups use [`cluster_sign_flip_test`](crate::statistics::cluster_sign_flip_test). The answer is about these
/// two fitted classifiers. Another training run may give another answer, which the test does not know of.
///
/// The effect is the difference in accuracy, `(b − c) / n`. The statistic is the smaller of `b` and `c`, or
/// the chi-square value. Cost: `O(n)`.
///
/// # Errors
/// When there are no rows, or the numbers of rows differ.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{mcnemar_test, McNemar};
///
/// // Of 100 rows, both predict 80 rightly, only the first 12, only the second 3.
/// let first: Vec<bool> = (0..100).map(|row| row < 92).collect();
/// let second: Vec<bool> = (0..100).map(|row| row < 80 || (92..95).contains(&row)).collect();
/// let test = mcnemar_test(&first, &second, McNemar::MidP)?;
/// assert!((test.effect - 0.09).abs() < 1e-15);
/// assert!((test.p_value - 0.0213).abs() < 1e-4);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: McNemar 1947, doi:10.1007/BF02295996; Edwards 1948, doi:10.1007/BF02289261; for the mid-p-value
/// Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91.
pub fn mcnemar_test(first: &[bool], second: &[bool], method: McNemar) -> Result<TestResult> {
    if first.len() != second.len() {
        let must = format!("{}, as many as of the first classifier", first.len());
        return Err(Error::invalid("number of rows of the second classifier", must, second.len()));
    }
    if first.is_empty() {
        return Err(Error::invalid("number of rows", "at least 1", 0));
    }
    let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count() as u64;
    let (b, c) = (only(first, second), only(second, first));
    let effect = (b as f64 - c as f64) / first.len() as f64;
    let (least, trials) = (b.min(c), b + c);
    let (statistic, p_value) = match method {
        McNemar::Exact => (least as f64, half_binomial(least, trials).0),
        McNemar::MidP => {
            let (p, point) = half_binomial(least, trials);
            // With b = c the exact p-value was cut to 1.
            (least as f64, if b == c { 1.0 } else { p - point })
        }
        McNemar::ChiSquare => {
            let excess = (b.abs_diff(c) as f64 - 1.0).max(0.0);
            let chi_square = if trials == 0 { 0.0 } else { excess * excess / trials as f64 };
            (chi_square, chi_square_tail(chi_square, 1.0))
        }
    };
    Ok(TestResult { effect, statistic: Some(statistic), p_value })
}

/// `min(1, 2 P(X ≤ k))` and `P(X = k)` for a binomial variable with probability 1/2, for `k` up to half of
/// the trials. The terms are summed from the largest until the next adds nothing, after `O(sqrt(trials))`.
fn half_binomial(k: u64, trials: u64) -> (f64, f64) {
    let ln_factorial = |n: u64| ln_gamma(n as f64 + 1.0);
    let ln_point = ln_factorial(trials) - ln_factorial(k) - ln_factorial(trials - k) - trials as f64 * LN_2;
    // The sum relative to the largest term.
    let (mut sum, mut term, mut j) = (1.0, 1.0, k);
    while j > 0 && term > 1e-17 * sum {
        term *= j as f64 / (trials - j + 1) as f64;
        sum += term;
        j -= 1;
    }
    let point = ln_point.exp();
    ((2.0 * point * sum).min(1.0), point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::{close, draws};

    /// statsmodels' `mcnemar`, mlxtend's too, and scipy's binomial distribution for the mid-p-value:
    /// `tests/reference/statistics.py`.
    #[test]
    fn tests_agree_with_statsmodels() {
        for (rows, seed, effect, least, exact, mid_p, chi_square, approximate) in [
            (40, 1, 0.05, 3.0, 0.7265625, 0.5078125000000001, 0.125, 0.7236736098317629),
            (
                300,
                2,
                0.06666666666666667,
                16.0,
                0.0077874363057435225,
                0.005486344876760137,
                6.9423076923076925,
                0.008418044065352112,
            ),
            (
                5000,
                3,
                0.0384,
                255.0,
                4.0567218120420974e-13,
                3.1739055144886726e-13,
                51.96723646723647,
                5.643447661669295e-13,
            ),
        ] {
            let mut draw = draws(seed);
            let (first, second): (Vec<bool>, Vec<bool>) = (0..rows)
                .map(|_| {
                    let first = draw() < 0.8;
                    (first, if draw() < 0.6 { first } else { draw() < 0.7 })
                })
                .unzip();
            for (method, statistic, p) in [
                (McNemar::Exact, least, exact),
                (McNemar::MidP, least, mid_p),
                (McNemar::ChiSquare, chi_square, approximate),
            ] {
                let test = mcnemar_test(&first, &second, method).unwrap();
                close(test.effect, effect, 1e-14);
                close(test.statistic.unwrap(), statistic, 1e-14);
                close(test.p_value, p, 1e-11);
                let opposite = mcnemar_test(&second, &first, method).unwrap();
                assert_eq!((opposite.effect, opposite.p_value), (-test.effect, test.p_value));
            }
        }
    }

    /// `scipy.stats.binomtest`.
    #[test]
    fn binomial_tails_agree_with_scipy() {
        for (k, trials, p) in [
            (499_000, 1_000_000, 0.0456082998653896),
            (100, 1000, 1.3403435580012363e-161),
            (0, 3, 0.25),
            (5, 10, 1.0),
            (0, 0, 1.0),
        ] {
            close(half_binomial(k, trials).0, p, 1e-8);
        }
    }

    #[test]
    fn classifiers_that_agree_do_not_differ() {
        let right = [true, false, true];
        for method in [McNemar::Exact, McNemar::MidP, McNemar::ChiSquare] {
            let test = mcnemar_test(&right, &right, method).unwrap();
            assert_eq!(test, TestResult { effect: 0.0, statistic: Some(0.0), p_value: 1.0 });
            // One row each.
            let test = mcnemar_test(&[true, false], &[false, true], method).unwrap();
            assert_eq!((test.effect, test.p_value), (0.0, 1.0));
        }
        assert!(mcnemar_test(&right, &right[1..], McNemar::Exact).is_err());
        assert!(mcnemar_test(&[], &[], McNemar::Exact).is_err());
    }
}
