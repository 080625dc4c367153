//! Multinomial logistic regression.
//!
//! linfa-logistic has the same objective, but it uses one thread, has no row weights, subtracts the largest
//! logit of the whole table rather than of each row, and converges slowly when columns are nearly equal, as
//! the predictions of members are. Here each evaluation is one pass over the rows on all cores, and the
//! quasi-Newton method (argmin's) works in coordinates in which the columns are uncorrelated. A test compares
//! the two.
use crate::{
    codec::real,
    combine::{
        stack::{
            affine::{affine, check_shape},
            moments::{scaled, unsolvable, Moments},
            MetaDataset, MetaLearner, MetaModel,
        },
        Fit,
    },
    data::Task,
    kernels::{cpu, float::Number},
    threads::wide,
    Error, Result, Rows,
};
use argmin::{
    core::{
        CostFunction, Error as ArgminError, Executor, Gradient, IterState, Problem, Solver, State,
        TerminationReason, TerminationStatus, KV,
    },
    solver::{
        linesearch::{condition::ArmijoCondition, BacktrackingLineSearch},
        quasinewton::LBFGS,
    },
};
use candle_core::{DType, Result as CandleResult, Tensor};
use linfa_linalg::{cholesky::*, triangular::*};
use ndarray::{linalg::general_mat_mul, s, Array1, Array2, ArrayView2, Axis, NdFloat};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, rc::Rc};

/// The number of rows in one matrix product: few enough to stay in the cache between the two products.
const CHUNK: usize = 128;
/// The number of partial sums. It is fixed and they are added in order, so that the result does not depend on
/// the number of threads.
const PARTS: usize = 16;
/// Tables with more numbers are computed in f32, if the tolerance allows it.
const LARGE: usize = 1 << 20;
/// The least tolerance that can be reached in f32.
const F32_TOLERANCE: f64 = 1e-5;
/// The largest number of meta-features for which uncorrelated coordinates save time.
const WIDE: usize = 1000;
/// The number of steps that L-BFGS keeps, as in scikit-learn.
const MEMORY: usize = 10;

/// Multinomial logistic regression with a quadratic penalty.
///
/// ```text
/// minimise −Σ_i w_i ln p(y_i | x_i) + ‖W‖² / (2 C)    with p(· | x) = softmax(W x + b)
/// ```
///
/// The objective, the default C = 1 and the default tolerance (the largest entry of the gradient, divided by
/// `Σ_i w_i`, is at most 1e-4) are those of scikit-learn's `LogisticRegression`. The intercepts `b` have no
/// penalty. The meta-features are `(R, F)`, the coefficients `(K, F)` for `K` classes; for two classes there
/// is one row of coefficients. A class that no held-out row has gets the probability 0.
///
/// Use it as the meta-learner for classes when members differ in quality or are wrong in a systematic way; it
/// minimises the log-loss, where [`Linear`](crate::combine::stack::Linear) and
/// [`Ridge`](crate::combine::stack::Ridge) minimise squared errors. With many classes there are `S·K`
/// meta-features and `K` times as many coefficients; then use a smaller C, or a blend with one weight for
/// each slot, such as [`SimplexLogLoss`](crate::combine::SimplexLogLoss).
///
/// It is fitted by L-BFGS (Liu and Nocedal 1989, doi:10.1007/BF01589116) on features that are made
/// uncorrelated first, which takes a third to a tenth of the passes over the rows. Each pass takes `R·F·K`
/// operations. Tables of more than a million numbers in f32 are computed in f32; others, and those with a
/// tolerance below 1e-5, in f64.
///
/// # Errors
/// Fitting fails for regression, when C or the tolerance is not positive and finite, when the number of
/// iterations is 0, and when all held-out rows have the same class.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{stack::{Logistic, Stack}, Combiner, FittedCombiner}, data::Task, predictions::Predictions, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu)?)?;
/// // The member is wrong when it gives class 0 a probability of 0.6, and the stack learns that.
/// let fitted = Stack::new(Logistic::new().c(100.)).fit(&held_out)?;
/// assert_eq!(fitted.combine(&predictions)?.argmax(1)?.to_vec1::<u32>()?, [0, 1, 0, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: for stacking Ting and Witten 1999, doi:10.1613/jair.594.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    c: f64,
    tolerance: f64,
    max_iterations: usize,
}

