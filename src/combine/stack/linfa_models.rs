//! Models of linfa as meta-learners.
use crate::{
    combine::{
        fixed::weighted::to_probabilities,
        stack::{
            fit_rows::{check_regression, to_f64, FitRows},
            MetaDataset, MetaLearner, MetaModel,
        },
    },
    data::Task,
    Error, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use linfa::{
    dataset::Pr,
    traits::{Fit, Predict},
    DatasetBase,
};
use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};
use std::{
    any::{type_name, Any},
    fmt,
    marker::PhantomData,
    panic::{catch_unwind, AssertUnwindSafe},
};

/// The data set for linfa: meta-features with a target for each row, and weights if the rows have different
/// ones.
type Table<T> = DatasetBase<Array2<f64>, Array1<T>>;

/// How the predictions of a fitted linfa model `M` become a table of numbers: [`ByValue`], [`ByLabel`],
/// [`OneVsRest`], or a type of your own for a model that has its own method for probabilities.
///
/// It is part of the type of the fitted model. A file does not contain it; a program that loads the file
/// gives the type.
///
/// ```
/// use candle_core::{Device, Result, Tensor};
/// use candle_ensemble::{combine::{stack::*, Combiner, FittedCombiner, Stack, Predictions}, data::Task, HeldOut};
/// use linfa_logistic::{MultiFittedLogisticRegression, MultiLogisticRegression};
/// use ndarray::Array2;
///
/// /// linfa's logistic regression gives a column of probabilities for each class that it was fitted on.
/// #[derive(Debug)]
/// struct Softmax;
/// impl LinfaOutput<MultiFittedLogisticRegression<f64, usize>> for Softmax {
///     type Target = usize;
///     fn read(
///         model: &MultiFittedLogisticRegression<f64, usize>,
///         features: &Array2<f64>,
///         width: usize,
///     ) -> Result<Array2<f64>> {
///         let mut all = Array2::zeros((features.nrows(), width));
///         let found = model.predict_probabilities(features);
///         for (class, column) in model.classes().iter().zip(found.columns()) {
///             all.column_mut(*class).assign(&column);
///         }
///         Ok(all)
///     }
/// }
///
/// let member = Tensor::new(&[[[0.9f64, 0.1], [0.3, 0.7], [0.8, 0.2], [0.4, 0.6]]], &Device::Cpu)?;
/// let members = Predictions::new(member, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&members, &Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu)?)?;
/// let learner = Linfa::custom(MultiLogisticRegression::default(), Softmax);
/// let fitted = Stack::new(learner).fit(&held_out)?;
/// assert_eq!(fitted.combine(&members)?.argmax(1)?.to_vec1::<u32>()?, [0, 1, 0, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait LinfaOutput<M>: fmt::Debug {
    /// The type of the targets that the model is fitted on: `f64`, `usize` or `bool`.
    type Target: LinfaTarget;

    /// Predicts `(B, width)` numbers from `(B, F)` finite meta-features. For `usize` the width is the number
    /// of classes, with one probability for each class id. For `f64` it is 1, the value; for `bool` it is 1,
    /// the probability of `true`.
    ///
    /// # Errors
    /// When the model cannot predict.
    fn read(model: &M, features: &Array2<f64>, width: usize) -> CandleResult<Array2<f64>>;
}

/// The model predicts values: [`linfa::traits::Predict`] into `Array1<f64>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByValue;

/// The model predicts class ids: [`linfa::traits::Predict`] into `Array1<usize>`. The class gets a
/// probability of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByLabel;

