//! Models of linfa as meta-learners.
mod model;
mod output;
mod target;

pub use model::LinfaModel;
pub use output::{ByLabel, ByValue, LinfaOutput, LinfaTarget, OneVsRest};

use crate::{
    combine::stack::{
        fit_rows::{check_regression, FitRows},
        MetaDataset, MetaLearner,
    },
    Error, Result,
};
use linfa::{
    dataset::Pr,
    traits::{Fit, Predict},
    DatasetBase,
};
use model::{guarded, last_part};
use ndarray::{Array1, Array2};
use std::{any::type_name, fmt, marker::PhantomData};
use target::Target;

/// The data set for linfa: meta-features with a target for each row, and weights if the rows have different
/// ones.
type Table<T> = DatasetBase<Array2<f64>, Array1<T>>;

/// Any model of linfa as the meta-learner of a [`Stack`](super::Stack).
///
/// It takes the parameters of a linfa model, checked or unchecked ([`linfa::ParamGuard`]), and fits the model
/// ([`linfa::traits::Fit`]) on the meta-features `(R, F)` and the targets of the held-out rows, in f64:
///
/// | constructor | task | targets for linfa | predictions of linfa | models |
/// |---|---|---|---|---|
/// | [`Linfa::values`] | regression | `Array1<f64>` | `Array1<f64>` | one for each output |
/// | [`Linfa::labels`] | classes | `Array1<usize>` | `Array1<usize>` | one |
/// | [`Linfa::one_vs_rest`] | classes | `Array1<bool>` | `Array1<bool>` | one for each class, one for two |
/// | [`Linfa::one_vs_rest_probabilities`] | classes | `Array1<bool>` | `Array1<Pr>` | one for each class, one for two |
/// | [`Linfa::custom`] | as its [`LinfaOutput`] says | `f64`, `usize`, `bool` | any | as above |
///
/// Use it for a kind of model that this crate does not have: trees, support vector machines, naive Bayes. For
/// linear and logistic stacks use [`Linear`](super::Linear), [`Ridge`](super::Ridge) and
/// [`Logistic`](super::Logistic): they use the weights of the rows, work with duplicate members, predict on
/// the device of the members, and gradients pass through them. None of this holds for a linfa model.
///
/// - **Weights.** Rows of weight 0 are left out. The other weights are passed to linfa if they differ. In
///   linfa 0.8 only decision trees and isotonic regression use them; every other model counts each row once.
/// - **Classes.** A class that no held-out row has keeps probability 0.
/// - **Reproducibility.** The fit runs on one thread and is as reproducible as the model. linfa-trees 0.8
///   iterates over hash maps: two fits can differ when two classes are equally frequent in a leaf, or two
///   splits are equally good.
/// - **Serialization.** The fitted model is saved with the ensemble if it implements serde's traits (the
///   feature `serde` of linfa's crates). A damaged file is an error, and so is a model whose size is not that
///   of its task. But decision trees are nested, and a malicious file can nest one so deeply that the call
///   stack overflows; load trees only from sources that you trust.
/// - **Cost.** That of the model, and one prediction for the held-out rows to check that it is finite.
///
/// # Errors
/// Fitting fails when the model cannot do the task, when there are fewer than two rows or classes, when linfa
/// returns an error, and when a prediction for the held-out rows is not finite. A panic of the model, in the
/// fit or in a prediction, becomes an error too, unless the program is built with `panic = "abort"`; the
/// panic hook still runs.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{stack::Linfa, Combiner, FittedCombiner, Stack, Predictions}, data::Task, HeldOut};
/// use linfa_trees::DecisionTree;
/// let members = Tensor::new(&[[[0.9f64, 0.1], [0.3, 0.7], [0.8, 0.2], [0.4, 0.6]]], &Device::Cpu)?;
/// let members = Predictions::new(members, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&members, &Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu)?)?;
/// let tree = DecisionTree::params().max_depth(Some(3));
/// let fitted = Stack::new(Linfa::labels(tree)).fit(&held_out)?;
/// assert_eq!(fitted.name(), "linfa-decision-tree-stack");
/// assert_eq!(fitted.combine(&members)?.to_vec2::<f64>()?, [[1., 0.], [0., 1.], [1., 0.], [0., 1.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: the linfa project, <https://github.com/rust-ml/linfa>; Wolpert 1992,
/// doi:10.1016/S0893-6080(05)80023-1.
#[derive(Clone)]
pub struct Linfa<P, M, R: LinfaOutput<M>> {
    params: P,
    fit: fn(&P, &Table<R::Target>) -> Result<M, String>,
    output: PhantomData<R>,
}

