//! Wilcoxon's signed-rank test.
use super::{hodges_lehmann::hodges_lehmann, inputs::check_finite, ranks::ranks, tails::normal_two_sided};
use crate::{statistics::TestResult, Error, Result};

/// Up to so many differences other than 0 the p-value of [`wilcoxon_test`] is exact.
pub const WILCOXON_EXACT: usize = 50;

/// Absolute differences that differ by less than this share of the largest are tied. Differences of scores
/// that would be equal in exact arithmetic differ by rounding.
const TIE: f64 = 1e-10;

/// What [`wilcoxon_test`] does with differences of 0.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{wilcoxon_test, ZeroDifferences};
///
/// let gains = [0.0, 0.0, 0.01, 0.02, 0.03];
/// let sum_of_ranks = |zeros| wilcoxon_test(&gains, zeros).map(|test| test.statistic);
/// assert_eq!(sum_of_ranks(ZeroDifferences::Pratt)?, Some(3.0 + 4.0 + 5.0));
/// assert_eq!(sum_of_ranks(ZeroDifferences::Dropped)?, Some(1.0 + 2.0 + 3.0));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroDifferences {
    /// They are ranked with the others, and their ranks are then left out (Pratt 1959,
    /// doi:10.1080/01621459.1959.10501526). This is the better choice, as it does not forget that many
    /// differences of 0 speak against a difference.
    #[default]
    Pratt,
    /// They are left out before the others are ranked, as Wilcoxon did (`wilcox` in scipy, where it is the
    /// default).
    Dropped,
}

/// Tests whether differences are centred at 0, by Wilcoxon's signed-rank test.
///
/// ```text
/// W = Σ of the ranks of |d| over d > 0;  without a difference each rank counts with probability 1/2
/// ```
///
/// **Setting**: two predictors on several data sets, with one difference for each data set. Their scores need
/// not be on one scale, since only the order of the differences counts. Also for independent repetitions.
///
/// **Assumes** that the differences are independent and, without a difference, symmetric about 0. They need not
/// be normal, and extreme ones do not count for more than their rank. The least possible p-value is
/// `2^(1 − n)`: 5 differences never give 0.05, 6 do where all have one sign. Folds and repeated splits are not
/// independent; use [`corrected_t_test`](crate::statistics::corrected_t_test).
///
/// Up to [`WILCOXON_EXACT`] differences other than 0, the p-value is exact, with ties and zeros too: it is
/// computed over all signs of the given ranks. Beyond, it is that of the normal approximation, corrected for
/// ties. Absolute differences that are equal up to 10⁻¹⁰ of the largest are tied, and as small ones are 0.
///
/// The effect is the [`hodges_lehmann`] estimate, and the statistic is `W`. Cost: `O(n log n)`.
///
/// # Errors
/// When there are no differences, or one is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{wilcoxon_test, ZeroDifferences};
///
/// let gains = [0.01, 0.02, -0.005, 0.03, 0.015, 0.04, 0.0, 0.025];
/// let test = wilcoxon_test(&gains, ZeroDifferences::Pratt)?;
/// assert_eq!(test.statistic, Some(33.0));
/// assert_eq!(test.p_value, 4.0 / 128.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Wilcoxon 1945, doi:10.2307/3001968; for data sets Demšar 2006,
/// <https://www.jmlr.org/papers/v7/demsar06a.html>.
pub fn wilcoxon_test(differences: &[f64], zeros: ZeroDifferences) -> Result<TestResult> {
    if differences.is_empty() {
        return Err(Error::invalid("number of differences", "at least 1", 0));
    }
    check_finite("difference", differences)?;
    let effect = hodges_lehmann(differences)?;
    let tolerance = TIE * differences.iter().fold(0f64, |largest, d| largest.max(d.abs()));
    let is_zero = |d: &f64| d.abs() <= tolerance;
    let ranked: Vec<f64> =
        differences.iter().copied().filter(|d| zeros == ZeroDifferences::Pratt || !is_zero(d)).collect();
    let absolute: Vec<f64> = ranked.iter().map(|d| d.abs()).collect();
    let (ranks, _) = ranks(&absolute, tolerance);
    // The ranks that count, with the sign.
    let signed: Vec<(f64, bool)> =
        ranked.iter().zip(ranks).filter(|(d, _)| !is_zero(d)).map(|(d, rank)| (rank, *d > 0.0)).collect();
    let positive: f64 = signed.iter().filter(|(_, positive)| *positive).map(|(rank, _)| rank).sum();
    let p_value = if signed.len() <= WILCOXON_EXACT {
        exact(&signed, positive)
    } else {
        // The mean and variance over all signs include every correction for ties and zeros.
        let mean: f64 = signed.iter().map(|(rank, _)| rank / 2.0).sum();
        let variance: f64 = signed.iter().map(|(rank, _)| rank * rank / 4.0).sum();
        normal_two_sided((positive - mean) / variance.sqrt())
    };
    Ok(TestResult { effect, statistic: Some(positive), p_value })
}