impl Default for Logistic {
    fn default() -> Self {
        Self::new()
    }
}

impl Logistic {
    /// Logistic regression with C = 1, a tolerance of 1e-4 and at most 1000 iterations.
    #[must_use]
    pub fn new() -> Self {
        Self { c: 1., tolerance: 1e-4, max_iterations: 1000 }
    }

    /// C, the inverse strength of the penalty, which must be positive; the default is 1.
    #[must_use]
    pub fn c(mut self, c: f64) -> Self {
        self.c = c;
        self
    }

    /// The largest entry of the gradient, divided by `Σ_i w_i`, at which the fit has converged; positive,
    /// 1e-4 by default. Rounding ends the fit before it reaches a tolerance far below 1e-8;
    /// [`LogisticModel::gradient`] says what was reached.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// The largest number of iterations; 1000 by default.
    #[must_use]
    pub fn max_iterations(mut self, max_iterations: usize) -> Self {
        self.max_iterations = max_iterations;
        self
    }

    fn check(&self) -> Result<()> {
        let positive = |what: &str, x: f64| match x > 0. && x.is_finite() {
            true => Ok(()),
            false => Err(Error::invalid(what, "above 0 and finite", x)),
        };
        positive("C", self.c)?;
        positive("the tolerance", self.tolerance)?;
        match self.max_iterations {
            0 => Err(Error::invalid("the largest number of iterations", "at least 1", 0)),
            _ => Ok(()),
        }
    }
}

/// A fitted [`Logistic`] regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogisticModel {
    classes: usize,
    present: Vec<u32>,
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    fit: Fit,
    #[serde(with = "real")]
    gradient: f64,
}

impl LogisticModel {
    /// One row of coefficients for each class in [`present`](Self::present). If there are two, there is a
    /// single row, for the second one.
    #[must_use]
    pub fn coefficients(&self) -> &[Vec<f64>] {
        &self.coefficients
    }

    /// The intercepts, one for each row of coefficients.
    #[must_use]
    pub fn intercepts(&self) -> &[f64] {
        &self.intercepts
    }

    /// The classes that the held-out rows have, in increasing order.
    #[must_use]
    pub fn present(&self) -> &[u32] {
        &self.present
    }

    /// The largest entry of the gradient at the end of the fit, divided by `Σ_i w_i`.
    #[must_use]
    pub fn gradient(&self) -> f64 {
        self.gradient
    }

    /// The logits of meta-features `(B, F)`, as from scikit-learn's `decision_function`: `(B, K)` for the `K`
    /// classes in [`present`](Self::present), or `(B, 1)` if there are two.
    ///
    /// # Errors
    /// When the number of features is not that of the fit.
    pub fn decision_function(&self, features: &Tensor) -> CandleResult<Tensor> {
        affine(features, &self.coefficients, &self.intercepts)
    }
}

impl MetaModel for LogisticModel {
    fn name(&self) -> String {
        "logistic".into()
    }

    fn fitted(&self) -> Option<&Fit> {
        Some(&self.fit)
    }

    fn check(&self, features: usize, task: Task) -> Result<()> {
        if task != (Task::Classification { classes: self.classes }) {
            let must = format!("classification with {} classes", self.classes);
            return Err(Error::invalid("task of logistic regression", must, format!("{task:?}")));
        }
        let increasing = self.present.is_sorted_by(|a, b| a < b);
        let in_range = self.present.iter().all(|class| (*class as usize) < self.classes);
        if self.present.len() < 2 || !increasing || !in_range {
            let must = format!("at least two, in increasing order and below {}", self.classes);
            return Err(Error::invalid(
                "classes of logistic regression",
                must,
                format!("{:?}", self.present),
            ));
        }
        let outputs = if self.present.len() == 2 { 1 } else { self.present.len() };
        check_shape(&self.coefficients, &self.intercepts, outputs, features)
    }

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let mut logits = self.decision_function(features)?;
        let known = self.present.iter().all(|c| (*c as usize) < self.classes);
        if self.coefficients.len() == 1 {
            logits = Tensor::cat(&[&logits.zeros_like()?, &logits], 1)?;
        }
        if !known || logits.dim(1)? != self.present.len() {
            candle_core::bail!(
                "the model does not have logits for classes {:?} of {}",
                self.present,
                self.classes
            )
        }
        let predicted = candle_nn::ops::softmax(&logits, 1)?;
        if self.present.len() == self.classes {
            return Ok(predicted);
        }
        let mut places = vec![0f32; self.present.len() * self.classes];
        self.present.iter().enumerate().for_each(|(k, c)| places[k * self.classes + *c as usize] = 1.);
        let places = Tensor::from_vec(places, (self.present.len(), self.classes), predicted.device())?;
        predicted.matmul(&places.to_dtype(predicted.dtype())?)
    }
}

