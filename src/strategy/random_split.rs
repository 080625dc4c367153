//! Random parts of the rows.
use crate::{
    registry::{Argument, Entry},
    resample::{Amount, ResampleUnit, Subsample},
    strategy::{
        registry::{boxed, unit, RUNS, UNIT, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Random splits: trains each run on a random part of the rows, drawn without replacement; the other rows are
/// held out for its members.
///
/// ```text
/// run i trains on Rᵢ, a uniform draw of n = round(share · N) distinct rows;  held out: the other N − n
/// ```
///
/// Groups stay whole where the data has groups; otherwise the proportions of strata are kept where it has
/// strata.
///
/// Use it instead of [`Bagging`](crate::strategy::Bagging) when copies of rows disturb training (weights,
/// batch norm), or when you want to choose how much each member sees: half of the rows give about what
/// bagging gives in half the time, and more rows give stronger and more similar members. Do not use it when
/// each row must be held out equally often: [`KFold`](crate::strategy::KFold) ensures that.
///
/// Cost: `runs` times the epochs of one network, each over the rows of its part.
///
/// # Errors
/// Planning fails when `runs` is 0, when the share is not above 0, when no row is left to hold out, or when
/// the data lacks the unit that is set.
///
/// ```
/// use candle_ensemble::{resample::ResampleUnit, strategy::RandomSplit};
///
/// let halves = RandomSplit::new(20, 0.5);
/// let plain = RandomSplit::new(20, 0.5).unit(ResampleUnit::Rows); // not stratified, even where there are classes
/// let count = RandomSplit::new(20, 0.5).rows(4500); // 4500 rows to train on
/// ```
///
/// Source: Picard and Cook 1984, doi:10.1080/01621459.1984.10478083; as an ensemble ("subagging") Bühlmann
/// and Yu 2002, doi:10.1214/aos/1031689014.
pub type RandomSplit = Strategy<Subsample>;

impl RandomSplit {
    /// Lays out `runs` splits for each architecture, each with this share of the rows (of the groups, where
    /// groups are drawn) to train on: above 0, rounded, and such that at least one row is held out. This is
    /// scikit-learn's `train_size`.
    #[must_use]
    pub fn new(runs: usize, share: f64) -> Self {
        Self::of(Subsample { runs, amount: Amount::Share(share), unit: None })
    }

    /// Sets the number of rows (of groups, where groups are drawn) to train on, in place of the share.
    #[must_use]
    pub fn rows(mut self, count: usize) -> Self {
        self.resample.amount = Amount::Count(count);
        self
    }

    /// Sets what is drawn: rows, rows within each stratum, or groups. By default the data decides
    /// ([`ResampleUnit::for_data`]).
    #[must_use]
    pub fn unit(mut self, unit: ResampleUnit) -> Self {
        self.resample.unit = Some(unit);
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> = Entry::new(
    "random-split",
    "RandomSplit",
    "Every member on rows drawn without replacement",
    |arguments| {
        let mut split = RandomSplit::new(arguments.get("runs")?, arguments.get("size")?);
        split.resample.unit = unit(arguments)?;
        boxed(split, arguments)
    },
)
.with_aliases(&["pasting"])
.with_arguments(&[RUNS, Argument::new("size", "0.5", "Share of the rows"), UNIT, VALIDATION]);
