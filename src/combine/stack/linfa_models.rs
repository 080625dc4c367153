//! Any model of linfa as a meta-learner.
use super::{MetaDataset, MetaLearner, MetaModel};
use crate::{combine::fixed::weighted::to_probabilities, data::Task, kernels::cpu, Error, Result};
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

/// What linfa is handed: meta-features with one answer a row, and weights where the rows have them.
type Table<T> = DatasetBase<Array2<f64>, Array1<T>>;

/// How the predictions of a fitted linfa model `M` are read: [`ByValue`], [`ByLabel`], [`OneVsRest`], or a type of your
/// own where the model has a method of its own for probabilities.
///
/// The type is code: an ensemble's file does not contain it, and the one who loads the file names it again.
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
/// impl Reading<MultiFittedLogisticRegression<f64, usize>> for Softmax {
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
/// let learner = Linfa::read_by(MultiLogisticRegression::default(), Softmax);
/// let head = Stack::new(learner).fit(&held_out.clone())?;
/// assert_eq!(head.combine(&members)?.argmax(1)?.to_vec1::<u32>()?, [0, 1, 0, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Reading<M>: fmt::Debug {
    /// The type of the answers that the model is fitted on: `f64`, `usize` or `bool`.
    type Target: LinfaTarget;

    /// Predicts: `(B, F)` finite meta-features into `(B, width)`. The width is the number of classes for `usize` (one
    /// probability a class, by class id) and 1 for `f64` (the value) and `bool` (the probability of `true`).
    ///
    /// # Errors
    /// When the model's predictions cannot be read.
    fn read(model: &M, features: &Array2<f64>, width: usize) -> CandleResult<Array2<f64>>;
}

/// The predictions are values, [`linfa::traits::Predict`] into `Array1<f64>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByValue;

/// The predictions are class ids, [`linfa::traits::Predict`] into `Array1<usize>`: the class gets probability 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByLabel;

