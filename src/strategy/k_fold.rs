//! Cross-validation committees.
use crate::{
    registry::{Argument, Entry},
    resample::{Folds, ResampleUnit},
    strategy::{
        registry::{boxed, unit, UNIT, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// K-fold: trains each of `k` runs on all folds but one and holds that fold out. The `k` models of one repeat
/// share a slot, whose prediction is their mean.
///
/// ```text
/// run i of a repeat trains on all rows whose fold is not i
/// held-out prediction of a row = prediction of the run that holds out its fold
/// ```
///
/// Folds are made of whole groups where the data has groups, are stratified where it has strata, and are
/// plain otherwise; [`unit`](Self::unit) overrides that. [`Folds`] explains how rows are assigned.
///
/// Use it when every row must have exactly one held-out prediction from each slot: to fit a combiner that
/// learns (stacking) on all rows, or for an estimate in which all rows count alike. `KFold::new(rows)` is
/// leave-one-out. Do not use it for rows in order of time
/// ([`ForwardChaining`](crate::strategy::ForwardChaining)), or when you need many diverse members from few
/// trainings: the folds of one repeat share most of their rows.
///
/// Cost: for each architecture, `k × repeats` times the epochs of one network on `(k − 1) / k` of the rows. A
/// prediction takes `k × repeats` forward passes, or `repeats` with [`refit`](KFold::refit).
///
/// # Errors
/// Planning fails when `k` is below 2 or above the number of rows (of groups, where groups are assigned),
/// when `repeats` is 0, or when the data lacks the unit that is set.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, resample::ResampleUnit, strategy::*, Seed};
///
/// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
///
/// let builder = KFold::new(5).repeats(3).unit(ResampleUnit::Rows);
/// let plan = builder.plan(&data, &["mlp".into()], Seed::from(42))?;
/// assert_eq!(plan.runs.len(), 15);
/// assert_eq!(plan.runs[0].train.len()?, 8);
/// assert_eq!(plan.runs.iter().map(|run| run.slot).max(), Some(2)); // three slots, one for each repeat
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x; as an ensemble Parmanto, Munro and Doyle 1996,
/// doi:10.1080/095400996116848.
pub type KFold = Strategy<Folds>;

impl KFold {
    /// Makes `k` folds, at least 2 and at most as many as there are rows (or groups), once.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self::of(Folds { k, repeats: 1, unit: None, refit: false })
    }

    /// Sets how often the whole is repeated with new folds, each repeat with a slot of its own; the default
    /// is 1.
    #[must_use]
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.resample.repeats = repeats;
        self
    }

    /// Sets whether each repeat ends with a run on all rows; the default is `false`.
    ///
    /// Held-out predictions come from the fold models either way. With `true`, the refit network alone
    /// predicts for its slot at inference, as in scikit-learn's stacking: one forward pass instead of `k`,
    /// and a network fitted on all rows. With `false`, a slot's prediction is the mean of its fold models at
    /// inference too, as in AutoGluon: a mean varies less, and the combiner was fitted on predictions of
    /// these same models.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::*, train::Trainer, Session};
    ///
    /// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(1);
    /// let pool = Session::new(&trainer, &data).fit(&KFold::new(5).refit(true), 42)?;
    /// assert_eq!(pool.members().len(), 6);
    /// assert_eq!(pool.combine(&Mean)?.members().len(), 1);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn refit(mut self, refit: bool) -> Self {
        self.resample.refit = refit;
        self
    }

    /// Sets what is assigned to the folds: rows, rows within each stratum, or groups. By default the data
    /// decides ([`ResampleUnit::for_data`]).
    #[must_use]
    pub fn unit(mut self, unit: ResampleUnit) -> Self {
        self.resample.unit = Some(unit);
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> =
    Entry::new("k-fold", "KFold", "Every member on all folds of the rows but one", |arguments| {
        let (k, repeats) = (arguments.get("k")?, arguments.get("repeats")?);
        let folds = Folds { k, repeats, unit: unit(arguments)?, refit: arguments.get("refit")? };
        boxed(KFold::of(folds), arguments)
    })
    .with_arguments(&[
        Argument::new("k", "5", "Folds"),
        Argument::new("repeats", "1", "How often the rows are dealt to folds"),
        Argument::new(
            "refit",
            "false",
            "Whether a network fitted on all rows predicts in the place of its folds",
        ),
        UNIT,
        VALIDATION,
    ])
    .with_source("Parmanto, Munro and Doyle 1996, doi:10.1080/095400996116848");
