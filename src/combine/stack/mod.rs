//! Stacking: meta-learners, which are trained on the predictions of the slots.
//!
//! A [`Stack`] makes a table with one row for each held-out row and the slots' predictions for it as columns
//! ([`MetaFeatures`]). A [`MetaLearner`] is fitted on that table: [`Linear`], [`Ridge`], [`ElasticNet`],
//! [`LinearRegression`], [`Tweedie`], [`Logistic`], [`NeuralNetwork`], any model of linfa ([`Linfa`]), or a
//! type of your own. [`MultiLayerStack`] fits several combiners on the held-out rows and then one more
//! combiner on what those predict.
mod affine;
mod centred;
mod elastic_net;
mod features;
mod fit_rows;
mod learner;
mod linear;
mod linear_regression;
mod linfa_models;
mod logistic;
mod moments;
mod multi_layer;
mod neural_network;
mod on_disk;
mod penalty;
mod ridge;
mod tweedie;

pub use affine::AffineModel;
pub use elastic_net::ElasticNet;
pub use features::MetaFeatures;
pub use learner::{MetaDataset, MetaLearner, MetaModel, MetaMoments};
pub use linear::Linear;
pub use linear_regression::LinearRegression;
pub use linfa_models::{ByLabel, ByValue, Linfa, LinfaModel, LinfaOutput, LinfaTarget, OneVsRest};
pub use logistic::{Logistic, LogisticModel};
pub use multi_layer::{CombinerSet, FittedMultiLayerStack, FittedSet, InferenceMode, MultiLayerStack};
pub use neural_network::{Architecture, Mlp, NeuralNetwork, NeuralNetworkModel};
pub use ridge::Ridge;
pub use tweedie::{Link, Tweedie, TweedieModel};

use crate::{
    combine::{
        check_fitted_on, fit_loaded, joint_normal::JointNormal, Combiner, Fit, FittedCombiner, FittedOn,
    },
    data::Task,
    predictions::Predictions,
    Error, HeldOut, HeldOutFile, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use features::{append_inputs, slot_features};
use serde::{Deserialize, Serialize};

/// Stacking: fits a meta-learner on the held-out predictions of the slots.
///
/// ```text
/// features: row r ↦ (p_1r, …, p_Sr [, inputs_r])      model: features ↦ prediction
/// ```
///
/// The meta-features are a table `(R, F)` for `R` held-out rows: slot by slot the columns that
/// [`MetaFeatures`] selects, then the inputs of the rows if [`pass_through`](Self::pass_through) is set. They
/// are the columns of scikit-learn's `StackingClassifier` and `StackingRegressor`: for two classes the
/// probability of the second one, for more classes the probabilities of all, for regression the values. The
/// fitted stack maps `(S, B, C)` to `(B, C)`.
///
/// The weights of the rows are used; rows of weight 0 are as if they were not there. A slot of several members, such as the fold models of
/// [`KFold`](crate::strategy::KFold), predicts their mean, or the prediction of one network that was trained
/// on all rows if the strategy has [`refit`](crate::strategy::KFold::refit) set.
///
/// **Missing predictions.** Every held-out row with at least one prediction is used. The joint distribution of
/// the slots' meta-features and the target is estimated, each slot by the rows that it predicts, as a normal
/// distribution for each class or output. In the rows of the fit, a missing meta-feature is drawn from its
/// distribution given the rest of the row and the target (stochastic imputation: Rubin 1987,
/// doi:10.1002/9780470316696; Moons et al. 2006, doi:10.1016/j.jclinepi.2006.01.009). So it is as noisy as the
/// slot's own predictions are, and equally good slots get equal coefficients however few rows they predict.
/// The model is one for rows that all slots predict, as the ensemble meets them. At inference a missing
/// meta-feature is its expectation given those that are there; that of a row without predictions is NaN.
/// This relies on a prediction not being missing because of its value, which holds for resampling. The
/// draws follow from [`HeldOut::seed`]. Where nothing is missing, nothing is drawn.
///
/// Use a stack when there are many more held-out rows than meta-features and the members differ in kind or in
/// quality. With few rows, or with members that differ only in their seed, [`Mean`](crate::combine::Mean) or
/// a blend such as [`SimplexSquares`](crate::combine::SimplexSquares) is as good and cannot overfit as much;
/// [`HeldOut::judge`] measures which one is better. The cost is that of the meta-learner, and `R·F·S` for the
/// joint distribution; where predictions are missing up to `50·R·F·S²`, with a sample of the rows where that
/// is much. The table takes `R·F` numbers.
///
/// # Errors
/// Fitting fails when the meta-features do not fit the task, when inputs are asked for and are missing, and
/// when the meta-learner fails.
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
/// assert_eq!(ensemble.fitted().columns().len(), 3); // one for each slot: the probability of the second class
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1; Breiman 1996, doi:10.1007/BF00117832; for
/// classification Ting and Witten 1999, doi:10.1613/jair.594.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack<M> {
    learner: M,
    features: MetaFeatures,
    pass_through: bool,
}

