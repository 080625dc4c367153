//! Friedman's test of several methods over several data sets.
use super::{
    inputs::check_table,
    ranks::ranks,
    tails::{chi_square_tail, f_tail},
};
use crate::Result;
use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

/// The result of [`friedman_test`].
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::friedman_test;
///
/// // Errors of two methods on three data sets, which agree on the first.
/// let test = friedman_test(&[[0.1, 0.2], [0.3, 0.4], [0.2, 0.5]], false)?;
/// assert_eq!((test.average_ranks, test.kendall_w), (vec![1.0, 2.0], 1.0));
/// assert!((test.p_value - 0.25).abs() < 1e-12); // so do one in four where there is no difference
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Friedman {
    /// The average rank of each method over the data sets; rank 1 is the best.
    pub average_ranks: Vec<f64>,
    /// Kendall's coefficient of concordance, from 0 (the data sets do not agree) to 1 (they all give the
    /// methods the same ranks): the size of the effect.
    pub kendall_w: f64,
    /// Friedman's statistic, corrected for ties.
    pub chi_square: f64,
    /// The p-value of `chi_square`, with `k − 1` degrees of freedom. It is too large for few data sets; prefer
    /// `p_value`.
    pub chi_square_p_value: f64,
    /// Iman and Davenport's statistic; `None` (null in JSON) where all data sets agree, so that it is a
    /// division by 0.
    pub f: Option<f64>,
    /// The p-value of `f`, with `k − 1` and `(k − 1)(N − 1)` degrees of freedom. Where all data sets agree, it
    /// is the exact probability of that.
    pub p_value: f64,
}

/// Tests whether several methods have the same ranks over several data sets, by Friedman's test with Iman and
/// Davenport's F.
///
/// ```text
/// χ² = 12 N / (k (k + 1)) Σ_j (R_j − (k + 1)/2)² / (1 − ties),  ties = Σ (t³ − t) / (N k (k² − 1))
/// W = χ² / (N (k − 1)),  F = (N − 1) χ² / (N (k − 1) − χ²)
/// ```
///
/// `R_j` is the average rank of method `j`. Equal scores of one data set have the mean of their ranks.
///
/// **Setting**: `k` methods on `N` data sets, with one score for each: `scores` has a row for each data set and
/// a column for each method. With two methods, [`wilcoxon_test`](crate::statistics::wilcoxon_test) finds more.
/// [`RankTest`](crate::statistics::RankTest) adds the comparisons of the methods.
///
/// **Assumes** that the data sets are independent. Scores of different data sets need not be on one scale,
/// since only their order within a data set counts. Repeated splits of one data set are not independent.
///
/// Cost: `O(N k log k)`.
///
/// # Errors
/// When there are fewer than 2 data sets or methods, a row has another length than the first, or a score is
/// NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::friedman_test;
///
/// let accuracies = [[0.90, 0.85, 0.80], [0.70, 0.72, 0.60], [0.95, 0.90, 0.90], [0.88, 0.80, 0.75]];
/// let test = friedman_test(&accuracies, true)?;
/// assert_eq!(test.average_ranks, [1.25, 1.875, 2.875]);
/// assert!(test.p_value < 0.05);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Friedman 1937, doi:10.1080/01621459.1937.10503522; Iman and Davenport 1980,
/// doi:10.1080/03610928008827904; Demšar 2006, <https://www.jmlr.org/papers/v7/demsar06a.html>.
pub fn friedman_test<R: AsRef<[f64]>>(scores: &[R], higher_is_better: bool) -> Result<Friedman> {
    let methods = check_table(scores, "data set", "method")?;
    let (n, k) = (scores.len() as f64, methods as f64);
    let mut sums = vec![0.0; methods];
    // Σ (t³ − t), and the logarithm of how many orders the ranks of the last data set have.
    let (mut ties, mut ln_orders) = (0.0, 0.0);
    for row in scores {
        let sign = if higher_is_better { -1.0 } else { 1.0 };
        let costs: Vec<f64> = row.as_ref().iter().map(|score| sign * score).collect();
        let (ranks, tied) = ranks(&costs, 0.0);
        sums.iter_mut().zip(ranks).for_each(|(sum, rank)| *sum += rank);
        ties += tied.iter().map(|&t| (t * t * t - t) as f64).sum::<f64>();
        ln_orders = ln_factorial(methods) - tied.iter().map(|&t| ln_factorial(t)).sum::<f64>();
    }
    let average_ranks: Vec<f64> = sums.iter().map(|sum| sum / n).collect();
    let squares: f64 = average_ranks.iter().map(|r| (r - (k + 1.0) / 2.0) * (r - (k + 1.0) / 2.0)).sum();
    let untied = 1.0 - ties / (n * k * (k * k - 1.0));
    // All scores of each data set are equal.
    if untied <= 0.0 {
        let (chi_square, f, p_value) = (0.0, Some(0.0), 1.0);
        return Ok(Friedman {
            average_ranks,
            kendall_w: 0.0,
            chi_square,
            chi_square_p_value: 1.0,
            f,
            p_value,
        });
    }
    let chi_square = 12.0 * n / (k * (k + 1.0)) * squares / untied;
    let kendall_w = (chi_square / (n * (k - 1.0))).min(1.0);
    let agree = kendall_w > 1.0 - 1e-12;
    let f = (!agree).then(|| (n - 1.0) * kendall_w / (1.0 - kendall_w));
    let p_value = match f {
        Some(f) => f_tail(f, (k - 1.0, (k - 1.0) * (n - 1.0))),
        None => ((1.0 - n) * ln_orders).exp(),
    };
    let chi_square_p_value = chi_square_tail(chi_square, k - 1.0);
    Ok(Friedman { average_ranks, kendall_w, chi_square, chi_square_p_value, f, p_value })
}