/// The predictions are `Array1<bool>` or `Array1<Pr>` (linfa's probability), which the type parameter tells apart: one
/// model a class, with the probabilities of a row divided by their sum; one model alone where there are two classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneVsRest<T = bool>(PhantomData<T>);

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<f64>>> Reading<M> for ByValue {
    type Target = f64;

    fn read(model: &M, features: &Array2<f64>, _: usize) -> CandleResult<Array2<f64>> {
        Ok(model.predict(features).insert_axis(Axis(1)))
    }
}

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<usize>>> Reading<M> for ByLabel {
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

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<bool>>> Reading<M> for OneVsRest<bool> {
    type Target = bool;

    fn read(model: &M, features: &Array2<f64>, _: usize) -> CandleResult<Array2<f64>> {
        Ok(model.predict(features).mapv(|yes| f64::from(u8::from(yes))).insert_axis(Axis(1)))
    }
}

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<Pr>>> Reading<M> for OneVsRest<Pr> {
    type Target = bool;

    fn read(model: &M, features: &Array2<f64>, _: usize) -> CandleResult<Array2<f64>> {
        Ok(model.predict(features).mapv(|p| f64::from(*p)).insert_axis(Axis(1)))
    }
}

mod target {
    use super::*;

    /// What the type of the answers decides.
    pub trait Target: Copy + fmt::Debug + 'static {
        /// The answers of each model that is fitted.
        fn columns(answers: &Answers) -> Vec<Array1<Self>>;
        /// Whether it goes with the task.
        fn goes_with(task: Task) -> bool;
        /// How many models there are, and the width of what each gives.
        fn models(task: Task, present: usize) -> (usize, usize);
        /// What the models give, as one table `(B, C)`.
        fn assemble(task: Task, present: &[usize], read: Vec<Array2<f64>>) -> Array2<f64>;
    }

    impl Target for f64 {
        fn columns(answers: &Answers) -> Vec<Array1<f64>> {
            answers.columns.clone()
        }
        fn goes_with(task: Task) -> bool {
            matches!(task, Task::Regression { .. })
        }
        fn models(task: Task, _: usize) -> (usize, usize) {
            (task.width(), 1)
        }
        fn assemble(_: Task, _: &[usize], read: Vec<Array2<f64>>) -> Array2<f64> {
            beside(&read)
        }
    }

    impl Target for usize {
        fn columns(answers: &Answers) -> Vec<Array1<usize>> {
            let class = |row: usize| answers.columns.iter().position(|column| column[row] > 0.);
            vec![(0..answers.rows()).map(|row| class(row).unwrap_or(0)).collect()]
        }
        fn goes_with(task: Task) -> bool {
            matches!(task, Task::Classification { .. })
        }
        fn models(task: Task, _: usize) -> (usize, usize) {
            (1, task.width())
        }
        fn assemble(_: Task, present: &[usize], read: Vec<Array2<f64>>) -> Array2<f64> {
            let mut all = beside(&read);
            let absent = (0..all.ncols()).filter(|class| !present.contains(class)).collect::<Vec<_>>();
            absent.into_iter().for_each(|class| all.column_mut(class).fill(0.));
            all
        }
    }

    impl Target for bool {
        fn columns(answers: &Answers) -> Vec<Array1<bool>> {
            let of = |class: &usize| answers.columns[*class].mapv(|is| is > 0.);
            match &answers.present[..] {
                [_, second] => vec![of(second)],
                all => all.iter().map(of).collect(),
            }
        }
        fn goes_with(task: Task) -> bool {
            matches!(task, Task::Classification { .. })
        }
        fn models(_: Task, present: usize) -> (usize, usize) {
            (if present == 2 { 1 } else { present }, 1)
        }
        fn assemble(task: Task, present: &[usize], read: Vec<Array2<f64>>) -> Array2<f64> {
            let read = beside(&read);
            let mut all = Array2::zeros((read.nrows(), task.width()));
            if let [first, second] = present {
                all.column_mut(*first).assign(&read.column(0).mapv(|p| 1. - p));
                all.column_mut(*second).assign(&read.column(0));
            } else {
                for (class, column) in present.iter().zip(read.columns()) {
                    all.column_mut(*class).assign(&column);
                }
                for mut row in all.rows_mut().into_iter().filter(|row| row.sum() == 0.) {
                    present.iter().for_each(|class| row[*class] = 1.); // every model rejects the row
                }
            }
            all
        }
    }

    /// Tables of as many rows, side by side.
    fn beside(tables: &[Array2<f64>]) -> Array2<f64> {
        let width = tables.iter().map(Array2::ncols).sum();
        let rows = tables.first().map_or(0, Array2::nrows);
        let columns = tables.iter().flat_map(|table| table.columns());
        let mut all = Array2::zeros((rows, width));
        all.columns_mut().into_iter().zip(columns).for_each(|(mut to, from)| to.assign(&from));
        all
    }
}

/// The types of answers that a linfa model can be fitted on here: `f64`, `usize` and `bool`.
pub trait LinfaTarget: target::Target {}

impl LinfaTarget for f64 {}
impl LinfaTarget for usize {}
impl LinfaTarget for bool {}

/// The held-out rows with a weight above 0, in double precision.
#[derive(Debug)]
pub struct Answers {
    pub(super) features: Array2<f64>,
    /// The indicator of each class, or each output.
    pub(super) columns: Vec<Array1<f64>>,
    pub(super) weights: Array1<f64>,
    /// The classes that some row has, in order.
    present: Vec<usize>,
}

impl Answers {
    /// # Errors
    /// When there are fewer than two rows or, for classes, fewer than two classes; when a meta-feature is not finite.
    pub(super) fn of(dataset: &MetaDataset<'_>, learner: &str) -> Result<Self> {
        let weights = dataset.weights()?;
        let keep: Vec<usize> = (0..weights.len()).filter(|row| weights[*row] > 0.).collect();
        if keep.len() < 2 {
            let must = format!("at least two of a weight above 0 for {learner}");
            return Err(Error::invalid("the held-out rows", must, keep.len()));
        }
        let features = doubles(dataset.features())?.select(Axis(0), &keep);
        if let Some(bad) = features.iter().find(|x| !x.is_finite()) {
            return Err(Error::invalid("the meta-features", format!("finite for {learner}"), bad));
        }
        let some = |column: Vec<f64>| keep.iter().map(|row| column[*row]).collect::<Array1<_>>();
        let columns: Vec<_> = dataset.target_columns()?.into_iter().map(some).collect();
        if let Some(bad) = columns.iter().flatten().find(|y| !y.is_finite()) {
            return Err(Error::invalid("the targets", format!("finite for {learner}"), bad));
        }
        let has = |class: &usize| columns[*class].iter().any(|is| *is > 0.);
        let present: Vec<usize> = match dataset.task() {
            Task::Classification { classes } => (0..classes).filter(has).collect(),
            Task::Regression { .. } => vec![],
        };
        if let [only] = present[..] {
            let must = format!("of at least two classes for {learner}");
            return Err(Error::invalid("the held-out rows", must, format!("all of class {only}")));
        }
        Ok(Self { features, columns, weights: some(weights), present })
    }