impl<M> Stack<M> {
    /// A stack of `learner` on probabilities or values, without the inputs.
    pub fn new(learner: M) -> Self {
        Self { learner, features: MetaFeatures::default(), pass_through: false }
    }

    /// Which columns are made of each prediction; the default is [`MetaFeatures::Probabilities`]. For
    /// regression it is the only choice: the columns are the values.
    #[must_use]
    pub fn features(mut self, features: MetaFeatures) -> Self {
        self.features = features;
        self
    }

    /// Whether the inputs of the rows, unscaled, are meta-features too; the default is `false`. They are the
    /// last columns.
    #[must_use]
    pub fn pass_through(mut self, inputs: bool) -> Self {
        self.pass_through = inputs;
        self
    }
}

/// A fitted [`Stack`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedStack<P> {
    features: MetaFeatures,
    names: Vec<String>,
    on: FittedOn,
    /// The number of inputs of a row, if they are meta-features.
    inputs: Option<usize>,
    /// The distribution of the meta-features of the slots, for those that are missing.
    joint: JointNormal,
    model: P,
}

impl<P> FittedStack<P> {
    /// The fitted meta-learner.
    #[must_use]
    pub fn model(&self) -> &P {
        &self.model
    }

    /// The names of the meta-features, in the order of the model's coefficients: `member 3, class 2`, …,
    /// `input 0`, ….
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let (first, count) = MetaFeatures::kept_outputs(self.on.task());
        let (kind, single) = match self.on.task() {
            Task::Classification { .. } => ("class", false),
            Task::Regression { outputs } => ("output", outputs == 1),
        };
        let slot_columns = |name: &String| {
            let column =
                |k: usize| if single { name.clone() } else { format!("{name}, {kind} {}", first + k) };
            (0..count).map(column).collect::<Vec<_>>()
        };
        let slots = self.names.iter().flat_map(slot_columns);
        slots.chain((0..self.inputs.unwrap_or(0)).map(|i| format!("input {i}"))).collect()
    }
}

impl<M: MetaLearner> Combiner for Stack<M> {
    type Fitted = FittedStack<M::Model>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        self.features.check(held_out.predictions().task())?;
        let held_out = &held_out.rows_with_weight()?;
        let inputs = match (self.pass_through, held_out.predictions().inputs()) {
            (false, _) => None,
            (true, Some(inputs)) => Some(inputs.dim(1)?),
            (true, None) => {
                let must = "attached for a stack that passes them through (HeldOut::with_inputs)";
                return Err(Error::invalid("the inputs of the held-out rows", must, "missing"));
            }
        };
        let (first, count) = MetaFeatures::kept_outputs(held_out.predictions().task());
        let table = slot_features(held_out.predictions(), self.features)?.detach();
        let targets = held_out.target_columns()?;
        let (joint, table) = JointNormal::fit_table(&table, held_out, &targets[first..first + count])?;
        let features = append_inputs(table, held_out.predictions(), self.pass_through)?.detach();
        let model = self.learner.fit(&MetaDataset::new(features, held_out))?;
        let (names, on) = (held_out.names().to_vec(), FittedOn::new(held_out));
        Ok(FittedStack { features: self.features, names, on, inputs, joint, model })
    }

    fn fit_on_disk(&self, held_out: &HeldOutFile) -> Result<Self::Fitted> {
        self.features.check(held_out.task())?;
        match self.pass_through {
            true => fit_loaded(self, held_out),
            false => on_disk::fit(self, held_out),
        }
    }

    fn needs_inputs(&self) -> bool {
        self.pass_through
    }
}

impl<P: MetaModel> FittedCombiner for FittedStack<P> {
    fn name(&self) -> String {
        format!("{}-stack", self.model.name())
    }

    fn fitted(&self) -> Option<&Fit> {
        self.model.fitted()
    }

    fn fitted_on(&self) -> Option<&FittedOn> {
        Some(&self.on)
    }

    fn needs_inputs(&self) -> bool {
        self.inputs.is_some()
    }

    fn check(&self) -> Result<()> {
        self.on.check(self.names.len())?;
        self.features.check(self.on.task())?;
        let (_, of_slot) = MetaFeatures::kept_outputs(self.on.task());
        self.joint.check(self.names.len(), of_slot)?;
        let features = self.names.len().checked_mul(of_slot);
        let features = features.and_then(|n| n.checked_add(self.inputs.unwrap_or(0)));
        match features {
            Some(features @ 1..) => self.model.check(features, self.on.task()),
            other => Err(Error::invalid("number of meta-features", "at least 1", other.unwrap_or(0))),
        }
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        if let (Some(width), Some(inputs)) = (self.inputs, predictions.inputs())
            && inputs.dim(1)? != width
        {
            candle_core::bail!("{} was fitted on {width} inputs per row, not {}", self.name(), inputs.dim(1)?)
        }
        let table = self.joint.complete_table(&slot_features(predictions, self.features)?, predictions)?;
        self.model.predict(&append_inputs(table, predictions, self.inputs.is_some())?)
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