fn ln_factorial(n: usize) -> f64 {
    ln_gamma(n as f64 + 1.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::statistics::testing::{close, draws};

    /// Table 6 of Demšar 2006.
    pub(in crate::statistics) const DEMSAR: [[f64; 4]; 14] = [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ];

    /// Nine data sets with many ties.
    pub(in crate::statistics) fn coarse() -> Vec<Vec<f64>> {
        let mut draw = draws(13);
        let mut score = |method: usize| (draw() * 6.0 + method as f64 / 3.0).floor() / 10.0;
        (0..9).map(|_| (0..5).map(&mut score).collect()).collect()
    }

    /// scipy's `friedmanchisquare`, `rankdata` and `f`: `tests/reference/statistics.py`.
    #[test]
    fn tests_agree_with_scipy() {
        for (test, ranks, [w, chi, chi_p, f, p]) in [
            (
                friedman_test(&DEMSAR, true).unwrap(),
                &[3.142857142857143, 2.0, 2.892857142857143, 1.9642857142857142][..],
                [
                    0.2435320584926887,
                    10.228346456692925,
                    0.016721580328441323,
                    4.1851301115241695,
                    0.011620659515310975,
                ],
            ),
            (
                friedman_test(&coarse(), true).unwrap(),
                &[3.5, 2.388888888888889, 2.4444444444444446, 3.8333333333333335, 2.8333333333333335],
                [
                    0.18157181571815698,
                    6.536585365853651,
                    0.16249975649470022,
                    1.7748344370860902,
                    0.1582438510413616,
                ],
            ),
        ] {
            test.average_ranks.iter().zip(ranks).for_each(|(a, b)| close(*a, *b, 1e-14));
            close(test.kendall_w, w, 1e-12);
            close(test.chi_square, chi, 1e-12);
            close(test.chi_square_p_value, chi_p, 1e-11);
            close(test.f.unwrap(), f, 1e-12);
            close(test.p_value, p, 1e-11);
        }
    }

    #[test]
    fn the_other_direction_reverses_the_ranks() {
        let (high, low) = (friedman_test(&DEMSAR, true).unwrap(), friedman_test(&DEMSAR, false).unwrap());
        for (a, b) in high.average_ranks.iter().zip(&low.average_ranks) {
            close(a + b, 5.0, 1e-14);
        }
        close(high.p_value, low.p_value, 1e-12);
    }

    /// Of the 36 orders on a second and third data set one agrees with the first; with a tie of two, of 9 one.
    #[test]
    fn full_agreement_has_its_exact_probability() {
        for (row, orders) in [([3.0, 2.0, 1.0], 6.0), ([3.0, 3.0, 1.0], 3.0)] {
            let test = friedman_test(&[row, row, row], true).unwrap();
            assert_eq!((test.kendall_w, test.f), (1.0, None));
            close(test.p_value, 1.0 / (orders * orders), 1e-12);
            let two = friedman_test(&[row, row], true).unwrap();
            close(two.p_value, 1.0 / orders, 1e-12);
        }
    }

    #[test]
    fn ties_everywhere_and_bad_inputs() {
        let test = friedman_test(&[[0.5; 3]; 4], true).unwrap();
        assert_eq!((test.average_ranks, test.kendall_w, test.p_value), (vec![2.0; 3], 0.0, 1.0));
        let message = |scores: &[Vec<f64>]| friedman_test(scores, true).unwrap_err().to_string();
        assert_eq!(message(&[vec![1.0, 2.0]]), "number of data sets must be at least 2, but is 1");
        assert_eq!(message(&[vec![1.0], vec![1.0]]), "number of methods must be at least 2, but is 1");
        assert_eq!(
            message(&[vec![1.0, 2.0], vec![1.0]]),
            "number of scores of data set 1 must be 2, one for each method, but is 1"
        );
        assert_eq!(
            message(&[vec![1.0, 2.0], vec![1.0, f64::NAN]]),
            "data set 1, method 1 must be finite, but is NaN"
        );
    }
}