    pub(super) fn rows(&self) -> usize {
        self.features.nrows()
    }
}

/// `(B, F)` in double precision on the host.
pub(super) fn doubles(features: &Tensor) -> CandleResult<Array2<f64>> {
    let shape = features.dims2()?;
    let all = cpu::with_slice(features, |x: &[f64]| x.to_vec())?;
    Array2::from_shape_vec(shape, all).map_err(candle_core::Error::wrap)
}

/// A meta-learner for values that is asked for classes.
pub(super) fn only_values(task: Task, learner: &str) -> Result<()> {
    match task {
        Task::Regression { .. } => Ok(()),
        Task::Classification { .. } => Err(Error::invalid(learner, "asked for values", "asked for classes")),
    }
}

/// Any model of linfa as the meta-learner of a [`Stack`](super::Stack).
///
/// It takes the parameters of a model, checked or unchecked ([`linfa::ParamGuard`]), and fits them
/// ([`linfa::traits::Fit`]) on the meta-features `(R, F)` and the targets of the held-out rows, in double precision:
///
/// | constructor | the task | linfa's targets | linfa's predictions | models |
/// |---|---|---|---|---|
/// | [`Linfa::values`] | values | `Array1<f64>` | `Array1<f64>` | one an output |
/// | [`Linfa::labels`] | classes | `Array1<usize>` | `Array1<usize>` | one |
/// | [`Linfa::one_vs_rest`] | classes | `Array1<bool>` | `Array1<bool>` | one a class, one for two |
/// | [`Linfa::one_vs_rest_probabilities`] | classes | `Array1<bool>` | `Array1<Pr>` | one a class, one for two |
/// | [`Linfa::read_by`] | as its [`Reading`] defines | `f64`, `usize`, `bool` | any | as above |
///
/// Use it for a kind of model that this crate does not have: trees, support vector machines, naive Bayes. For linear
/// and logistic stacks use [`Linear`](super::Linear), [`Ridge`](super::Ridge) and [`Logistic`](super::Logistic): they
/// honour the rows' weights, take duplicate members, run on the members' device and pass gradients on, and none of
/// this holds for a linfa model.
///
/// - **Weights.** Rows of weight 0 are left out. Other weights are passed to linfa where they differ. Of linfa 0.8 only
///   the decision trees and the isotonic regression look at them: every other model counts each row once.
/// - **Classes.** A class that no held-out row has keeps probability 0.
/// - **Reproducibility.** The fit runs on one thread and is as reproducible as the model. linfa-trees 0.8 sums over hash
///   maps: where two classes are equally frequent in a leaf, or two splits equally good, two fits can differ.
/// - **Serialization.** The fitted model is written with the ensemble where it has serde (the feature `serde` of
///   linfa's crates). A damaged file is an error, and so is a model whose size is not that of its task. But a decision
///   tree nests, and a file that was made to harm can nest it deeper than the stack: load trees only from where you
///   trust.
/// - **Cost.** The model's own, and one prediction of the held-out rows to see that it is finite.
///
/// # Errors
/// The fit fails when the task is not the model's, when there are fewer than two rows or classes, when linfa refuses,
/// and when a prediction of the held-out rows is not finite. linfa has assertions: a panic of the model, in the fit or
/// in a prediction, becomes an error too (unless the program is built with `panic = "abort"`; the panic hook still
/// runs).
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{stack::Linfa, Combiner, FittedCombiner, Stack, Predictions}, data::Task, HeldOut};
/// use linfa_trees::DecisionTree;
/// let members = Tensor::new(&[[[0.9f64, 0.1], [0.3, 0.7], [0.8, 0.2], [0.4, 0.6]]], &Device::Cpu)?;
/// let members = Predictions::new(members, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&members, &Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu)?)?;
/// let tree = DecisionTree::params().max_depth(Some(3));
/// let head = Stack::new(Linfa::labels(tree)).fit(&held_out.clone())?;
/// assert_eq!(head.name(), "linfa-decision-tree-stack");
/// assert_eq!(head.combine(&members)?.to_vec2::<f64>()?, [[1., 0.], [0., 1.], [1., 0.], [0., 1.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: the linfa project, <https://github.com/rust-ml/linfa>; stacking: Wolpert 1992,
/// doi:10.1016/S0893-6080(05)80023-1.
#[derive(Clone)]
pub struct Linfa<P, M, R: Reading<M>> {
    params: P,
    fit: fn(&P, &Table<R::Target>) -> Result<M, String>,
    reading: PhantomData<R>,
}

