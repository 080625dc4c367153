//! The traits of meta-learners.
use crate::{
    combine::{
        stack::{centred::Centred, moments::Moments},
        Fit,
    },
    data::Task,
    HeldOut, Result, Rows, Seed,
};
use candle_core::{Result as CandleResult, Tensor};
use std::fmt::Debug;

/// What a meta-learner is fitted on: the meta-features of the held-out rows, with targets and weights.
#[derive(Debug)]
pub struct MetaDataset<'a> {
    features: Tensor,
    held_out: &'a HeldOut,
}

impl<'a> MetaDataset<'a> {
    pub(crate) fn new(features: Tensor, held_out: &'a HeldOut) -> Self {
        Self { features, held_out }
    }

    /// The meta-features, `(R, F)`: rows, meta-features. All are finite.
    #[must_use]
    pub fn features(&self) -> &Tensor {
        &self.features
    }

    /// The targets of the rows: `(R,)` class ids, or `(R,)` or `(R, K)` values.
    #[must_use]
    pub fn targets(&self) -> &Tensor {
        self.held_out.targets()
    }

    /// The task. Its width is the number of columns that the model must predict.
    #[must_use]
    pub fn task(&self) -> Task {
        self.held_out.predictions().task()
    }

    /// The weight of each row as it was given; 1 for each row when there are no weights. A row of weight 0
    /// must not change the model.
    ///
    /// # Errors
    /// When candle fails.
    pub fn weights(&self) -> Result<Vec<f64>> {
        self.held_out.weights_or_ones()
    }

    /// The seed of the held-out predictions ([`HeldOut::seed`]), for meta-learners that draw at random and
    /// were given no seed of their own. Derive a sub-seed from it with [`Seed::child`].
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.held_out.seed()
    }

    /// Deals the rows into `k` folds, given as positions, for a meta-learner that chooses a setting by
    /// cross-validation. The folds are those of [`HeldOut::folds`]; there are fewer than `k` when there are
    /// fewer rows or groups.
    ///
    /// # Errors
    /// When there are fewer than two rows or groups.
    pub fn folds(&self, k: usize, seed: impl Into<Seed>) -> Result<Vec<Rows>> {
        self.held_out.folds(k.min(self.held_out.units()), seed)
    }

    /// The targets as columns: for each class 1 where a row has it and 0 elsewhere, or the values of each
    /// output.
    pub(crate) fn target_columns(&self) -> Result<Vec<Vec<f64>>> {
        self.held_out.target_columns()
    }
}

/// The means and covariances of meta-features and targets, weighted by the rows: all that least squares depends on.
///
/// They are added up chunk by chunk where the predictions do not fit in memory
/// ([`Combiner::fit_on_disk`](crate::combine::Combiner::fit_on_disk)).
#[derive(Debug)]
pub struct MetaMoments {
    centred: Centred,
    task: Task,
}

impl MetaMoments {
    pub(crate) fn new(moments: &Moments, task: Task) -> Self {
        Self { centred: Centred::Moments(moments.centred()), task }
    }

    /// The task. Its width is the number of columns that the model must predict.
    #[must_use]
    pub fn task(&self) -> Task {
        self.task
    }

    pub(super) fn centred(&self) -> &Centred {
        &self.centred
    }
}

/// A meta-learner: it is fitted on meta-features and targets, and gives a [`MetaModel`]. A
/// [`Stack`](crate::combine::stack::Stack) makes a combiner of it.
///
/// ```
/// use candle_core::{Device, Result as CandleResult, Tensor};
/// use candle_ensemble::{combine::{stack::{*, Stack}, FittedCombiner}, data::Task, predictions::Predictions, HeldOut, Result};
///
/// /// Predicts the one meta-feature that is nearest to the targets.
/// #[derive(Debug)]
/// struct Nearest;
/// #[derive(Debug)]
/// struct Column(usize);
///
/// impl MetaLearner for Nearest {
///     type Model = Column;
///     fn fit(&self, dataset: &MetaDataset<'_>) -> Result<Column> {
///         let errors = dataset.features().broadcast_sub(dataset.targets())?.sqr()?.mean(0)?;
///         Ok(Column(errors.argmin(0)?.to_scalar::<u32>()? as usize))
///     }
/// }
/// impl MetaModel for Column {
///     fn name(&self) -> String {
///         "nearest".into()
///     }
///     fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
///         features.narrow(1, self.0, 1)
///     }
/// }
///
/// let predicted = Tensor::new(&[[[1f64], [2.], [3.]], [[9.], [8.], [7.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let targets = Tensor::new(&[[8f64], [8.], [8.]], &Device::Cpu)?;
/// let held_out = HeldOut::from_predictions(&predictions, &targets)?;
/// let fitted = candle_ensemble::combine::Combiner::fit(&Stack::new(Nearest), &held_out)?;
/// assert_eq!(fitted.combine(&predictions)?.to_vec2::<f64>()?, [[9.], [8.], [7.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait MetaLearner: Debug {
    /// The fitted model. It must implement serde's traits if ensembles with it are to be saved.
    type Model: MetaModel;

    /// Fits the model. The same rows with the same seed must give the same model.
    ///
    /// # Errors
    /// When a parameter is out of range, or the rows do not determine a model.
    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<Self::Model>;

    /// Fits the model on the means and covariances of the rows alone, if that is all that it depends on; `None` otherwise,
    /// which is the default. The meta-learners of this crate that are least squares with a fixed penalty, or without one, do
    /// it, so a stack of them can be fitted on predictions that do not fit in memory. `moments` makes the moments, which takes
    /// a pass over the predictions.
    ///
    /// # Errors
    /// That of `moments`; as [`fit`](Self::fit).
    fn fit_moments(&self, moments: &mut dyn FnMut() -> Result<MetaMoments>) -> Result<Option<Self::Model>> {
        let _ = moments;
        Ok(None)
    }
}

/// A fitted meta-learner: `(B, F) -> (B, C)`.
pub trait MetaModel: Debug {
    /// The name in tables and files; a stack of it is called `{name}-stack`.
    fn name(&self) -> String;

    /// The objective at the end of the fit and the number of iterations, if the fit had an objective.
    fn fitted(&self) -> Option<&Fit> {
        None
    }

    /// Checks that the model goes with this number of meta-features and this task, so that
    /// [`predict`](Self::predict) cannot panic. It is called after a model is read from a file, because a
    /// file may hold any values that have the right types. The default checks nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when a field is out of range or does not agree with another
    /// one.
    fn check(&self, features: usize, task: Task) -> Result<()> {
        let _ = (features, task);
        Ok(())
    }

    /// Predicts the probabilities of the classes or the values, `(B, C)`, from the meta-features, `(B, F)`. A
    /// row with NaN gives NaN.
    ///
    /// # Errors
    /// When the number of features is not that of the fit.
    fn predict(&self, features: &Tensor) -> CandleResult<Tensor>;
}
