//! Wilcoxon's signed-rank test.
use super::{hodges_lehmann::hodges_lehmann, inputs::check_finite, ranks::ranks, tails::normal_two_sided};
use crate::{statistics::TestResult, Error, Result};

/// Up to so many differences other than 0 the p-value of [`wilcoxon_test`] is exact.
pub const WILCOXON_EXACT: usize = 50;

/// Absolute differences that differ by less than this share of the largest are tied. Differences of scores
/// that would be equal in exact arithmetic differ by rounding.
const TIE: f64 = 1e-10;

/// What [`wilcoxon_test`] does with differences of 0.
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