impl<P, M, R: Reading<M>> Linfa<P, M, R> {
    /// Fits these parameters and has the reading predict.
    pub fn read_by<E>(params: P, _: R) -> Self
    where
        P: Fit<Array2<f64>, Array1<R::Target>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        let fit = |params: &P, table: &Table<R::Target>| params.fit(table).map_err(|e| e.to_string());
        Self { params, fit, reading: PhantomData }
    }
}

impl<P, M: for<'a> Predict<&'a Array2<f64>, Array1<f64>>> Linfa<P, M, ByValue> {
    /// A regression model: one is fitted for each output.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{combine::{stack::Linfa, Combiner, FittedCombiner, Stack, Predictions}, data::Task, HeldOut};
    /// # let members = Tensor::new(&[[[1f64], [2.], [3.], [4.]]], &Device::Cpu)?;
    /// # let members = Predictions::new(members, Task::Regression { outputs: 1 })?;
    /// # let y = Tensor::new(&[3f64, 5., 7., 9.], &Device::Cpu)?;
    /// # let held_out = HeldOut::from_predictions(&members, &y)?;
    /// let least_squares = linfa_linear::LinearRegression::new();
    /// let head = Stack::new(Linfa::values(least_squares)).fit(&held_out.clone())?;
    /// assert!((head.combine(&members)?.to_vec2::<f64>()?[3][0] - 9.).abs() < 1e-9);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn values<E>(params: P) -> Self
    where
        P: Fit<Array2<f64>, Array1<f64>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        Self::read_by(params, ByValue)
    }
}

impl<P, M: for<'a> Predict<&'a Array2<f64>, Array1<usize>>> Linfa<P, M, ByLabel> {
    /// A classifier that predicts class ids: the class that it predicts gets probability 1.
    pub fn labels<E>(params: P) -> Self
    where
        P: Fit<Array2<f64>, Array1<usize>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        Self::read_by(params, ByLabel)
    }
}

impl<P, M: for<'a> Predict<&'a Array2<f64>, Array1<bool>>> Linfa<P, M, OneVsRest<bool>> {
    /// A classifier that tells two classes apart: one is fitted for each class against the rest.
    pub fn one_vs_rest<E>(params: P) -> Self
    where
        P: Fit<Array2<f64>, Array1<bool>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        Self::read_by(params, OneVsRest(PhantomData))
    }
}

impl<P, M: for<'a> Predict<&'a Array2<f64>, Array1<Pr>>> Linfa<P, M, OneVsRest<Pr>> {
    /// The same for one that gives the probability of `true` (linfa's `Pr`), such as a support vector machine with
    /// Platt's scaling.
    pub fn one_vs_rest_probabilities<E>(params: P) -> Self
    where
        P: Fit<Array2<f64>, Array1<bool>, E, Object = M>,
        E: std::error::Error + From<linfa::Error>,
    {
        Self::read_by(params, OneVsRest(PhantomData))
    }
}

impl<P, M, R: Reading<M>> fmt::Debug for Linfa<P, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reading = last_part(type_name::<R>());
        f.debug_struct("Linfa")
            .field("model", &last_part(type_name::<M>()))
            .field("reading", &reading)
            .finish()
    }
}

