//! Several runs on the same rows.
use crate::{
    registry::Entry,
    resample::AllRows,
    strategy::{
        registry::{boxed, RUNS, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Multi-run averaging: the same rows, other seeds; several architectures or settings, if you like.
///
/// Choose it when the network is far more variable than the data (a prediction problem), or when rows are too
/// few to hold any out. Cost: `runs` times the epochs of one network, for each architecture. Nothing is held
/// out: to fit a rule that learns, keep rows back with [`Plan::reserve`](crate::plan::Plan::reserve).
///
/// Source: Hansen and Salamon 1990, doi:10.1109/34.58871; Lakshminarayanan et al. 2017, arXiv:1612.01474.
///
/// ```
/// use candle_ensemble::{plan::Settings, strategy::MultiRun};
///
/// let ten_seeds = MultiRun::new(10);
/// let three_rates = MultiRun::new(3)
///     .settings([1e-2, 1e-3, 1e-4].map(|lr| Settings::new().with("learning_rate", lr)));
/// let growing = MultiRun::new(4).settings_by(|run| Settings::new().with("epochs", 10 + 5 * run as i64));
/// ```
pub type MultiRun = Strategy<AllRows>;

impl MultiRun {
    /// This many runs for each architecture.
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
