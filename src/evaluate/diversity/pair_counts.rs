//! How often each and both of two members are right.
use serde::Serialize;

/// On how many rows each, both and neither of two members is right: what the pairwise measures are computed
/// from.
///
/// The numbers are counts, sums of weights, or shares of the rows; only their ratios matter. The rows are
/// those that both members predict.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{double_fault, ratio_of_errors, PairCounts};
///
/// let pair = PairCounts::of(&[true, true, false, false], &[true, false, false, false]);
/// assert_eq!(double_fault(&pair), Some(0.5));
/// assert_eq!(ratio_of_errors(&pair), Some(0.5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PairCounts {
    /// `N11`: rows on which both are right.
    pub both_right: f64,
    /// `N10`: rows on which only the first is right.
    pub only_first: f64,
    /// `N01`: rows on which only the second is right.
    pub only_second: f64,
    /// `N00`: rows on which both are wrong.
    pub both_wrong: f64,
}

impl PairCounts {
    /// Counts from two lists that say for each row whether a member is right. Rows after the end of the
    /// shorter list are left out.
    #[must_use]
    pub fn of(first: &[bool], second: &[bool]) -> Self {
        let mut counts = Self::default();
        for (first, second) in first.iter().zip(second) {
            *match (first, second) {
                (true, true) => &mut counts.both_right,
                (true, false) => &mut counts.only_first,
                (false, true) => &mut counts.only_second,
                (false, false) => &mut counts.both_wrong,
            } += 1.;
        }
        counts
    }

    /// Returns the number of all rows, N.
    #[must_use]
    pub fn rows(&self) -> f64 {
        self.both_right + self.only_first + self.only_second + self.both_wrong
    }

    /// Returns the mean of the two error rates, `(N10 + N01 + 2 N00) / 2N`; `None` without rows.
    #[must_use]
    pub fn mean_error(&self) -> Option<f64> {
        ratio(self.only_first + self.only_second + 2. * self.both_wrong, 2. * self.rows())
    }
}

/// `a / b`, where it is defined.
pub(super) fn ratio(a: f64, b: f64) -> Option<f64> {
    (b != 0.).then(|| a / b)
}
