//! What a meta-learner is.
use crate::{combine::Fit, data::Task, HeldOut, Result, Rows, Seed};
use candle_core::{Result as CandleResult, Tensor};
use std::fmt::Debug;

/// What a meta-learner learns from: meta-features of held-out rows, with the answers.
#[derive(Debug)]
pub struct MetaDataset<'a> {
    features: Tensor,
    held_out: &'a HeldOut,
}

impl<'a> MetaDataset<'a> {
    pub(crate) fn new(features: Tensor, held_out: &'a HeldOut) -> Self {
        Self { features, held_out }
    }

    /// `(R, F)`: rows, meta-features. All are finite.
    #[must_use]
    pub fn features(&self) -> &Tensor {
        &self.features
    }

    /// `(R,)` class ids, or `(R,)` or `(R, K)` values.
    #[must_use]
    pub fn targets(&self) -> &Tensor {
        self.held_out.targets()
    }

    /// What is predicted: into how many columns.
    #[must_use]
    pub fn task(&self) -> Task {
        self.held_out.predictions().task()
    }

    /// The weight of each row as it was given, 1 where none was. Leave rows of weight 0 out of account altogether.
    ///
    /// # Errors
    /// When candle fails.
    pub fn weights(&self) -> Result<Vec<f64>> {
        self.held_out.every_weight()
    }

    /// `k` folds of the rows, as positions, for a learner that has something to choose: groups whole, classes in
    /// proportion; fewer than `k` where there are fewer rows or groups.
    ///
    /// # Errors
    /// When there are fewer than two rows or groups.
    pub fn folds(&self, k: usize, seed: Seed) -> Result<Vec<Rows>> {
        self.held_out.folds(k.min(self.held_out.units()), seed)
    }

    /// The answers as columns: the indicator of each class, or each output.
    pub(crate) fn answers(&self) -> Result<Vec<Vec<f64>>> {
        self.held_out.target_table()
    }
}

/// Learns to turn meta-features into predictions; what a [`Stack`](crate::combine::stack::Stack) is built on.
///
/// ```
/// use candle_core::{Device, Result as CandleResult, Tensor};
/// use candle_ensemble::{combine::{stack::{*, Stack}, FittedCombiner}, data::Task, predictions::Predictions, HeldOut, Result};
///
/// /// Believes the one meta-feature that is nearest to the answers.
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
/// let answers = Tensor::new(&[[8f64], [8.], [8.]], &Device::Cpu)?;
/// let held_out = HeldOut::from_predictions(&predictions, &answers)?;
/// let fitted = candle_ensemble::combine::Combiner::fit(&Stack::new(Nearest), &held_out)?;
/// assert_eq!(fitted.combine(&predictions)?.to_vec2::<f64>()?, [[9.], [8.], [7.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait MetaLearner: Debug {
    /// What it comes to. Serializable (serde), if ensembles with it are to be saved.
    type Model: MetaModel;

    /// Learns. A pure function of its arguments: the same rows give the same model.
    ///
    /// # Errors
    /// When a parameter is out of range, or the rows are too few or of one class.
    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<Self::Model>;
}

/// A fitted meta-learner: `(B, F) -> (B, C)`.
pub trait MetaModel: Debug {
    /// What tables and files call it; the rule is called `{name}-stack`.
    fn name(&self) -> String;

    /// How the fit ended, where there was one to find.
    fn fitted(&self) -> Option<&Fit> {
        None
    }

    /// `(B, F)` meta-features into `(B, C)`: probabilities of the classes, or values. A row with NaN gives NaN.
    ///
    /// # Errors
    /// When the features are not those of the fit.
    fn predict(&self, features: &Tensor) -> CandleResult<Tensor>;
}