impl<P, M, R: LinfaOutput<M>> Linfa<P, M, R> {
    /// A model with these parameters, whose predictions are read by a [`LinfaOutput`] of your own.
    pub fn custom<E>(params: P, _: R) -> Self
    where
        P: Fit<Array2<f64>, Array1<R::Target>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        let fit = |params: &P, table: &Table<R::Target>| params.fit(table).map_err(|e| e.to_string());
        Self { params, fit, output: PhantomData }
    }
}

impl<P, M: for<'a> Predict<&'a Array2<f64>, Array1<f64>>> Linfa<P, M, ByValue> {
    /// A regression model. One is fitted for each output.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{combine::{stack::Linfa, Combiner, FittedCombiner, Stack, Predictions}, data::Task, HeldOut};
    /// # let members = Tensor::new(&[[[1f64], [2.], [3.], [4.]]], &Device::Cpu)?;
    /// # let members = Predictions::new(members, Task::Regression { outputs: 1 })?;
    /// # let y = Tensor::new(&[3f64, 5., 7., 9.], &Device::Cpu)?;
    /// # let held_out = HeldOut::from_predictions(&members, &y)?;
    /// let least_squares = linfa_linear::LinearRegression::new();
    /// let fitted = Stack::new(Linfa::values(least_squares)).fit(&held_out)?;
    /// assert!((fitted.combine(&members)?.to_vec2::<f64>()?[3][0] - 9.).abs() < 1e-9);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn values<E>(params: P) -> Self
    where
        P: Fit<Array2<f64>, Array1<f64>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        Self::custom(params, ByValue)
    }
}

impl<P, M: for<'a> Predict<&'a Array2<f64>, Array1<usize>>> Linfa<P, M, ByLabel> {
    /// A classifier that predicts class ids. The predicted class gets a probability of 1.
    pub fn labels<E>(params: P) -> Self
    where
        P: Fit<Array2<f64>, Array1<usize>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        Self::custom(params, ByLabel)
    }
}

impl<P, M: for<'a> Predict<&'a Array2<f64>, Array1<bool>>> Linfa<P, M, OneVsRest<bool>> {
    /// A classifier for two classes. One is fitted for each class against the rest.
    pub fn one_vs_rest<E>(params: P) -> Self
    where
        P: Fit<Array2<f64>, Array1<bool>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        Self::custom(params, OneVsRest(PhantomData))
    }
}

impl<P, M: for<'a> Predict<&'a Array2<f64>, Array1<Pr>>> Linfa<P, M, OneVsRest<Pr>> {
    /// A classifier for two classes that predicts the probability of `true` (linfa's `Pr`), such as a support
    /// vector machine with Platt scaling. One is fitted for each class against the rest.
    pub fn one_vs_rest_probabilities<E>(params: P) -> Self
    where
        P: Fit<Array2<f64>, Array1<bool>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        Self::custom(params, OneVsRest(PhantomData))
    }
}

impl<P, M, R: LinfaOutput<M>> fmt::Debug for Linfa<P, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = last_part(type_name::<R>());
        f.debug_struct("Linfa").field("model", &last_part(type_name::<M>())).field("output", &output).finish()
    }
}

impl<P, M, R: LinfaOutput<M>> MetaLearner for Linfa<P, M, R> {
    type Model = LinfaModel<M, R>;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<LinfaModel<M, R>> {
        let name = format!("linfa's {}", last_part(type_name::<M>()));
        let task = dataset.task();
        if !<R::Target as Target>::suits(task) {
            check_regression(task, &name)?;
            let must = format!("classification, since {name} is for classes");
            return Err(Error::invalid("the task", must, "regression"));
        }
        let data = FitRows::of(dataset, &name)?;
        let (rows, width) = data.features.dim();
        let weights = match data.weights.iter().all(|w| *w == data.weights[0]) {
            true => Array1::default(0), // linfa takes an empty table as equal weights
            false => data.weights.mapv(|w| w as f32),
        };
        let refused = |why: String| {
            let must = format!("possible on {rows} rows of {width} meta-features");
            Error::invalid(format!("the fit of {name}"), must, why)
        };
        let one = |targets: Array1<R::Target>| {
            let table = DatasetBase::new(data.features.clone(), targets).with_weights(weights.clone());
            let model = guarded(|| (self.fit)(&self.params, &table)).map_err(|e| format!("a panic: {e}"));
            model.and_then(|model| model.map_err(|e| format!("refused: {e}"))).map_err(refused)
        };
        let models = Target::columns(&data).into_iter().map(one).collect::<Result<_>>()?;
        let model = LinfaModel { task, width, present: data.present, models, output: PhantomData };
        let predicted = model.table(&data.features)?;
        match predicted.iter().find(|x| !x.is_finite()) {
            Some(bad) => Err(Error::invalid(format!("a prediction of {name}"), "finite", bad)),
            None => Ok(model),
        }
    }
}