/// The share of all signs whose sum of positive ranks is as far out as `positive`, on the same side, twice.
fn exact(signed: &[(f64, bool)], positive: f64) -> f64 {
    // Twice a rank is an integer.
    let doubled: Vec<usize> = signed.iter().map(|(rank, _)| (2.0 * rank) as usize).collect();
    let total: usize = doubled.iter().sum();
    // How many signs give each sum; at most 2^50, which f64 counts exactly.
    let mut counts = vec![0.0; total + 1];
    counts[0] = 1.0;
    let mut reached = 0;
    for rank in doubled {
        for sum in (0..=reached).rev() {
            counts[sum + rank] += counts[sum];
        }
        reached += rank;
    }
    let at = (2.0 * positive) as usize;
    let least: f64 = counts.iter().take(at + 1).sum();
    let most: f64 = counts.iter().skip(at).sum();
    (2.0 * least.min(most) / counts.iter().sum::<f64>()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::{close, draws};

    #[track_caller]
    fn check(differences: &[f64], zeros: ZeroDifferences, [w, p, effect]: [f64; 3]) {
        // The normal distribution function of statrs has ten digits.
        let digits = if differences.len() > WILCOXON_EXACT { 1e-9 } else { 1e-12 };
        let test = wilcoxon_test(differences, zeros).unwrap();
        close(test.statistic.unwrap(), w, 1e-14);
        close(test.p_value, p, digits);
        close(test.effect, effect, 1e-12);
        let opposite: Vec<f64> = differences.iter().map(|d| -d).collect();
        let opposite = wilcoxon_test(&opposite, zeros).unwrap();
        close(opposite.p_value, p, digits);
        close(opposite.effect, -effect, 1e-12);
    }

    /// scipy's `wilcoxon`, exact by its distribution or by all signs, and approximate without continuity
    /// correction; numpy's median over all pairs. See `tests/reference/statistics.py`.
    #[test]
    fn tests_agree_with_scipy() {
        use ZeroDifferences::{Dropped, Pratt};
        let gains = [0.012, -0.004, 0.021, 0.008, 0.015, 0.003, -0.001, 0.019, 0.007, 0.011];
        let mut draw = draws(11);
        let fifty: Vec<f64> = (0..50).map(|_| draw() - 0.4).collect();
        let tied = [1., 2., 2., -1., 3., 3., -2., 4., 1., 5., -1., 2.];
        for zeros in [Pratt, Dropped] {
            check(&gains, zeros, [51.0, 0.013671875, 0.009]);
            check(&fifty, zeros, [794.0, 0.1329605561585705, 0.06572458185255525]);
            check(&tied, zeros, [66.5, 0.03076171875, 1.5]);
        }
        let zeros = [0., 2., 2., -1., 3., 0., -2., 4., 1., 5., 0., 2.];
        check(&zeros, Pratt, [60.0, 0.07421875, 1.25]);
        check(&zeros, Dropped, [39.0, 0.0625, 1.25]);
        let mut draw = draws(12);
        let many: Vec<f64> = (0..200).map(|_| (draw() * 21.0).floor() - 9.0).collect();
        check(&many, Pratt, [11254.5, 0.12672804567772172, 1.0]);
        check(&many, Dropped, [9993.5, 0.10366029583799327, 1.0]);
    }

    /// 0.3 − 0.2 is not 0.1 in binary, and is tied with it all the same.
    #[test]
    fn rounding_breaks_no_ties() {
        let scores = [(0.3, 0.2), (0.2, 0.1), (0.4, 0.5), (0.9, 0.8), (0.7, 0.7 + 1e-16), (0.6, 0.4)];
        let rough: Vec<f64> = scores.iter().map(|(a, b)| a - b).collect();
        let exact = [1.0, 1.0, -1.0, 1.0, 0.0, 2.0];
        for zeros in [ZeroDifferences::Pratt, ZeroDifferences::Dropped] {
            let [rough, exact] = [&rough[..], &exact].map(|d| wilcoxon_test(d, zeros).unwrap());
            assert_eq!((rough.statistic, rough.p_value), (exact.statistic, exact.p_value));
        }
    }

    #[test]
    fn one_sign_has_the_least_p_value() {
        for n in 1..=WILCOXON_EXACT {
            let differences: Vec<f64> = (1..=n).map(|i| i as f64).collect();
            let test = wilcoxon_test(&differences, ZeroDifferences::Pratt).unwrap();
            assert_eq!(test.p_value, 0.5f64.powi(n as i32 - 1), "{n}");
        }
        let zeros = wilcoxon_test(&[0.0; 80], ZeroDifferences::Pratt).unwrap();
        assert_eq!(zeros, TestResult { effect: 0.0, statistic: Some(0.0), p_value: 1.0 });
        assert!(wilcoxon_test(&[], ZeroDifferences::Pratt).is_err());
        assert!(wilcoxon_test(&[f64::INFINITY], ZeroDifferences::Pratt).is_err());
    }
}
