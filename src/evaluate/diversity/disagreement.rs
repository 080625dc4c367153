//! The disagreement measure.
use super::{pair_counts::ratio, PairCounts};

/// Computes the disagreement of two members: the share of rows on which exactly one of them is right.
///
/// ```text
/// D = (N10 + N01) / N
/// ```
///
/// It is between 0 and 1; more is more diverse. Two members that are both right on all rows have 0, so it is
/// limited by their accuracy: at most twice the mean error of the two. For two classes it is the share of rows
/// for which they predict different classes. Its mean over pairs is `2L/(L − 1)` times the
/// [Kohavi–Wolpert variance](super::kohavi_wolpert_variance()) of `L` members.
///
/// It is `None` without rows.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{disagreement, PairCounts};
///
/// let pair = PairCounts { both_right: 5., only_first: 2., only_second: 1., both_wrong: 2. };
/// assert_eq!(disagreement(&pair), Some(0.3));
/// ```
///
/// Sources: Skalak 1996, "The sources of increased accuracy for two proposed boosting algorithms"; Ho 1998,
/// doi:10.1109/34.709601.
#[must_use]
pub fn disagreement(pair: &PairCounts) -> Option<f64> {
    ratio(pair.only_first + pair.only_second, pair.rows())
}
