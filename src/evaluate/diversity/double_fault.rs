//! The double-fault measure.
use super::{pair_counts::ratio, PairCounts};

/// Computes the double fault of two members: the share of rows on which both are wrong.
///
/// ```text
/// DF = N00 / N
/// ```
///
/// It is between 0 and 1; less is more diverse. Use it to find pairs that fail together, which no combiner of
/// the two can repair. It mixes diversity with accuracy: independent members with error rates `e` and `f` have
/// `e f`. It is not symmetric in right and wrong, unlike the other pairwise measures.
///
/// It is `None` without rows.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{double_fault, PairCounts};
///
/// let pair = PairCounts { both_right: 5., only_first: 2., only_second: 1., both_wrong: 2. };
/// assert_eq!(double_fault(&pair), Some(0.2));
/// ```
///
/// Source: Giacinto and Roli 2001, doi:10.1016/S0262-8856(01)00045-2.
#[must_use]
pub fn double_fault(pair: &PairCounts) -> Option<f64> {
    ratio(pair.both_wrong, pair.rows())
}
