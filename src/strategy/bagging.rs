//! Bootstrap aggregating.
use crate::{
    registry::{Argument, Entry},
    resample::{Amount, Bootstrap, ResampleUnit},
    strategy::{
        registry::{boxed, by, BY, RUNS, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Bagging: every run on a bootstrap sample, rows drawn with replacement; the rows left out (about 37 % at full
/// size) are held out for this member.
///
/// Where the data has groups, groups are drawn, and all rows of a group come along. [`Bagging::by`] strata
/// resamples each class to its own size: for classes so rare that a plain sample may miss them.
///
/// Choose it when the data is small enough that the sample itself is a source of variance, or when you want
/// honest held-out predictions for free. Cost: `runs` times the epochs of one network, each epoch over as many
/// rows as are drawn.
///
/// Source: Breiman 1996, doi:10.1007/BF00058655; by strata Davison and Hinkley 1997,
/// doi:10.1017/CBO9780511802843; by groups Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x.
///
/// ```
/// use candle_ensemble::{resample::ResampleUnit, strategy::Bagging};
///
/// let bagging = Bagging::new(10);
/// let half = Bagging::new(10).size(0.5);      // half as many rows as there are
/// let count = Bagging::new(10).rows(4500);    // this many
/// let even = Bagging::new(10).by(ResampleUnit::Strata); // each class resampled to its own size
/// ```
pub type Bagging = Strategy<Bootstrap>;

impl Bagging {
    /// This many bootstrap samples, as large as the data, for each architecture.
    #[must_use]
    pub fn new(runs: usize) -> Self {
        Self::of(Bootstrap { runs, amount: Amount::default(), by: None })
    }

    /// Sample size as a share of the rows (of the groups, where groups are drawn), above 0; all, if not set.
    /// scikit-learn's `max_samples`, as a float.
    #[must_use]
    pub fn size(mut self, share: f64) -> Self {
        self.resample.amount = Amount::Share(share);
        self
    }

    /// Sample size as a number of rows (of groups, where groups are drawn): `max_samples` as an integer.
    #[must_use]
    pub fn rows(mut self, count: usize) -> Self {
        self.resample.amount = Amount::Count(count);
        self
    }

    /// What is drawn: rows, rows within each stratum, or groups; if not set, groups where the data has them,
    /// else rows.
    #[must_use]
    pub fn by(mut self, by: ResampleUnit) -> Self {
        self.resample.by = Some(by);
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> =
    Entry::new("bootstrap", "Bagging", "Every member on rows drawn with replacement", |arguments| {
        let mut bagging = Bagging::new(arguments.get("runs")?).size(arguments.get("size")?);
        bagging.resample.by = by(arguments)?;
        boxed(bagging, arguments)
    })
    .with_aliases(&["bagging"])
    .with_arguments(&[
        RUNS,
        Argument::new("size", "1", "Sample size, as a share of the rows"),
        BY,
        VALIDATION,
    ])
    .with_source("Breiman 1996, doi:10.1007/BF00058655");
