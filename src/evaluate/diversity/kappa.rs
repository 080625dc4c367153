//! The agreement of two members beyond chance.
use super::PairCounts;

/// Computes the interrater agreement κ of two members, each of which is right or wrong on a row.
///
/// ```text
/// κ = 2 (N11 N00 − N01 N10) / ((N11 + N10)(N10 + N00) + (N11 + N01)(N01 + N00))
/// ```
///
/// This is [Cohen's κ](cohen_kappa) of the two lists of right and wrong. It is at most 1, and 0 for
/// independent members; less is more diverse.
///
/// It is `None` when the two are always right or always wrong, and without rows.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{kappa, PairCounts};
///
/// let pair = PairCounts { both_right: 4., only_first: 1., only_second: 1., both_wrong: 4. };
/// assert_eq!(kappa(&pair), Some(2. * 15. / 50.)); // they agree on 8 of 10 rows, and by chance on 5
/// ```
///
/// Source: Kuncheva 2014, "Combining Pattern Classifiers", doi:10.1002/9781118914564, section 8.2.
#[must_use]
pub fn kappa(pair: &PairCounts) -> Option<f64> {
    let PairCounts { both_right, only_first, only_second, both_wrong } = *pair;
    let chance = (both_right + only_first) * (only_first + both_wrong)
        + (both_right + only_second) * (only_second + both_wrong);
    (chance > 0.).then(|| 2. * (both_right * both_wrong - only_first * only_second) / chance)
}

/// Computes Cohen's κ of two members' classes: how much more often they predict the same class than by chance.
///
/// ```text
/// κ = (a − c) / (1 − c),  a = share of rows with the same class,  c = Σ_k p_k q_k
/// ```
///
/// Here `p_k` and `q_k` are the shares of the rows for which the first and the second member predict class
/// `k`. It is at most 1, and 0 for members that agree as often as by chance; less is more diverse. The targets
/// play no part. It is the κ of the kappa–error diagram
/// ([`Diversity::kappa_error`](super::Diversity::kappa_error)).
///
/// It is `None` where chance alone gives full agreement, because both always predict the same class.
///
/// ```
/// use candle_ensemble::evaluate::diversity::cohen_kappa;
///
/// // The classes 0, 0, 1, 1 and 0, 1, 1, 1.
/// assert_eq!(cohen_kappa(0.75, 0.5 * 0.25 + 0.5 * 0.75), Some(0.5));
/// ```
///
/// Sources: Cohen 1960, doi:10.1177/001316446002000104; Margineantu and Dietterich 1997, "Pruning adaptive
/// boosting".
#[must_use]
pub fn cohen_kappa(agreement: f64, by_chance: f64) -> Option<f64> {
    // Sums of weights may leave 1 by rounding.
    (by_chance < 1. - 1e-12).then(|| (agreement - by_chance) / (1. - by_chance))
}