impl MetaLearner for Logistic {
    type Model = LogisticModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<LogisticModel> {
        self.check()?;
        let Task::Classification { classes } = dataset.task() else {
            let must = "classification, since logistic regression is for classes";
            return Err(Error::invalid("the task", must, "regression"));
        };
        let (labels, weights): (Vec<u32>, _) = (dataset.targets().to_vec1()?, dataset.weights()?);
        let mut present: Vec<u32> =
            labels.iter().zip(&weights).filter(|(_, w)| **w > 0.).map(|(label, _)| *label).collect();
        present.sort_unstable();
        present.dedup();
        if let [only] = present.as_slice() {
            let must = "two or more for logistic regression";
            return Err(Error::invalid("the classes of the held-out rows", must, format!("only {only}")));
        }
        let large = dataset.features().elem_count() > LARGE && self.tolerance >= F32_TOLERANCE;
        if large && dataset.features().dtype() == DType::F32 {
            let model = self.fit_as::<f32>(dataset, &labels, &weights, present.clone(), classes)?;
            // Otherwise rounding has ended the fit before the tolerance was reached.
            if model.gradient <= self.tolerance || model.fit.iterations >= self.max_iterations {
                return Ok(model);
            }
        }
        self.fit_as::<f64>(dataset, &labels, &weights, present, classes)
    }
}

impl Logistic {
    pub(crate) fn fit_as<T: Number + NdFloat>(
        &self,
        dataset: &MetaDataset<'_>,
        labels: &[u32],
        weights: &[f64],
        present: Vec<u32>,
        classes: usize,
    ) -> Result<LogisticModel> {
        let (rows, width) = dataset.features().dims2()?;
        let outputs = if present.len() == 2 { 1 } else { present.len() };
        let total: f64 = weights.iter().sum();
        let penalty = 1. / (self.c * total);
        let coordinates = Coordinates::of(dataset, penalty)?;
        let (solution, intercepts, end) = cpu::with_slice(dataset.features(), |x: &[T]| {
            let x = ArrayView2::from_shape((rows, width), x).map_err(|e| unsolvable(&e))?;
            // A row of weight 0 may have a class that is not present; its label does not matter.
            let index = |label: &u32| present.binary_search(label).unwrap_or(0);
            let labels: Vec<usize> = labels.iter().map(index).collect();
            let weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
            let loss = Loss { x, labels: &labels, weights: &weights, outputs, penalty };
            coordinates.minimise(&loss, self)
        })??;
        let coefficients = solution.columns().into_iter().map(|c| c.to_vec()).collect();
        let End { objective, gradient, iterations } = end;
        let fit = Fit { objective, iterations, gap: None };
        Ok(LogisticModel { classes, present, coefficients, intercepts, fit, gradient })
    }
}

/// The penalised mean log-loss of a linear model, and its gradient.
struct Loss<'a, T> {
    x: ArrayView2<'a, T>,
    labels: &'a [usize],
    /// The weights of the rows, which sum to one.
    weights: &'a [f64],
    /// The number of logits; there is one for two classes.
    outputs: usize,
    penalty: f64,
}

/// The loss on some rows or on all, with its gradient by the coefficients `(F, K)` and the intercepts.
struct Gradients<T> {
    value: f64,
    coefficients: Array2<T>,
    intercepts: Vec<f64>,
}

