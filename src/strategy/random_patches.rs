//! Random parts of the rows and of the features.
use crate::{
    registry::{Argument, Entry},
    resample::{Amount, ResampleUnit, Subsample, Subspace},
    strategy::{
        registry::{boxed, unit, RUNS, UNIT, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Random patches: trains each run on a random part of the rows and of the features, both drawn without
/// replacement; the other rows are held out for its members.
///
/// ```text
/// run i trains on the columns Fᵢ of the rows Rᵢ;  |Rᵢ| = round(rows · N), |Fᵢ| = round(features · D)
/// ```
///
/// The inputs must be one tensor `(N, D)`. Prediction selects each member's columns itself, so callers always
/// give all `D`. The network's constructor reads the setting `"inputs"`, the number of columns, as with
/// [`RandomSubspace`](crate::strategy::RandomSubspace).
///
/// Use it where `RandomSubspace` fits and there are many rows: each member is cheap, and there are held-out
/// predictions. Do not use it when few features carry the signal: most members miss them.
///
/// Cost: `runs` times the epochs of one network, each over the rows of its patch.
///
/// # Errors
/// Planning fails when `runs` is 0, when a share is not above 0, when no row is left to hold out, when there
/// are fewer features than are drawn, or when the inputs are not one tensor `(N, D)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, strategy::*, Seed};
///
/// let x = Tensor::arange(0f32, 120., &Device::Cpu)?.reshape((20, 6))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// let plan = RandomPatches::new(8, 0.25, 0.5).plan(&data, &["mlp".into()], Seed::from(42))?;
/// assert_eq!(plan.runs[0].train.len()?, 5);
/// assert_eq!(plan.runs[0].features.as_ref().map(Vec::len), Some(3));
/// assert_eq!(plan.runs[0].settings.count("inputs")?, Some(3));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Louppe and Geurts 2012, doi:10.1007/978-3-642-33460-3_28.
pub type RandomPatches = Strategy<Subspace<Subsample>>;

impl RandomPatches {
    /// Lays out `runs` runs for each architecture, each on these shares of the rows and of the features. The
    /// shares are those of [`RandomSplit::new`](crate::strategy::RandomSplit::new) and
    /// [`RandomSubspace::new`](crate::strategy::RandomSubspace::new).
    #[must_use]
    pub fn new(runs: usize, rows: f64, features: f64) -> Self {
        let rows = Subsample { runs, amount: Amount::Share(rows), unit: None };
        Self::of(Subspace { rows, features: Amount::Share(features) })
    }

    /// Sets the number of rows (of groups, where groups are drawn) in place of the share.
    #[must_use]
    pub fn rows(mut self, count: usize) -> Self {
        self.resample.rows.amount = Amount::Count(count);
        self
    }

    /// Sets the number of features in place of the share.
    #[must_use]
    pub fn features(mut self, count: usize) -> Self {
        self.resample.features = Amount::Count(count);
        self
    }

    /// Sets what is drawn: rows, rows within each stratum, or groups. By default the data decides
    /// ([`ResampleUnit::for_data`]).
    #[must_use]
    pub fn unit(mut self, unit: ResampleUnit) -> Self {
        self.resample.rows.unit = Some(unit);
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
        patches.resample.rows.unit = unit(arguments)?;
        boxed(patches, arguments)
    },
)
.with_arguments(&[
    RUNS,
    Argument::new("size", "0.5", "Share of the rows"),
    Argument::new("features", "0.5", "Share of the features"),
    UNIT,
    VALIDATION,
])
.with_source("Louppe and Geurts 2012, doi:10.1007/978-3-642-33460-3_28");