/// The model predicts whether a row has a class: [`linfa::traits::Predict`] into `Array1<bool>`, or into
/// `Array1<Pr>`, linfa's probability, as the type parameter says. There is one model for each class, and the
/// probabilities of a row are divided by their sum; for two classes there is a single model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneVsRest<T = bool>(PhantomData<T>);

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<f64>>> LinfaOutput<M> for ByValue {
    type Target = f64;

    fn read(model: &M, features: &Array2<f64>, _: usize) -> CandleResult<Array2<f64>> {
        Ok(model.predict(features).insert_axis(Axis(1)))
    }
}

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<usize>>> LinfaOutput<M> for ByLabel {
    type Target = usize;

    fn read(model: &M, features: &Array2<f64>, width: usize) -> CandleResult<Array2<f64>> {
        let labels = model.predict(features);
        let mut all = Array2::zeros((labels.len(), width));
        for (mut row, label) in all.rows_mut().into_iter().zip(&labels) {
            match row.get_mut(*label) {
                Some(p) => *p = 1.,
                None => candle_core::bail!("the model predicts class {label}, but there are {width}"),
            }
        }
        Ok(all)
    }
}

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<bool>>> LinfaOutput<M> for OneVsRest<bool> {
    type Target = bool;

    fn read(model: &M, features: &Array2<f64>, _: usize) -> CandleResult<Array2<f64>> {
        Ok(model.predict(features).mapv(|yes| f64::from(u8::from(yes))).insert_axis(Axis(1)))
    }
}

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<Pr>>> LinfaOutput<M> for OneVsRest<Pr> {
    type Target = bool;

    fn read(model: &M, features: &Array2<f64>, _: usize) -> CandleResult<Array2<f64>> {
        Ok(model.predict(features).mapv(|p| f64::from(*p)).insert_axis(Axis(1)))
    }
}

mod target {
    use super::*;

    /// What depends on the type of the targets.
    pub trait Target: Copy + fmt::Debug + 'static {
        /// The targets of each model that is fitted.
        fn columns(rows: &FitRows) -> Vec<Array1<Self>>;
        /// Whether models with these targets can do the task.
        fn suits(task: Task) -> bool;
        /// The number of models, and the width of what each predicts.
        fn models(task: Task, present: usize) -> (usize, usize);
        /// The predictions of all models as one table, `(B, C)`.
        fn assemble(task: Task, present: &[usize], read: Vec<Array2<f64>>) -> Array2<f64>;
    }

    impl Target for f64 {
        fn columns(rows: &FitRows) -> Vec<Array1<f64>> {
            rows.targets.clone()
        }
        fn suits(task: Task) -> bool {
            matches!(task, Task::Regression { .. })
        }
        fn models(task: Task, _: usize) -> (usize, usize) {
            (task.width(), 1)
        }
        fn assemble(_: Task, _: &[usize], read: Vec<Array2<f64>>) -> Array2<f64> {
            side_by_side(&read)
        }
    }

    impl Target for usize {
        fn columns(rows: &FitRows) -> Vec<Array1<usize>> {
            let class = |row: usize| rows.targets.iter().position(|column| column[row] > 0.);
            vec![(0..rows.count()).map(|row| class(row).unwrap_or(0)).collect()]
        }
        fn suits(task: Task) -> bool {
            matches!(task, Task::Classification { .. })
        }
        fn models(task: Task, _: usize) -> (usize, usize) {
            (1, task.width())
        }
        fn assemble(_: Task, present: &[usize], read: Vec<Array2<f64>>) -> Array2<f64> {
            let mut all = side_by_side(&read);
            let absent = (0..all.ncols()).filter(|class| !present.contains(class)).collect::<Vec<_>>();
            absent.into_iter().for_each(|class| all.column_mut(class).fill(0.));
            all
        }
    }

    impl Target for bool {
        fn columns(rows: &FitRows) -> Vec<Array1<bool>> {
            let of = |class: &usize| rows.targets[*class].mapv(|is| is > 0.);
            match &rows.present[..] {
                [_, second] => vec![of(second)],
                all => all.iter().map(of).collect(),
            }
        }
        fn suits(task: Task) -> bool {
            matches!(task, Task::Classification { .. })
        }
        fn models(_: Task, present: usize) -> (usize, usize) {
            (if present == 2 { 1 } else { present }, 1)
        }
        fn assemble(task: Task, present: &[usize], read: Vec<Array2<f64>>) -> Array2<f64> {
            let read = side_by_side(&read);
            let mut all = Array2::zeros((read.nrows(), task.width()));
            if let [first, second] = present {
                all.column_mut(*first).assign(&read.column(0).mapv(|p| 1. - p));
                all.column_mut(*second).assign(&read.column(0));
            } else {
                for (class, column) in present.iter().zip(read.columns()) {
                    all.column_mut(*class).assign(&column);
                }
                for mut row in all.rows_mut().into_iter().filter(|row| row.sum() == 0.) {
                    present.iter().for_each(|class| row[*class] = 1.); // no model accepts the row
                }
            }
            all
        }
    }

    /// Joins the columns of tables with the same number of rows.
    fn side_by_side(tables: &[Array2<f64>]) -> Array2<f64> {
        let width = tables.iter().map(Array2::ncols).sum();
        let rows = tables.first().map_or(0, Array2::nrows);
        let columns = tables.iter().flat_map(|table| table.columns());
        let mut all = Array2::zeros((rows, width));
        all.columns_mut().into_iter().zip(columns).for_each(|(mut to, from)| to.assign(&from));
        all
    }
}

