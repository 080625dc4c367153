//! Bootstrap aggregating.
use crate::{
    registry::{Argument, Entry},
    resample::{Amount, Bootstrap, ResampleUnit},
    strategy::{
        registry::{boxed, unit, RUNS, UNIT, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Bagging: trains each run on a bootstrap sample, rows drawn with replacement; the rows that a sample leaves
/// out are held out for its members.
///
/// ```text
/// run i trains on n rows drawn uniformly with replacement from N
/// P(a row is left out) = (1 − 1/N)ⁿ ≈ 0.37 for n = N
/// ```
///
/// Where the data has groups, groups are drawn, and all rows of a drawn group enter the sample.
/// [`unit(ResampleUnit::Strata)`](Bagging::unit) draws within each class instead, so that each class keeps
/// its size: use it for classes so rare that a plain sample may miss them.
///
/// Use it when the data is small enough that the sample itself is a source of variance, or when you want
/// held-out predictions without giving up training rows for all members. Do not use it when copies of rows
/// disturb training (batch norm on small batches): [`RandomSplit`](crate::strategy::RandomSplit) draws
/// without replacement.
///
/// Cost: `runs` times the epochs of one network, each epoch over as many rows as are drawn.
///
/// # Errors
/// Planning fails when `runs` is 0, when the sample size is not above 0, or when the data lacks the unit that
/// is set.
///
/// ```
/// use candle_ensemble::{resample::ResampleUnit, strategy::Bagging};
///
/// let bagging = Bagging::new(10);
/// let half = Bagging::new(10).size(0.5); // samples of half as many rows as the data has
/// let count = Bagging::new(10).rows(4500); // samples of 4500 rows
/// let even = Bagging::new(10).unit(ResampleUnit::Strata); // each class keeps its size
/// ```
///
/// Source: Breiman 1996, doi:10.1007/BF00058655; by strata Davison and Hinkley 1997,
/// doi:10.1017/CBO9780511802843; by groups Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x.
pub type Bagging = Strategy<Bootstrap>;

impl Bagging {
    /// Draws `runs` bootstrap samples for each architecture, each as large as the data.
    #[must_use]
    pub fn new(runs: usize) -> Self {
        Self::of(Bootstrap { runs, amount: Amount::default(), unit: None })
    }

    /// Sets the sample size as a share of the rows (of the groups, where groups are drawn), above 0; the
    /// default is 1. This is scikit-learn's `max_samples` as a float.
    #[must_use]
    pub fn size(mut self, share: f64) -> Self {
        self.resample.amount = Amount::Share(share);
        self
    }

    /// Sets the sample size as a number of rows (of groups, where groups are drawn). This is scikit-learn's
    /// `max_samples` as an integer.
    #[must_use]
    pub fn rows(mut self, count: usize) -> Self {
        self.resample.amount = Amount::Count(count);
        self
    }

    /// Sets what is drawn: rows, rows within each stratum, or groups. By default groups are drawn where the
    /// data has them, and rows otherwise.
    #[must_use]
    pub fn unit(mut self, unit: ResampleUnit) -> Self {
        self.resample.unit = Some(unit);
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> =
    Entry::new("bootstrap", "Bagging", "Every member on rows drawn with replacement", |arguments| {
        let mut bagging = Bagging::new(arguments.get("runs")?).size(arguments.get("size")?);
        bagging.resample.unit = unit(arguments)?;
        boxed(bagging, arguments)
    })
    .with_aliases(&["bagging"])
    .with_arguments(&[
        RUNS,
        Argument::new("size", "1", "Sample size, as a share of the rows"),
        UNIT,
        VALIDATION,
    ])
    .with_source("Breiman 1996, doi:10.1007/BF00058655");
