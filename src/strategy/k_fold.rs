//! Cross-validation committees.
use crate::{
    registry::{Argument, Entry},
    resample::{Folds, ResampleUnit},
    strategy::{
        registry::{boxed, by, BY, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// K-fold: each run holds one of `k` folds out and trains on the others; the `k` models of one repeat predict with
/// one prediction, their mean.
///
/// Choose it when every row should have exactly one held-out prediction of each prediction: to fit a rule that learns
/// (stacking) on all rows, or for an estimate in which all rows count alike. Folds suit the data unless told
/// otherwise: whole groups where it has them, else stratified where it has strata, else plain; [`Folds`] tells
/// how rows are dealt. `KFold::new(rows)` is leave-one-out. Cost: `k × repeats` times the epochs of one network
/// on `(k − 1) / k` of the rows, for each architecture; and `k × repeats` forward passes to predict, or `repeats`
/// with [`refit`](KFold::refit).
///
/// Source: Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x; as an ensemble Parmanto, Munro and Doyle 1996,
/// doi:10.1080/095400996116848.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, plan::*, resample::ResampleUnit, strategy::*, Seed};
///
/// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
///
/// let builder = KFold::new(5).repeats(3).by(ResampleUnit::Rows);
/// let plan = builder.plan(&data, &["mlp".into()], Seed::from(42))?;
/// assert_eq!(plan.runs.len(), 15);
/// assert_eq!(plan.runs[0].train.len(), 8);
/// assert_eq!(plan.runs.iter().map(|run| run.slot).max(), Some(2)); // three predictions
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub type KFold = Strategy<Folds>;

impl KFold {
    /// This many folds, at least 2 and at most as many as rows (or groups), once.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self::of(Folds { k, repeats: 1, by: None, refit: false })
    }

    /// Repeats all of it with new folds, each repeat with a prediction of its own; once, if not set.
    #[must_use]
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.resample.repeats = repeats;
        self
    }

    /// Ends each repeat with a run on all rows. Held-out predictions are the fold models' as before; at inference the
    /// refit network alone predicts for the prediction, as in scikit-learn's stacking: one forward pass in place of `k`, a
    /// network fitted on all rows in place of a mean of `k` on fewer. If not set, a prediction is the mean of its fold
    /// models at inference too, as in AutoGluon: a mean varies less, and it is what the rule was fitted on.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::Mean, data::TensorDataset, plan::*, strategy::*, train::Trainer, Session};
    ///
    /// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(1);
    /// let pool = Session::new(&trainer, &data).fit(&KFold::new(5).refit(), 42)?;
    /// assert_eq!(pool.members().len(), 6);
    /// assert_eq!(pool.combine(&Mean)?.members().len(), 1);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn refit(mut self) -> Self {
        self.resample.refit = true;
        self
    }

    /// What is dealt to the folds; if not set, what suits the data ([`ResampleUnit::suiting`]).
    #[must_use]
    pub fn by(mut self, by: ResampleUnit) -> Self {
        self.resample.by = Some(by);
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> =
    Entry::new("k-fold", "KFold", "Every member on all folds of the rows but one", |arguments| {
        let (k, repeats) = (arguments.get("k")?, arguments.get("repeats")?);
        let folds = Folds { k, repeats, by: by(arguments)?, refit: arguments.get("refit")? };
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
        BY,
        VALIDATION,
    ])
    .with_source("Parmanto, Munro and Doyle 1996, doi:10.1080/095400996116848");
