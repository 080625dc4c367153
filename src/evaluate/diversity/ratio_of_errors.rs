//! The ratio of different to common errors.
use super::{pair_counts::ratio, PairCounts};

/// Computes the ratio of the rows on which one of two members is wrong to those on which both are.
///
/// ```text
/// r = (N10 + N01) / N00
/// ```
///
/// It is 0 or more; more is more diverse. Independent members that both have the error rate `e` have
/// `2 (1 − e)/e`, so it grows with the accuracy: compare it only between pairs of like accuracy.
///
/// It is `None` where the members are never wrong together, however diverse they are; a mean over pairs leaves
/// these out.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{ratio_of_errors, PairCounts};
///
/// let pair = PairCounts { both_right: 5., only_first: 2., only_second: 1., both_wrong: 2. };
/// assert_eq!(ratio_of_errors(&pair), Some(1.5));
/// ```
///
/// Source: Aksela 2003, doi:10.1007/3-540-44938-8_9.
#[must_use]
pub fn ratio_of_errors(pair: &PairCounts) -> Option<f64> {
    ratio(pair.only_first + pair.only_second, pair.both_wrong)
}
