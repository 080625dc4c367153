//! The Q statistic.
use super::{pair_counts::ratio, PairCounts};

/// Computes the Q statistic of two members: the association of their being right.
///
/// ```text
/// Q = (N11 N00 − N01 N10) / (N11 N00 + N01 N10)
/// ```
///
/// It is between −1 and 1. It is 0 for independent members, above 0 for members that are right on the same
/// rows, and below 0 for members that are wrong on different rows; less is more diverse. It is the odds ratio
/// `o` of the two, as `(o − 1)/(o + 1)`, so it depends on the accuracy less than the other pairwise measures
/// do. Kuncheva and Whitaker recommend it for that.
///
/// It is `None` where both products are 0, such as when one of the members is always right or always wrong,
/// and without rows. Otherwise it is 1 or −1 as soon as one of the four counts is 0, so do not use it for few
/// rows or for members that are almost always right.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{q_statistic, PairCounts};
///
/// let pair = PairCounts { both_right: 60., only_first: 15., only_second: 15., both_wrong: 10. };
/// assert_eq!(q_statistic(&pair), Some((600. - 225.) / (600. + 225.)));
/// let one_is_always_right = PairCounts { both_right: 60., only_first: 40., ..PairCounts::default() };
/// assert_eq!(q_statistic(&one_is_always_right), None);
/// ```
///
/// Sources: Yule 1900, doi:10.1098/rsta.1900.0019; Kuncheva and Whitaker 2003, doi:10.1023/A:1022859003006.
#[must_use]
pub fn q_statistic(pair: &PairCounts) -> Option<f64> {
    let alike = pair.both_right * pair.both_wrong;
    let different = pair.only_first * pair.only_second;
    ratio(alike - different, alike + different)
}
