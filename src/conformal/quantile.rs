//! The quantiles of conformity scores, with the correction for finite samples.
use super::inputs::{check_alpha, check_scores};
use crate::Result;

/// Computes the conformal quantile of scores: the threshold that the score of a new row exceeds with
/// probability `alpha` at most.
///
/// ```text
/// the k-th smallest of n scores, k = ⌈(n + 1)(1 − α)⌉;  ∞ where k is above n
/// ```
///
/// The scores are those of calibration rows, in any order; they may be infinite. `alpha` is the share of
/// errors that is allowed, above 0 and below 1. The guarantee holds for any score as long as the calibration
/// rows and the new row are exchangeable (independent draws from one distribution are), and no model was
/// fitted on the calibration rows. It is a statement about the average over new rows and over calibration
/// sets. For one calibration set of n rows, the coverage of new rows varies as a beta variable with the
/// parameters k and n + 1 − k.
///
/// The `+ 1` counts the new row itself. Without it the coverage is too low by about `1/n`. The quantile is
/// infinite when there are fewer than [`rows_needed`] scores, none included; no finite threshold has the
/// guarantee then.
///
/// A product `(n + 1) α` that differs from an integer only by rounding counts as that integer, so that 0.05
/// and `1.0 − 0.95` mean the same.
///
/// The cost is `O(n)`: a selection, not a sort.
///
/// # Errors
/// When a score is NaN, or `alpha` is not above 0 and below 1.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::conformal_quantile;
///
/// let scores = [0.4, 0.1, 0.3, 0.2];
/// assert_eq!(conformal_quantile(&scores, 0.4)?, 0.3); // the third of four: ⌈5 · 0.6⌉ = 3
/// assert_eq!(conformal_quantile(&scores, 0.1)?, f64::INFINITY); // ⌈5 · 0.9⌉ = 5
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715; Lei, G'Sell, Rinaldo, Tibshirani and
/// Wasserman 2018, arXiv:1604.04173.
pub fn conformal_quantile(scores: &[f64], alpha: f64) -> Result<f64> {
    check_alpha(alpha)?;
    check_scores(scores)?;
    Ok(upper_quantile(&mut scores.to_vec(), alpha))
}

/// Computes the lower conformal quantile of scores: the threshold that the score of a new row falls below
/// with probability `alpha` at most.
///
/// ```text
/// the k-th smallest of n scores, k = ⌊(n + 1) α⌋;  −∞ where k is 0
/// ```
///
/// It is the negative of the [`conformal_quantile`] of the negative scores, and is subject to the same
/// conditions. The jackknife+ takes its lower ends from it.
///
/// The cost is `O(n)`.
///
/// # Errors
/// When a score is NaN, or `alpha` is not above 0 and below 1.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::lower_conformal_quantile;
///
/// let scores = [0.4, 0.1, 0.3, 0.2];
/// assert_eq!(lower_conformal_quantile(&scores, 0.4)?, 0.2); // the second of four: ⌊5 · 0.4⌋ = 2
/// assert_eq!(lower_conformal_quantile(&scores, 0.1)?, f64::NEG_INFINITY);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Barber, Candès, Ramdas and Tibshirani 2021, arXiv:1905.02928.
pub fn lower_conformal_quantile(scores: &[f64], alpha: f64) -> Result<f64> {
    check_alpha(alpha)?;
    check_scores(scores)?;
    let mut negative: Vec<f64> = scores.iter().map(|score| -score).collect();
    Ok(-upper_quantile(&mut negative, alpha))
}

/// Computes the least number of calibration rows whose conformal quantile is finite: `⌈1/α⌉ − 1`.
///
/// With groups, each group needs as many.
///
/// # Errors
/// When `alpha` is not above 0 and below 1.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::rows_needed;
///
/// assert_eq!(rows_needed(0.1)?, 9);
/// assert_eq!(rows_needed(0.01)?, 99);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn rows_needed(alpha: f64) -> Result<usize> {
    check_alpha(alpha)?;
    let up = (1.0 / alpha).ceil() as usize;
    // 1/α may be above an integer by rounding only.
    let fewer = up.saturating_sub(2);
    Ok(if errors_allowed(fewer, alpha) > 0 { fewer } else { up - 1 })
}

/// `⌊(n + 1) α⌋`: how many of `n` scores and a new one may be above the threshold.
fn errors_allowed(n: usize, alpha: f64) -> usize {
    let total = n as f64 + 1.0;
    let product = total * alpha;
    // α is known up to the rounding of 1, and the product up to its own.
    match (product - product.round()).abs() <= f64::EPSILON * total {
        true => product.round() as usize,
        false => product as usize,
    }
}

/// `⌈(n + 1)(1 − α)⌉`, the rank of the conformal quantile of `n` scores, or `None` where it is above `n`.
pub(super) fn upper_rank(n: usize, alpha: f64) -> Option<usize> {
    Some(n + 1 - errors_allowed(n, alpha).min(n)).filter(|rank| *rank <= n)
}

