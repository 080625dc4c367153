//! Random parts of the features.
use crate::{
    registry::{Argument, Entry},
    resample::{AllRows, Amount, Subspace},
    strategy::{
        registry::{boxed, RUNS, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Random subspaces: trains each run on all rows, but only on a random subset of the features.
///
/// ```text
/// run i trains on the columns Fᵢ of all rows, a uniform draw of round(share · D) of the D columns
/// ```
///
/// The inputs must be one tensor `(N, D)`. Prediction selects each member's columns itself, so callers always
/// give all `D`. The network's input layer is as wide as the subset: its constructor reads the setting
/// `"inputs"`, the number of columns, which each run has.
///
/// Use it for tables with many features of which some can stand in for others, so that members differ by what
/// they know. Do not use it when few features carry the signal: most members miss them. Nothing is held out;
/// for held-out rows see [`Session::reserve`](crate::Session::reserve) and
/// [`RandomPatches`](crate::strategy::RandomPatches), or wrap [`Subspace`] around another resampling.
///
/// Cost: `runs` times the epochs of one network, a little less because its input layer is narrower.
///
/// # Errors
/// Planning fails when `runs` is 0, when the share is not above 0 and at most 1, or when the inputs are not
/// one tensor `(N, D)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::*, train::Trainer, Session};
/// use candle_nn::linear;
///
/// let x = Tensor::arange(0f32, 120., &Device::Cpu)?.affine(0.01, -0.6)?.reshape((20, 6))?;
/// let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
/// let data = TensorDataset::classification(x.clone(), &y)?;
/// let trainer = Trainer::reading(&["inputs"], |settings, vb| {
///     linear(settings.count("inputs")?.unwrap_or(6), 2, vb)
/// });
/// let trainer = trainer.epochs(2);
///
/// let pool = Session::new(&trainer, &data).fit(&RandomSubspace::new(4, 0.5), 42)?;
/// assert!(pool.members().iter().all(|m| m.record.features.as_ref().is_some_and(|f| f.len() == 3)));
/// assert_eq!(pool.combine(&Mean)?.predict(&x)?.dims(), [20]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Ho 1998, doi:10.1109/34.709601.
pub type RandomSubspace = Strategy<Subspace<AllRows>>;

impl RandomSubspace {
    /// Lays out `runs` runs for each architecture, each on this share of the features: above 0, at most 1 (Ho
    /// uses half), rounded, at least one feature. This is scikit-learn's `max_features`.
    #[must_use]
    pub fn new(runs: usize, share: f64) -> Self {
        Self::of(Subspace { rows: AllRows { runs }, features: Amount::Share(share) })
    }

    /// Sets the number of features in place of the share.
    #[must_use]
    pub fn features(mut self, count: usize) -> Self {
        self.resample.features = Amount::Count(count);
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> =
    Entry::new("random-subspace", "RandomSubspace", "Every member on some of the features", |arguments| {
        boxed(RandomSubspace::new(arguments.get("runs")?, arguments.get("features")?), arguments)
    })
    .with_aliases(&["subspace"])
    .with_arguments(&[RUNS, Argument::new("features", "0.5", "Share of the features"), VALIDATION])
    .with_source("Ho 1998, doi:10.1109/34.709601");
