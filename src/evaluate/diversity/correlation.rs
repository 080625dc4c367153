//! The correlation of two members' being right.
use super::PairCounts;

/// Computes the correlation of the indicators that the first and that the second member is right.
///
/// ```text
/// ρ = (N11 N00 − N01 N10) / √((N11 + N10)(N01 + N00)(N11 + N01)(N10 + N00))
/// ```
///
/// It is between −1 and 1, and 0 for independent members; less is more diverse. It has the sign of the
/// [Q statistic](super::q_statistic()) and is never farther from 0. It reaches 1 only for members that are
/// right on the same rows.
///
/// It is `None` when one of the members is always right or always wrong, and without rows.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{correlation, PairCounts};
///
/// let pair = PairCounts { both_right: 4., only_first: 1., only_second: 1., both_wrong: 4. };
/// assert_eq!(correlation(&pair), Some(15. / 25.));
/// ```
///
/// Sources: Sneath and Sokal 1973, "Numerical Taxonomy"; Kuncheva and Whitaker 2003,
/// doi:10.1023/A:1022859003006.
#[must_use]
pub fn correlation(pair: &PairCounts) -> Option<f64> {
    let PairCounts { both_right, only_first, only_second, both_wrong } = *pair;
    let first = (both_right + only_first) * (only_second + both_wrong);
    let second = (both_right + only_second) * (only_first + both_wrong);
    let scale = first.sqrt() * second.sqrt();
    (scale > 0.).then(|| (both_right * both_wrong - only_second * only_first) / scale)
}