impl<T: Number + NdFloat> Loss<'_, T> {
    fn at(&self, coefficients: &Array2<f64>, intercepts: &Array1<f64>) -> Gradients<f64> {
        let weights = coefficients.mapv(T::from_f64);
        let rows = self.labels.len();
        let each = rows.div_ceil(PARTS).next_multiple_of(CHUNK);
        let starts: Vec<usize> = (0..rows).step_by(each).collect();
        let part = |start: &usize| self.part(*start, (start + each).min(rows), &weights, intercepts);
        let parts: Vec<Gradients<T>> = wide(|| starts.par_iter().map(part).collect());
        let mut sum = Gradients {
            value: self.penalty / 2. * coefficients.iter().map(|b| b * b).sum::<f64>(),
            coefficients: coefficients * self.penalty,
            intercepts: vec![0.; self.outputs],
        };
        for part in parts {
            sum.value += part.value;
            sum.coefficients.zip_mut_with(&part.coefficients, |sum, g| *sum += (*g).into());
            sum.intercepts.iter_mut().zip(part.intercepts).for_each(|(sum, g)| *sum += g);
        }
        sum
    }

    fn part(&self, from: usize, to: usize, weights: &Array2<T>, intercepts: &Array1<f64>) -> Gradients<T> {
        let intercepts = intercepts.mapv(T::from_f64);
        let mut sum = Gradients {
            value: 0.,
            coefficients: Array2::zeros(weights.dim()),
            intercepts: vec![0.; self.outputs],
        };
        let mut logits = Array2::zeros((CHUNK.min(to - from), self.outputs));
        for start in (from..to).step_by(CHUNK) {
            let end = (start + CHUNK).min(to);
            let x = self.x.slice(s![start..end, ..]);
            let mut logits = logits.slice_mut(s![..end - start, ..]);
            general_mat_mul(T::one(), &x, weights, T::zero(), &mut logits);
            for (row, mut logits) in (start..end).zip(logits.rows_mut()) {
                logits += &intercepts;
                let Some(logits) = logits.as_slice_mut() else { continue };
                sum.value += self.weights[row] * loss_and_gradient(logits, self.labels[row]);
                let weight = T::from_f64(self.weights[row]);
                for (d, sum) in logits.iter_mut().zip(&mut sum.intercepts) {
                    *d *= weight;
                    *sum += (*d).into();
                }
            }
            general_mat_mul(T::one(), &x.t(), &logits, T::one(), &mut sum.coefficients);
        }
        sum
    }
}

/// The log-loss of a row. The logits are replaced by the gradient of the loss, `p − 1[y]`.
fn loss_and_gradient<T: Number + NdFloat>(logits: &mut [T], label: usize) -> f64 {
    if let [z] = logits {
        // Two classes: ln(1 + e^z) − y z, computed without overflow.
        let (zero, one) = (T::zero(), T::one());
        let small = (-z.abs()).exp();
        let above = if *z > zero { *z } else { zero };
        let loss = above + small.ln_1p() - if label == 1 { *z } else { zero };
        let p = if *z >= zero { one / (one + small) } else { small / (one + small) };
        *z = if label == 1 { p - one } else { p };
        return loss.into();
    }
    let largest = logits.iter().fold(T::neg_infinity(), |largest, z| if *z > largest { *z } else { largest });
    let own = logits[label];
    let mut sum = T::zero();
    for z in logits.iter_mut() {
        *z = (*z - largest).exp();
        sum += *z;
    }
    let share = T::one() / sum;
    logits.iter_mut().for_each(|z| *z *= share);
    logits[label] -= T::one();
    (sum.ln() + largest - own).into()
}

/// Coordinates for the optimizer in which the loss has nearly the same curvature in all directions. The
/// features are centred and transformed so that an upper bound of the loss's Hessian (Böhning 1992,
/// doi:10.1007/BF00048682: half the covariance, plus the penalty) becomes the identity.
struct Coordinates {
    means: Array1<f64>,
    transform: Transform,
}

/// The lower triangular `T` with `coefficients = Tᵀ · coordinates`.
enum Transform {
    Triangular(Array2<f64>),
    Diagonal(Array1<f64>),
}

impl Transform {
    fn transposed_times(&self, coordinates: &ArrayView2<'_, f64>) -> Array2<f64> {
        match self {
            Self::Triangular(t) => t.t().dot(coordinates),
            Self::Diagonal(d) => coordinates * &d.view().insert_axis(Axis(1)),
        }
    }

    fn times(&self, gradients: &Array2<f64>) -> Array2<f64> {
        match self {
            Self::Triangular(t) => t.dot(gradients),
            Self::Diagonal(d) => gradients * &d.view().insert_axis(Axis(1)),
        }
    }
}