/// The types of targets that a linfa model can be fitted on: `f64`, `usize` and `bool`. The trait is sealed.
pub trait LinfaTarget: target::Target {}

impl LinfaTarget for f64 {}
impl LinfaTarget for usize {}
impl LinfaTarget for bool {}

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
        if !<R::Target as target::Target>::suits(task) {
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
        let models = target::Target::columns(&data).into_iter().map(one).collect::<Result<_>>()?;
        let model = LinfaModel { task, width, present: data.present, models, output: PhantomData };
        let predicted = model.table(&data.features)?;
        match predicted.iter().find(|x| !x.is_finite()) {
            Some(bad) => Err(Error::invalid(format!("a prediction of {name}"), "finite", bad)),
            None => Ok(model),
        }
    }
}

/// The fitted [`Linfa`]: fitted linfa models of type `M`, whose predictions `R` reads.
///
/// It predicts on the CPU, whatever the device of the members, and no gradient passes through it. A row with
/// a meta-feature that is not finite gives NaN; the model does not get it.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "M: Serialize", deserialize = "M: Deserialize<'de>"))]
pub struct LinfaModel<M, R> {
    task: Task,
    /// The number of meta-features.
    width: usize,
    present: Vec<usize>,
    models: Vec<M>,
    #[serde(skip)]
    output: PhantomData<R>,
}

impl<M: Clone, R> Clone for LinfaModel<M, R> {
    fn clone(&self) -> Self {
        Self { present: self.present.clone(), models: self.models.clone(), ..*self }
    }
}

impl<M: PartialEq, R> PartialEq for LinfaModel<M, R> {
    fn eq(&self, other: &Self) -> bool {
        let about = |model: &Self| (model.task, model.width);
        about(self) == about(other) && self.present == other.present && self.models == other.models
    }
}

impl<M, R> fmt::Debug for LinfaModel<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LinfaModel");
        shown
            .field("model", &last_part(type_name::<M>()))
            .field("task", &self.task)
            .field("width", &self.width);
        shown.field("present", &self.present).field("models", &self.models.len()).finish()
    }
}

impl<M, R> LinfaModel<M, R> {
    /// The fitted linfa models: one for each output, one for each class against the rest, or a single one.
    #[must_use]
    pub fn models(&self) -> &[M] {
        &self.models
    }
}

impl<M, R: LinfaOutput<M>> LinfaModel<M, R> {
    /// Whether the number of models and the classes agree with the task.
    fn suits_task(&self) -> bool {
        let (count, _) = <R::Target as target::Target>::models(self.task, self.present.len());
        let in_order = self.present.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = self.present.iter().all(|class| *class < self.task.width());
        self.models.len() == count && in_order && in_range
    }

    /// Predicts `(B, F) -> (B, C)` from finite features.
    fn table(&self, features: &Array2<f64>) -> CandleResult<Array2<f64>> {
        let name = last_part(type_name::<M>());
        if !self.suits_task() {
            candle_core::bail!("linfa's {name} does not go with {:?}", self.task);
        }
        let (count, each) = <R::Target as target::Target>::models(self.task, self.present.len());
        let mut read = Vec::with_capacity(count);
        for model in &self.models {
            let table = match guarded(|| R::read(model, features, each)) {
                Ok(table) => table?,
                Err(why) => candle_core::bail!("linfa's {name} cannot predict: {why}"),
            };
            if table.dim() != (features.nrows(), each) {
                let got = table.dim();
                candle_core::bail!(
                    "linfa's {name} must give ({}, {each}), but gives {got:?}",
                    features.nrows()
                );
            }
            read.push(table);
        }
        Ok(<R::Target as target::Target>::assemble(self.task, &self.present, read))
    }
}

