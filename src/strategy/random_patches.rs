//! Random parts of the rows and of the features.
use crate::{
    registry::{Argument, Entry},
    resample::{Amount, ResampleUnit, Subsample, Subspace},
    strategy::{
        registry::{boxed, by, BY, RUNS, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Random patches: every run on a random part of the rows and a random part of the features, both drawn without
/// replacement; the other rows are held out for this member.
///
/// Choose it where [`RandomSubspace`](crate::strategy::RandomSubspace) suits and rows are many: each member is cheap, and
/// there are held-out predictions. The inputs must be one tensor `(N, D)`, and the network's constructor reads
/// the setting `"inputs"`, as there. Cost: `runs` times the epochs of one network, each over the rows of the patch.
///
/// Source: Louppe and Geurts 2012, doi:10.1007/978-3-642-33460-3_28.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, plan::*, strategy::*, Seed};
///
/// let x = Tensor::arange(0f32, 120., &Device::Cpu)?.reshape((20, 6))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// let plan = RandomPatches::new(8, 0.25, 0.5).plan(&data, &["mlp".into()], Seed::from(42))?;
/// assert_eq!(plan.runs[0].train.len(), 5);
/// assert_eq!(plan.runs[0].features.as_ref().map(Vec::len), Some(3));
/// assert_eq!(plan.runs[0].settings.count("inputs")?, Some(3));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub type RandomPatches = Strategy<Subspace<Subsample>>;

impl RandomPatches {
    /// This many runs for each architecture, each on these shares of the rows and of the features; as for
    /// [`RandomSplit::new`](crate::strategy::RandomSplit::new) and [`RandomSubspace::new`](crate::strategy::RandomSubspace::new).
    #[must_use]
    pub fn new(runs: usize, rows: f64, features: f64) -> Self {
        let rows = Subsample { runs, amount: Amount::Share(rows), by: None };
        Self::of(Subspace { rows, features: Amount::Share(features) })
    }

    /// A number of rows (of groups, where groups are drawn), in place of the share.
    #[must_use]
    pub fn rows(mut self, count: usize) -> Self {
        self.resample.rows.amount = Amount::Count(count);
        self
    }

    /// A number of features, in place of the share.
    #[must_use]
    pub fn features(mut self, count: usize) -> Self {
        self.resample.features = Amount::Count(count);
        self
    }

    /// How rows are drawn; if not set, as it suits the data ([`ResampleUnit::suiting`]).
    #[must_use]
    pub fn by(mut self, by: ResampleUnit) -> Self {
        self.resample.rows.by = Some(by);
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> = Entry::new(
    "random-patches",
    "RandomPatches",
    "Every member on some of the rows and features",
    |arguments| {
        let (rows, features) = (arguments.get("size")?, arguments.get("features")?);
        let mut patches = RandomPatches::new(arguments.get("runs")?, rows, features);
        patches.resample.rows.by = by(arguments)?;
        boxed(patches, arguments)
    },
)
.with_arguments(&[
    RUNS,
    Argument::new("size", "0.5", "Share of the rows"),
    Argument::new("features", "0.5", "Share of the features"),
    BY,
    VALIDATION,
])
.with_source("Louppe and Geurts 2012, doi:10.1007/978-3-642-33460-3_28");
