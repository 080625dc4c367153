//! Random parts of the rows.
use crate::{
    registry::{Argument, Entry},
    resample::{Amount, ResampleUnit, Subsample},
    strategy::{
        registry::{boxed, by, BY, RUNS, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Random splits: every run trains on a random part of the rows, drawn without replacement; the rest is held out
/// for this member.
///
/// Choose it in place of bagging when copies of rows get in the way (weights, batch-norm), or when you want to
/// say how much each member sees: half of the rows give about what bagging gives, for half the time; more rows
/// give stronger and more similar members. Groups stay whole where the data has them, else proportions of strata
/// are kept where it has strata. Cost: `runs` times the epochs of one network, each over the rows of the part.
///
/// Source: Picard and Cook 1984, doi:10.1080/01621459.1984.10478083; as an ensemble ("subagging") Bühlmann and Yu
/// 2002, doi:10.1214/aos/1031689014.
///
/// ```
/// use candle_ensemble::{resample::ResampleUnit, strategy::RandomSplit};
///
/// let halves = RandomSplit::new(20, 0.5);
/// let plain = RandomSplit::new(20, 0.5).by(ResampleUnit::Rows); // even where there are classes
/// let count = RandomSplit::new(20, 0.5).rows(4500);   // this many to train on
/// ```
pub type RandomSplit = Strategy<Subsample>;

impl RandomSplit {
    /// This many splits for each architecture, with this share of the rows to train on, above 0 and so that at
    /// least one row is held out (of the groups, where groups are drawn). scikit-learn's `train_size`; rounded.
    #[must_use]
    pub fn new(runs: usize, share: f64) -> Self {
        Self::of(Subsample { runs, amount: Amount::Share(share), by: None })
    }

    /// A number of rows (of groups, where groups are drawn) to train on, in place of the share.
    #[must_use]
    pub fn rows(mut self, count: usize) -> Self {
        self.resample.amount = Amount::Count(count);
        self
    }

    /// What is drawn; if not set, what suits the data ([`ResampleUnit::suiting`]).
    #[must_use]
    pub fn by(mut self, by: ResampleUnit) -> Self {
        self.resample.by = Some(by);
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> = Entry::new(
    "random-split",
    "RandomSplit",
    "Every member on rows drawn without replacement",
    |arguments| {
        let mut split = RandomSplit::new(arguments.get("runs")?, arguments.get("size")?);
        split.resample.by = by(arguments)?;
        boxed(split, arguments)
    },
)
.with_aliases(&["pasting"])
.with_arguments(&[RUNS, Argument::new("size", "0.5", "Share of the rows"), BY, VALIDATION]);