impl<M, R: LinfaOutput<M>> MetaModel for LinfaModel<M, R> {
    /// `linfa-` and the type of the fitted model, in lower case with hyphens: `linfa-decision-tree`.
    fn name(&self) -> String {
        let mut name = "linfa".to_string();
        for letter in last_part(type_name::<M>()).chars() {
            if letter.is_uppercase() {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }

    fn check(&self, features: usize, task: Task) -> Result<()> {
        match self.task == task && self.width == features && self.suits_task() {
            true => Ok(()),
            false => {
                let must = format!("for {features} meta-features and {task:?}");
                let got = format!("for {} meta-features and {:?}", self.width, self.task);
                Err(Error::invalid(format!("linfa's {}", last_part(type_name::<M>())), must, got))
            }
        }
    }

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let all = to_f64(features)?;
        if all.ncols() != self.width {
            candle_core::bail!("the model was fitted on {} meta-features, not {}", self.width, all.ncols());
        }
        let usable = |row: &usize| all.row(*row).iter().all(|x| x.is_finite());
        let rows: Vec<usize> = (0..all.nrows()).filter(usable).collect();
        let mut out = Array2::from_elem((all.nrows(), self.task.width()), f64::NAN);
        if !rows.is_empty() {
            let table = self.table(&all.select(Axis(0), &rows))?;
            for (row, values) in rows.iter().zip(table.rows()) {
                out.row_mut(*row).assign(&values);
            }
        }
        let (shape, dtype) = (out.dim(), features.dtype());
        let out = Tensor::from_vec(out.into_iter().collect(), shape, features.device())?;
        let out = match self.task {
            Task::Classification { .. } => to_probabilities(&out)?,
            Task::Regression { .. } => out,
        };
        if dtype == DType::F64 {
            Ok(out)
        } else {
            out.to_dtype(dtype)
        }
    }
}

/// `Name` of a path `a::b::Name<…>`.
fn last_part(path: &str) -> &str {
    let plain = path.split('<').next().unwrap_or(path);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// Calls code of another crate; a panic becomes an error with its message. Nothing that the code changes is
/// used after a panic.
fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    let why = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => {
            other.downcast::<&str>().map_or_else(|_| "a panic".to_string(), |text| text.to_string())
        }
    };
    catch_unwind(AssertUnwindSafe(f)).map_err(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use candle_core::Device;
    use linfa_trees::DecisionTree;

    type Tree = LinfaModel<DecisionTree<f64, usize>, ByLabel>;

    fn tree() -> Tree {
        let x = Array2::from_shape_fn((12, 2), |(row, column)| (row * (column + 3) % 7) as f64);
        let y = Array1::from_shape_fn(12, |row| row % 3);
        let model = DecisionTree::params().fit(&DatasetBase::new(x, y)).unwrap();
        let task = Task::Classification { classes: 3 };
        LinfaModel { task, width: 2, present: vec![0, 1, 2], models: vec![model], output: PhantomData }
    }

    #[test]
    fn models_survive_serialization_and_damaged_bytes_do_not_panic() {
        let (tree, features) = (tree(), Tensor::new(&[[1f64, 2.], [5., 3.]], &Device::Cpu).unwrap());
        let bytes = codec::encode(&tree).unwrap();
        let back: Tree = codec::decode(&bytes).unwrap();
        assert!(back == tree);
        assert_eq!(codec::encode(&back).unwrap(), bytes);
        for i in 0..bytes.len() {
            assert!(codec::decode::<Tree>(&bytes[..i]).is_err());
            for flip in [0x01, 0x80, 0xff] {
                let mut odd = bytes.clone();
                odd[i] ^= flip;
                if let Ok(odd) = codec::decode::<Tree>(&odd) {
                    let _ = odd.predict(&features);
                }
            }
        }
    }

    #[test]
    fn a_model_that_does_not_go_with_its_task_is_an_error() {
        let features = Tensor::new(&[[1f64, 2.]], &Device::Cpu).unwrap();
        let odd = |change: &dyn Fn(&mut Tree)| {
            let mut tree = tree();
            change(&mut tree);
            tree.predict(&features).unwrap_err().to_string()
        };
        assert!(odd(&|tree| tree.models.clear()).contains("does not go with"));
        assert!(odd(&|tree| tree.present = vec![0, 3]).contains("does not go with"));
        assert!(odd(&|tree| tree.present = vec![1, 1, 2]).contains("does not go with"));
        assert!(odd(&|tree| tree.width = 3).contains("was fitted on 3 meta-features"));
        assert!(odd(&|tree| tree.task = Task::Classification { classes: 2 }).contains("does not go with"));
    }

    #[test]
    fn the_name_comes_from_the_type_of_the_model() {
        assert_eq!(tree().name(), "linfa-decision-tree");
        assert_eq!(last_part("a::b::Name<c::D<e>, f>"), "Name");
        assert_eq!(last_part("Name"), "Name");
    }
}