/// The conformal quantile of scores that are checked. It changes their order.
pub(super) fn upper_quantile(scores: &mut [f64], alpha: f64) -> f64 {
    upper_rank(scores.len(), alpha).and_then(|rank| kth_smallest(scores, rank)).unwrap_or(f64::INFINITY)
}

/// The `rank`-th smallest of numbers, from 1. It changes their order.
pub(super) fn kth_smallest(values: &mut [f64], rank: usize) -> Option<f64> {
    let at = rank.checked_sub(1).filter(|at| *at < values.len())?;
    Some(*values.select_nth_unstable_by(at, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// ⌈(n + 1)(1 − α)⌉ in integers: α in thousandths.
    #[test]
    fn ranks_are_exact_for_every_decimal_alpha() {
        for n in 0..3000_usize {
            for thousandths in [1, 5, 10, 25, 50, 70, 100, 150, 200, 290, 300, 333, 500, 570, 700, 900, 999] {
                let rank = ((n + 1) * (1000 - thousandths)).div_ceil(1000);
                let expected = Some(rank).filter(|rank| *rank <= n);
                let alpha = thousandths as f64 / 1000.0;
                assert_eq!(upper_rank(n, alpha), expected, "{n} {alpha}");
                let from_level = 1.0 - (1000 - thousandths) as f64 / 1000.0;
                assert_eq!(upper_rank(n, from_level), expected, "{n} {from_level}");
            }
        }
    }

    #[test]
    fn the_rows_needed_are_the_least_with_a_finite_quantile() {
        for alpha in
            [0.001, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0 / 3.0, 1.0 - 0.9, 1.0 - 0.95]
        {
            let needed = rows_needed(alpha).unwrap();
            assert!(upper_rank(needed, alpha).is_some(), "{alpha}");
            assert!(needed == 0 || upper_rank(needed - 1, alpha).is_none(), "{alpha}");
        }
    }

    #[test]
    fn quantiles_by_hand() {
        let scores = [5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0, 7.0, 6.0];
        assert_eq!(conformal_quantile(&scores, 0.1).unwrap(), 9.0);
        assert_eq!(conformal_quantile(&scores, 0.5).unwrap(), 5.0);
        assert_eq!(conformal_quantile(&scores, 0.45).unwrap(), 6.0);
        assert_eq!(lower_conformal_quantile(&scores, 0.1).unwrap(), 1.0);
        assert_eq!(lower_conformal_quantile(&scores, 0.29).unwrap(), 2.0);
        assert_eq!(lower_conformal_quantile(&scores, 0.09).unwrap(), f64::NEG_INFINITY);
        assert_eq!(conformal_quantile(&[], 0.1).unwrap(), f64::INFINITY);
        assert_eq!(conformal_quantile(&[1.0, f64::INFINITY, 2.0], 0.25).unwrap(), f64::INFINITY);
    }

    #[test]
    fn a_bad_alpha_or_score_is_named() {
        let error = conformal_quantile(&[1.0], 1.0).unwrap_err().to_string();
        assert_eq!(error, "alpha must be above 0 and below 1, but is 1");
        let error = lower_conformal_quantile(&[1.0, f64::NAN], 0.1).unwrap_err().to_string();
        assert_eq!(error, "score of row 1 must be a number, but is NaN");
        assert!(rows_needed(f64::NAN).is_err());
    }

    proptest! {
        /// The definition: the least score such that enough scores are at most that.
        #[test]
        fn the_quantile_is_the_least_that_covers_enough(
            mut scores in prop::collection::vec(-20i32..20, 1..80),
            alpha in 0.01f64..0.99,
        ) {
            let floats: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
            let quantile = conformal_quantile(&floats, alpha).unwrap();
            let need = (floats.len() as f64 + 1.0) * (1.0 - alpha);
            scores.sort_unstable();
            let covered = |q: f64| floats.iter().filter(|score| **score <= q).count() as f64;
            let expected = scores.iter().map(|s| f64::from(*s)).find(|s| covered(*s) >= need - 1e-9);
            prop_assert_eq!(quantile, expected.unwrap_or(f64::INFINITY));
        }

        #[test]
        fn the_quantile_falls_with_alpha_and_ignores_the_order(
            scores in prop::collection::vec(-1e3f64..1e3, 0..60),
            first in 0.001f64..0.999,
            second in 0.001f64..0.999,
        ) {
            let reversed: Vec<f64> = scores.iter().rev().copied().collect();
            let at = |alpha| conformal_quantile(&scores, alpha).unwrap();
            prop_assert_eq!(at(first), conformal_quantile(&reversed, first).unwrap());
            prop_assert!(at(first.min(second)) >= at(first.max(second)));
            let lower = |alpha| lower_conformal_quantile(&scores, alpha).unwrap();
            prop_assert!(lower(first.min(second)) <= lower(first.max(second)));
        }
    }
}
