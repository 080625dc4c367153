//! Several runs on the same rows.
use crate::{
    registry::Entry,
    resample::AllRows,
    strategy::{
        registry::{boxed, RUNS, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Multi-run averaging: trains each run on all rows from another seed, and with other architectures or
/// settings where you give them.
///
/// ```text
/// run i trains on rows 0 … N − 1 from seed child("run/i"):  other initial weights, another order of batches
/// ```
///
/// Use it when networks vary more from seed to seed than from sample to sample, or when rows are too few to
/// hold any out. Nothing is held out: to fit a combiner that learns, reserve rows with
/// [`Session::reserve`](crate::Session::reserve), or use [`KFold`](crate::strategy::KFold).
///
/// Cost: `runs` times the epochs of one network, for each architecture.
///
/// # Errors
/// Planning fails when `runs` is 0 or the data has no rows.
///
/// ```
/// use candle_ensemble::{plan::Settings, strategy::MultiRun};
///
/// let ten_seeds = MultiRun::new(10);
/// let three_rates = MultiRun::new(3)
///     .settings([1e-2, 1e-3, 1e-4].map(|lr| Settings::new().with("learning_rate", lr)));
/// let longer_and_longer = MultiRun::new(4).settings_by(|run| Settings::new().with("epochs", 10 + 5 * run as i64));
/// ```
///
/// Source: Hansen and Salamon 1990, doi:10.1109/34.58871; Lakshminarayanan et al. 2017, arXiv:1612.01474.
pub type MultiRun = Strategy<AllRows>;

impl MultiRun {
    /// Lays out `runs` runs for each architecture.
    #[must_use]
    pub fn new(runs: usize) -> Self {
        Self::of(AllRows { runs })
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> =
    Entry::new("multi-run", "MultiRun", "Every member on all rows, from another seed", |arguments| {
        boxed(MultiRun::new(arguments.get("runs")?), arguments)
    })
    .with_arguments(&[RUNS, VALIDATION])
    .with_source("Hansen and Salamon 1990, doi:10.1109/34.58871");