impl<P, M, R: Reading<M>> MetaLearner for Linfa<P, M, R> {
    type Model = LinfaModel<M, R>;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<LinfaModel<M, R>> {
        let name = format!("linfa's {}", last_part(type_name::<M>()));
        let task = dataset.task();
        if !<R::Target as target::Target>::goes_with(task) {
            let (must, got) = match task {
                Task::Classification { .. } => ("asked for values", "asked for classes"),
                Task::Regression { .. } => ("asked for classes", "asked for values"),
            };
            return Err(Error::invalid(name, must, got));
        }
        let answers = Answers::of(dataset, &name)?;
        let (rows, width) = answers.features.dim();
        let weights = match answers.weights.iter().all(|w| *w == answers.weights[0]) {
            true => Array1::default(0), // linfa takes an empty table as equal weights
            false => answers.weights.mapv(|w| w as f32),
        };
        let refused = |why: String| {
            let must = format!("possible on {rows} rows of {width} meta-features");
            Error::invalid(format!("the fit of {name}"), must, why)
        };
        let one = |targets: Array1<R::Target>| {
            let table = DatasetBase::new(answers.features.clone(), targets).with_weights(weights.clone());
            let model = guarded(|| (self.fit)(&self.params, &table)).map_err(|e| format!("a panic: {e}"));
            model.and_then(|model| model.map_err(|e| format!("refused: {e}"))).map_err(refused)
        };
        let models = target::Target::columns(&answers).into_iter().map(one).collect::<Result<_>>()?;
        let model = LinfaModel { task, width, present: answers.present, models, reading: PhantomData };
        let predicted = model.table(&answers.features)?;
        match predicted.iter().find(|x| !x.is_finite()) {
            Some(bad) => Err(Error::invalid(format!("a prediction of {name}"), "finite", bad)),
            None => Ok(model),
        }
    }
}

/// What [`Linfa`] comes to: fitted models `M` of linfa, whose predictions `R` reads.
///
/// It predicts on the host, whatever the device of the members, and no gradient passes through it. A row with a
/// meta-feature that is not finite comes out as NaN, without the model being asked.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "M: Serialize", deserialize = "M: Deserialize<'de>"))]
pub struct LinfaModel<M, R> {
    task: Task,
    /// Meta-features of a row.
    width: usize,
    present: Vec<usize>,
    models: Vec<M>,
    #[serde(skip)]
    reading: PhantomData<R>,
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
    /// linfa's fitted models: one an output, one a class against the rest, or one alone.
    #[must_use]
    pub fn models(&self) -> &[M] {
        &self.models
    }
}

impl<M, R: Reading<M>> LinfaModel<M, R> {
    /// `(B, F) -> (B, C)`; every number of the features is finite.
    fn table(&self, features: &Array2<f64>) -> CandleResult<Array2<f64>> {
        let name = last_part(type_name::<M>());
        let (count, each) = <R::Target as target::Target>::models(self.task, self.present.len());
        let in_order = self.present.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = self.present.iter().all(|class| *class < self.task.width());
        if self.models.len() != count || !in_order || !in_range {
            candle_core::bail!("linfa's {name} does not go with {:?}", self.task);
        }
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

impl<M, R: Reading<M>> MetaModel for LinfaModel<M, R> {
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

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let all = doubles(features)?;
        if all.ncols() != self.width {
            candle_core::bail!(
                "the model was fitted on {} meta-features, not on these {}",
                self.width,
                all.ncols()
            );
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

/// `a::b::Name<…>` as `Name`.
fn last_part(path: &str) -> &str {
    let plain = path.split('<').next().unwrap_or(path);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// What code of others gives, or what it panicked with. Nothing that it could leave half changed is used afterwards.
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
        LinfaModel { task, width: 2, present: vec![0, 1, 2], models: vec![model], reading: PhantomData }
    }

    #[test]
    fn bytes_come_back_and_odd_ones_do_not_panic() {
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
    fn names_come_from_the_models_type() {
        assert_eq!(tree().name(), "linfa-decision-tree");
        assert_eq!(last_part("a::b::Name<c::D<e>, f>"), "Name");
        assert_eq!(last_part("Name"), "Name");
    }
}