/// The means and the variances of the columns over some rows.
fn variances(features: &Tensor, rows: &Rows) -> CandleResult<(Array1<f64>, Array1<f64>)> {
    let some = features.index_select(&Tensor::new(rows.as_slice(), features.device())?, 0)?;
    let some = some.to_dtype(DType::F64)?;
    let mean = some.mean_keepdim(0)?;
    let variance = some.broadcast_sub(&mean)?.sqr()?.mean(0)?;
    Ok((mean.squeeze(0)?.to_vec1()?.into(), variance.to_vec1()?.into()))
}

impl Coordinates {
    fn of(dataset: &MetaDataset<'_>, penalty: f64) -> Result<Self> {
        let (rows, width) = dataset.features().dims2()?;
        // The transform need not be exact, so the covariance of some evenly spaced rows is enough.
        let step = (rows / (4 * width).max(2000)).max(1);
        let some = (0..rows as u32).step_by(step).collect();
        if width > WIDE {
            let (means, variances) = variances(dataset.features(), &some)?;
            let scale = variances.sum() * 0.5 / width as f64;
            let bound = variances.mapv(|x| 0.5 * x + penalty + 1e-9 * scale.max(f64::MIN_POSITIVE));
            return Ok(Self { means, transform: Transform::Diagonal(bound.mapv(|x| 1. / x.sqrt())) });
        }
        let (means, gram) = Moments::covariance(dataset, &some)?;
        let mut bound = gram * 0.5;
        let scale = bound.diag().sum().max(f64::MIN_POSITIVE) / width as f64;
        bound.diag_mut().mapv_inplace(|x| x.max(0.) + penalty + 1e-9 * scale);
        let inverse = bound.diag().mapv(|x| 1. / x.sqrt());
        let lower = scaled(&bound, &inverse).cholesky_into().map_err(|e| unsolvable(&e))?;
        let transform = lower.solve_triangular_into(Array2::eye(width), UPLO::Lower);
        let transform = transform.map_err(|e| unsolvable(&e))? * &inverse;
        Ok(Self { means, transform: Transform::Triangular(transform) })
    }

    /// The coefficients `(F, K)` and the intercepts at these coordinates, `(F + 1, K)`.
    fn parameters(&self, at: &[f64], outputs: usize) -> (Array2<f64>, Array1<f64>) {
        let width = self.means.len();
        let (inner, last) = at.split_at((width * outputs).min(at.len()));
        let inner = ArrayView2::from_shape((width, outputs), inner);
        let coefficients =
            inner.map_or_else(|_| Array2::zeros((width, outputs)), |v| self.transform.transposed_times(&v));
        // The second derivative by an intercept is at most a half, so its coordinate is scaled by √2.
        let intercepts = last.iter().map(|b| b * std::f64::consts::SQRT_2).collect::<Array1<f64>>();
        let shift = coefficients.t().dot(&self.means);
        (coefficients, intercepts - shift)
    }

    /// The gradient by the coordinates.
    fn gradient(&self, gradients: &Gradients<f64>) -> Vec<f64> {
        let intercepts = Array1::from(gradients.intercepts.clone());
        let shift = self.means.view().insert_axis(Axis(1)).dot(&intercepts.view().insert_axis(Axis(0)));
        let inner = self.transform.times(&(&gradients.coefficients - &shift));
        let last = intercepts.iter().map(|g| g * std::f64::consts::SQRT_2);
        inner.iter().copied().chain(last).collect()
    }

    fn minimise<T: Number + NdFloat>(
        &self,
        loss: &Loss<'_, T>,
        settings: &Logistic,
    ) -> Result<(Array2<f64>, Vec<f64>, End)> {
        let start = vec![0.; (self.means.len() + 1) * loss.outputs];
        let last = Rc::new(RefCell::new(None));
        let problem = LossInCoordinates { coordinates: self, loss, last: last.clone() };
        let armijo = ArmijoCondition::new(1e-4).map_err(|e| unsolvable(&e))?;
        let search = BacktrackingLineSearch::new(armijo).rho(0.5).map_err(|e| unsolvable(&e))?;
        let solver =
            UntilConverged { inner: LBFGS::new(search, MEMORY), tolerance: settings.tolerance, last };
        let run = Executor::new(problem, solver)
            .configure(|state| state.param(start.clone()).max_iters(settings.max_iterations as u64))
            .timer(false)
            .run()
            .map_err(|e| unsolvable(&e))?;
        let iterations = run.state.get_iter();
        let best = run.state.best_param.unwrap_or(start);
        let (coefficients, intercepts) = self.parameters(&best, loss.outputs);
        let gradients = loss.at(&coefficients, &intercepts);
        let (objective, gradient) = (gradients.value, largest_entry(&gradients));
        match objective.is_finite() {
            true => Ok((
                coefficients,
                intercepts.to_vec(),
                End { objective, gradient, iterations: iterations as usize },
            )),
            false => Err(Error::invalid("the log-loss of logistic regression", "finite", objective)),
        }
    }
}

