//! Bootstrap aggregating.
use super::Strategy;
use crate::resample::{Amount, Bootstrap};

/// Bagging: every run on a bootstrap sample, rows drawn with replacement; the rows left out (about 37 % at full
/// size) are held out for this member.
///
/// Choose it when the data is small enough that the sample itself is a source of variance, or when you want
/// honest held-out predictions for free. Cost: `runs` times the epochs of one network, each epoch over as many
/// rows as are drawn.
///
/// Source: Breiman 1996, doi:10.1007/BF00058655.
///
/// ```
/// use candle_ensemble::build::Bagging;
///
/// let bagging = Bagging::new(10);
/// let half = Bagging::new(10).size(0.5);      // half as many rows as there are
/// let count = Bagging::new(10).rows(4500);    // this many
/// ```
pub type Bagging = Strategy<Bootstrap>;

impl Bagging {
    /// This many bootstrap samples, as large as the data, for each architecture.
    #[must_use]
    pub fn new(runs: usize) -> Self {
        Self::of(Bootstrap { runs, amount: Amount::default() })
    }

    /// Sample size as a share of the rows, above 0.
    #[must_use]
    pub fn size(mut self, share: f64) -> Self {
        self.resample.amount = Amount::Share(share);
        self
    }

    /// Sample size as a number of rows.
    #[must_use]
    pub fn rows(mut self, count: usize) -> Self {
        self.resample.amount = Amount::Count(count);
        self
    }
}
