//! Meta-learners: rules that are trained on what the slots say.
//!
//! A [`Stack`] arranges the predictions of the slots for each held-out row as one row of numbers ([`MetaFeatures`]) and
//! gives the table to a [`MetaLearner`]: [`Linear`], [`Ridge`], [`ElasticNet`], [`LinearRegression`], [`Tweedie`],
//! [`Logistic`], [`NeuralNetwork`], any model of linfa ([`Linfa`]), or any type of your own. [`MultiLayerStack`] fits one
//! combiner on the outputs of several others.
mod affine;
mod elastic_net;
mod features;
mod learner;
mod linear;
mod linear_regression;
mod linfa_models;
mod logistic;
mod multi_layer;
mod network;
mod ridge;
mod search;
mod sums;
mod tweedie;

pub use affine::AffineModel;
pub use elastic_net::ElasticNet;
pub use features::MetaFeatures;
pub use learner::{MetaDataset, MetaLearner, MetaModel};
pub use linear::Linear;
pub use linear_regression::LinearRegression;
pub use linfa_models::{ByLabel, ByValue, Linfa, LinfaModel, LinfaTarget, OneVsRest, Reading};
pub use logistic::{Logistic, LogisticModel};
pub use multi_layer::{CombinerSet, FittedMultiLayerStack, FittedSet, InferenceMode, MultiLayerStack};
pub use network::{Architecture, Mlp, NetworkModel, NeuralNetwork};
pub use ridge::Ridge;
pub use tweedie::{Link, Tweedie, TweedieModel};

use crate::{
    combine::{Combiner, Fit, FittedCombiner},
    data::Task,
    predictions::Predictions,
    Error, HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use features::table;
use serde::{Deserialize, Serialize};

/// Stacking: a meta-learner fitted on what the slots predict for rows that they have not seen.
///
/// Every row with at least one prediction counts; a prediction that is missing is stood in for by the mean of those that are
/// there ([`Predictions::filled`]), in the fit and at inference. A slot of several members (the folds of
/// [`KFold`](crate::strategy::KFold)) predicts as their mean, or as one network fitted on all rows where the builder
/// was told to [`refit`](crate::strategy::KFold::refit). Weights of rows are honoured. The columns are those of
/// scikit-learn's `StackingClassifier` and `StackingRegressor`: slot by slot, the first of two classes dropped, all
/// classes kept where there are more, the inputs last.
///
/// Source: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1; Breiman 1996, doi:10.1007/BF00117832; for classes
/// Ting and Witten 1999, doi:10.1613/jair.594.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::stack::{Logistic, Stack}, data::TensorDataset, network::*, plan::*, strategy::*, train::*, Session};
/// # let x = Tensor::arange(0f32, 160., &Device::Cpu)?.affine(0.0125, -1.)?.reshape((80, 2))?;
/// # let y = Tensor::from_iter((0..80u32).map(|i| i / 40), &Device::Cpu)?;
/// # let data = TensorDataset::classification(x.clone(), &y)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
/// let pool = Session::new(&trainer, &data).fit(&KFold::new(5).repeats(3), 42)?;
/// let ensemble = pool.combine(&Stack::new(Logistic::new()))?;
/// assert_eq!(ensemble.predict_proba(&x)?.dims(), [80, 2]);
/// assert_eq!(ensemble.fitted().columns().len(), 3); // one a prediction: the other class says nothing new
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack<M> {
    learner: M,
    features: MetaFeatures,
    inputs: bool,
}

impl<M> Stack<M> {
    /// On probabilities or values, without the inputs.
    pub fn new(learner: M) -> Self {
        Self { learner, features: MetaFeatures::default(), inputs: false }
    }

    /// What the meta-learner sees of each prediction; for values there are only values to see.
    #[must_use]
    pub fn features(mut self, features: MetaFeatures) -> Self {
        self.features = features;
        self
    }

    /// Whether the meta-learner sees the rows' inputs too, as they are, after everything else; it does not, if not
    /// set.
    #[must_use]
    pub fn pass_through(mut self, inputs: bool) -> Self {
        self.inputs = inputs;
        self
    }
}

/// A [`Stack`], fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedStack<P> {
    features: MetaFeatures,
    names: Vec<String>,
    task: Task,
    /// How many numbers a row's inputs are, where the model sees them.
    inputs: Option<usize>,
    model: P,
}

impl<P> FittedStack<P> {
    /// What the meta-learner came to.
    #[must_use]
    pub fn model(&self) -> &P {
        &self.model
    }

    /// What each meta-feature is, in the order of the model's coefficients: `member 3, class 2`, …, `input 0`, ….
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let (first, each) = self.features.outputs(self.task);
        let (what, one) = match self.task {
            Task::Classification { .. } => ("class", false),
            Task::Regression { outputs } => ("output", outputs == 1),
        };
        let of_slot = |name: &String| {
            let named = |k: usize| if one { name.clone() } else { format!("{name}, {what} {}", first + k) };
            (0..each).map(named).collect::<Vec<_>>()
        };
        let slots = self.names.iter().flat_map(of_slot);
        slots.chain((0..self.inputs.unwrap_or(0)).map(|i| format!("input {i}"))).collect()
    }
}

impl<M: MetaLearner> Combiner for Stack<M> {
    type Fitted = FittedStack<M::Model>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        self.features.check(held_out.predictions().task())?;
        let inputs = match (self.inputs, held_out.predictions().inputs()) {
            (false, _) => None,
            (true, Some(inputs)) => Some(inputs.dim(1)?),
            (true, None) => {
                let must = "there for a stack that passes them through (HeldOut::with_inputs)";
                return Err(Error::invalid("the inputs of the held-out rows", must, "missing"));
            }
        };
        let features = table(held_out.predictions(), self.features, self.inputs)?.detach();
        let model = self.learner.fit(&MetaDataset::new(features, &held_out))?;
        let (names, task) = (held_out.names().to_vec(), held_out.predictions().task());
        Ok(FittedStack { features: self.features, names, task, inputs, model })
    }

    fn needs_inputs(&self) -> bool {
        self.inputs
    }
}

impl<P: MetaModel> FittedCombiner for FittedStack<P> {
    fn name(&self) -> String {
        format!("{}-stack", self.model.name())
    }

    fn fitted(&self) -> Option<&Fit> {
        self.model.fitted()
    }

    fn needs_inputs(&self) -> bool {
        self.inputs.is_some()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        if predictions.slots() != self.names.len() || predictions.task() != self.task {
            candle_core::bail!(
                "{} was fitted on {} predictions for {:?}, not on {} for {:?}",
                self.name(),
                self.names.len(),
                self.task,
                predictions.slots(),
                predictions.task()
            )
        }
        if let (Some(width), Some(inputs)) = (self.inputs, predictions.inputs())
            && inputs.dim(1)? != width
        {
            candle_core::bail!("{} was fitted with {width} inputs a row, not {}", self.name(), inputs.dim(1)?)
        }
        self.model.predict(&table(predictions, self.features, self.inputs.is_some())?)
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