/// The end of a fit.
struct End {
    objective: f64,
    gradient: f64,
    iterations: usize,
}

/// The largest absolute entry of the gradient by coefficients and intercepts.
fn largest_entry(gradients: &Gradients<f64>) -> f64 {
    gradients.coefficients.iter().chain(&gradients.intercepts).fold(0., |max, g| max.max(g.abs()))
}

/// The last evaluation. argmin asks for the value and for the gradient one after the other, and one pass over
/// the rows gives both.
struct Evaluation {
    at: Vec<f64>,
    value: f64,
    /// By the coordinates.
    gradient: Vec<f64>,
    /// The largest entry of the gradient by coefficients and intercepts.
    largest_entry: f64,
}

/// The loss as a function of the coordinates.
struct LossInCoordinates<'a, 'b, T> {
    coordinates: &'a Coordinates,
    loss: &'a Loss<'b, T>,
    last: Rc<RefCell<Option<Evaluation>>>,
}

impl<T: Number + NdFloat> LossInCoordinates<'_, '_, T> {
    /// Evaluates the loss, unless the last evaluation was at the same point.
    fn evaluate<R>(&self, at: &[f64], read: impl Fn(&Evaluation) -> R) -> R {
        if let Some(last) = &*self.last.borrow()
            && last.at == at
        {
            return read(last);
        }
        let (coefficients, intercepts) = self.coordinates.parameters(at, self.loss.outputs);
        let gradients = self.loss.at(&coefficients, &intercepts);
        let evaluation = Evaluation {
            at: at.to_vec(),
            value: gradients.value,
            gradient: self.coordinates.gradient(&gradients),
            largest_entry: largest_entry(&gradients),
        };
        let result = read(&evaluation);
        *self.last.borrow_mut() = Some(evaluation);
        result
    }
}

impl<T: Number + NdFloat> CostFunction for LossInCoordinates<'_, '_, T> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, at: &Vec<f64>) -> Result<f64, ArgminError> {
        Ok(self.evaluate(at, |evaluation| evaluation.value))
    }
}

impl<T: Number + NdFloat> Gradient for LossInCoordinates<'_, '_, T> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, at: &Vec<f64>) -> Result<Vec<f64>, ArgminError> {
        Ok(self.evaluate(at, |evaluation| evaluation.gradient.clone()))
    }
}

/// A solver that stops when the gradient by coefficients and intercepts is small enough, rather than that by
/// the coordinates.
struct UntilConverged<S> {
    inner: S,
    tolerance: f64,
    last: Rc<RefCell<Option<Evaluation>>>,
}

type At = IterState<Vec<f64>, Vec<f64>, (), (), (), f64>;

impl<O, S: Solver<O, At>> Solver<O, At> for UntilConverged<S> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn init(&mut self, problem: &mut Problem<O>, state: At) -> Result<(At, Option<KV>), ArgminError> {
        self.inner.init(problem, state)
    }

    fn next_iter(&mut self, problem: &mut Problem<O>, state: At) -> Result<(At, Option<KV>), ArgminError> {
        self.inner.next_iter(problem, state)
    }

    fn terminate(&mut self, state: &At) -> TerminationStatus {
        let converged = self.last.borrow().as_ref().is_some_and(|last| last.largest_entry <= self.tolerance);
        // The last step changed the loss by less than rounding.
        let stuck = state.get_iter() > 0 && (state.get_prev_cost() - state.get_cost()).abs() <= f64::EPSILON;
        match converged || stuck {
            true => TerminationStatus::Terminated(TerminationReason::SolverConverged),
            false => TerminationStatus::NotTerminated,
        }
    }
}
