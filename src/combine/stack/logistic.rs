//! Multinomial logistic regression.
//!
//! linfa-logistic has the same objective, but one thread, a first-order start on columns that are nearly the same
//! (members agree), no weights of rows, and a log-sum-exp about the largest logit of the whole table. Here each
//! evaluation is one pass over the rows on all cores, and the quasi-Newton method (argmin's) works in coordinates in
//! which the columns are uncorrelated. linfa is the oracle of a test.
use crate::{
    codec::real,
    combine::{
        stack::{
            affine::affine,
            sums::{scaled, unsolved, Sums},
            MetaDataset, MetaLearner, MetaModel,
        },
        Fit,
    },
    data::Task,
    kernels::{cpu, float::Number},
    threads::wide,
    Error, Result,
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

/// Rows that are multiplied at once: what they need stays in a core's cache between the two products.
const CHUNK: usize = 128;
/// Partial sums, whatever the number of threads, added in order.
const PARTS: usize = 16;
/// Tables above this many numbers are worked on in f32, where the tolerance allows.
const LARGE: usize = 1 << 20;
/// Below this tolerance the rounding of f32 would keep the gradient from falling.
const FINE: f64 = 1e-5;
/// Meta-features above which uncorrelated coordinates cost more than they save.
const WIDE: usize = 1000;
/// Steps that the quasi-Newton method remembers, as in scikit-learn.
const MEMORY: usize = 10;

/// Multinomial logistic regression with a quadratic penalty: minimises
/// `−Σ_i w_i ln p(y_i | x_i) + ‖W‖² / (2 C)`, the intercepts free; for two classes the logistic regression with one
/// vector of coefficients. The objective, the default C = 1 and the default accuracy (the largest entry of the
/// gradient, divided by Σw, at most 1e-4) are those of scikit-learn's `LogisticRegression`.
///
/// Classes that no held-out row is of get the probability 0; one class alone is an error. By L-BFGS (Liu and Nocedal
/// 1989, doi:10.1007/BF01589116) on features made uncorrelated, which takes a third to a tenth of the passes. Large
/// tables are worked on in f32, all others, and those of a tolerance below 1e-5, in f64.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{stack::{Logistic, Stack}, Combiner, FittedCombiner}, data::Task, predictions::Predictions, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu)?)?;
/// // What is predicted with .6 is more often wrong than not, and the stack learns it.
/// let fitted = Stack::new(Logistic::new().c(100.)).fit(&held_out)?;
/// assert_eq!(fitted.combine(&predictions)?.argmax(1)?.to_vec1::<u32>()?, [0, 1, 0, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    c: f64,
    tolerance: f64,
    iterations: u64,
}

impl Default for Logistic {
    fn default() -> Self {
        Self::new()
    }
}

impl Logistic {
    /// C = 1, tolerance 1e-4, at most 1000 iterations.
    #[must_use]
    pub fn new() -> Self {
        Self { c: 1., tolerance: 1e-4, iterations: 1000 }
    }

    /// The inverse strength of the penalty, above 0.
    #[must_use]
    pub fn c(mut self, c: f64) -> Self {
        self.c = c;
        self
    }

    /// The largest entry of the gradient, divided by Σw, at which the fit has converged, above 0. Much below 1e-8 the
    /// rounding of the objective ends it first; [`LogisticModel::gradient`] tells how far it came.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// At most so many iterations.
    #[must_use]
    pub fn max_iterations(mut self, iterations: u64) -> Self {
        self.iterations = iterations;
        self
    }

    fn check(&self) -> Result<()> {
        let positive = |what: &str, x: f64| match x > 0. && x.is_finite() {
            true => Ok(()),
            false => Err(Error::invalid(what, "above 0 and finite", x)),
        };
        positive("C", self.c)?;
        positive("the tolerance", self.tolerance)?;
        match self.iterations {
            0 => Err(Error::invalid("the most iterations", "at least 1", 0)),
            _ => Ok(()),
        }
    }
}

/// A [`Logistic`] regression, fitted.
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
    /// One row of coefficients for each class that occurred; a single one, for the second of them, where two did.
    #[must_use]
    pub fn coefficients(&self) -> &[Vec<f64>] {
        &self.coefficients
    }

    /// As many as rows of coefficients.
    #[must_use]
    pub fn intercepts(&self) -> &[f64] {
        &self.intercepts
    }

    /// The classes that occurred in the held-out rows.
    #[must_use]
    pub fn present(&self) -> &[u32] {
        &self.present
    }

    /// The largest entry of the gradient at the end, divided by Σw.
    #[must_use]
    pub fn gradient(&self) -> f64 {
        self.gradient
    }

    /// The logits `(B, K)`, as scikit-learn's `decision_function` gives them: one a class that occurred, or `(B, 1)`.
    ///
    /// # Errors
    /// When the features are not those of the fit.
    pub fn decisions(&self, features: &Tensor) -> CandleResult<Tensor> {
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

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let mut logits = self.decisions(features)?;
        let known = self.present.iter().all(|c| (*c as usize) < self.classes);
        if self.coefficients.len() == 1 {
            logits = Tensor::cat(&[&logits.zeros_like()?, &logits], 1)?;
        }
        if !known || logits.dim(1)? != self.present.len() {
            candle_core::bail!("the model has {} classes of {}", self.present.len(), self.classes)
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
            return Err(Error::invalid("logistic regression", "asked for classes", "asked for values"));
        };
        let (labels, weights): (Vec<u32>, _) = (dataset.targets().to_vec1()?, dataset.weights()?);
        let mut present: Vec<u32> =
            labels.iter().zip(&weights).filter(|(_, w)| **w > 0.).map(|(label, _)| *label).collect();
        present.sort_unstable();
        present.dedup();
        if let [only] = present.as_slice() {
            let must = "of at least two classes for logistic regression";
            return Err(Error::invalid("the held-out rows", must, format!("all of class {only}")));
        }
        let large = dataset.features().elem_count() > LARGE && self.tolerance >= FINE;
        if large && dataset.features().dtype() == DType::F32 {
            let model = self.fit_as::<f32>(dataset, &labels, &weights, present.clone(), classes)?;
            // Unless rounding came before the tolerance.
            if model.gradient <= self.tolerance || model.fit.iterations >= self.iterations {
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
        let frame = Frame::of(dataset, penalty)?;
        let (solution, intercepts, state) = cpu::with_slice(dataset.features(), |x: &[T]| {
            let x = ArrayView2::from_shape((rows, width), x).map_err(|e| unsolved(&e))?;
            let place = |label: &u32| present.binary_search(label).unwrap_or(0);
            let labels: Vec<usize> = labels.iter().map(place).collect();
            // A row of weight 0 may be of a class that does not occur; it counts nothing.
            let weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
            let loss = Loss { x, labels: &labels, weights: &weights, outputs, penalty };
            frame.minimise(&loss, self)
        })??;
        let coefficients = solution.columns().into_iter().map(|c| c.to_vec()).collect();
        let Ended { objective, gradient, iterations } = state;
        let fit = Fit { objective, iterations, gap: None };
        Ok(LogisticModel { classes, present, coefficients, intercepts, fit, gradient })
    }
}

/// The penalised mean log-loss of a linear model, and its gradient.
struct Loss<'a, T> {
    x: ArrayView2<'a, T>,
    labels: &'a [usize],
    /// They sum to one.
    weights: &'a [f64],
    /// Logits; a single one stands for two classes.
    outputs: usize,
    penalty: f64,
}

/// A part's or the whole's value, with the gradient by coefficients `(F, K)` and intercepts.
struct Slope<T> {
    value: f64,
    coefficients: Array2<T>,
    intercepts: Vec<f64>,
}

impl<T: Number + NdFloat> Loss<'_, T> {
    fn at(&self, coefficients: &Array2<f64>, intercepts: &Array1<f64>) -> Slope<f64> {
        let weights = coefficients.mapv(T::from_f64);
        let rows = self.labels.len();
        let each = rows.div_ceil(PARTS).next_multiple_of(CHUNK);
        let starts: Vec<usize> = (0..rows).step_by(each).collect();
        let part = |start: &usize| self.part(*start, (start + each).min(rows), &weights, intercepts);
        let parts: Vec<Slope<T>> = wide(|| starts.par_iter().map(part).collect());
        let mut slope = Slope {
            value: self.penalty / 2. * coefficients.iter().map(|b| b * b).sum::<f64>(),
            coefficients: coefficients * self.penalty,
            intercepts: vec![0.; self.outputs],
        };
        for part in parts {
            slope.value += part.value;
            slope.coefficients.zip_mut_with(&part.coefficients, |sum, g| *sum += (*g).into());
            slope.intercepts.iter_mut().zip(part.intercepts).for_each(|(sum, g)| *sum += g);
        }
        slope
    }

    fn part(&self, from: usize, to: usize, weights: &Array2<T>, intercepts: &Array1<f64>) -> Slope<T> {
        let intercepts = intercepts.mapv(T::from_f64);
        let mut slope = Slope {
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
                slope.value += self.weights[row] * residual(logits, self.labels[row]);
                let weight = T::from_f64(self.weights[row]);
                for (d, sum) in logits.iter_mut().zip(&mut slope.intercepts) {
                    *d *= weight;
                    *sum += (*d).into();
                }
            }
            general_mat_mul(T::one(), &x.t(), &logits, T::one(), &mut slope.coefficients);
        }
        slope
    }
}

/// The log-loss of a row, whose logits become the loss's gradient, `p − 1[y]`.
fn residual<T: Number + NdFloat>(logits: &mut [T], label: usize) -> f64 {
    if let [z] = logits {
        // Two classes: ln(1 + e^z) − y z, without overflow.
        let (zero, one) = (T::zero(), T::one());
        let small = (-z.abs()).exp();
        let above = if *z > zero { *z } else { zero };
        let loss = above + small.ln_1p() - if label == 1 { *z } else { zero };
        let p = if *z >= zero { one / (one + small) } else { small / (one + small) };
        *z = if label == 1 { p - one } else { p };
        return loss.into();
    }
    let most = logits.iter().fold(T::neg_infinity(), |most, z| if *z > most { *z } else { most });
    let own = logits[label];
    let mut sum = T::zero();
    for z in logits.iter_mut() {
        *z = (*z - most).exp();
        sum += *z;
    }
    let share = T::one() / sum;
    logits.iter_mut().for_each(|z| *z *= share);
    logits[label] -= T::one();
    (sum.ln() + most - own).into()
}

/// Coordinates in which the loss is nearly round: features about their means, turned so that a bound of the loss's
/// curvature (Böhning 1992, doi:10.1007/BF00048682: a quarter to a half of the covariance, plus the penalty) is one.
struct Frame {
    means: Array1<f64>,
    /// Lower triangular T with coefficients = Tᵀ · coordinates.
    turn: Array2<f64>,
}

impl Frame {
    fn of(dataset: &MetaDataset<'_>, penalty: f64) -> Result<Self> {
        let (rows, width) = dataset.features().dims2()?;
        // A preconditioner need not be exact: some rows, evenly spread, tell how columns go together.
        let step = (rows / (4 * width).max(2000)).max(1);
        let moments = Sums::covariance(dataset, &(0..rows as u32).step_by(step).collect())?;
        let (means, gram) = moments;
        let mut bound = gram * 0.5;
        let scale = bound.diag().sum().max(f64::MIN_POSITIVE) / width as f64;
        bound.diag_mut().mapv_inplace(|x| x.max(0.) + penalty + 1e-9 * scale);
        let inverse = bound.diag().mapv(|x| 1. / x.sqrt());
        let turn = match width {
            0..=WIDE => {
                let lower = scaled(&bound, &inverse).cholesky_into().map_err(|e| unsolved(&e))?;
                let turn = lower.solve_triangular_into(Array2::eye(width), UPLO::Lower);
                turn.map_err(|e| unsolved(&e))? * &inverse
            }
            _ => Array2::from_diag(&inverse),
        };
        Ok(Self { means, turn })
    }

    /// Coefficients `(F, K)` and intercepts at coordinates `(F + 1, K)`.
    fn place(&self, at: &[f64], outputs: usize) -> (Array2<f64>, Array1<f64>) {
        let width = self.means.len();
        let (inner, last) = at.split_at((width * outputs).min(at.len()));
        let inner = ArrayView2::from_shape((width, outputs), inner);
        let coefficients = inner.map_or_else(|_| Array2::zeros((width, outputs)), |v| self.turn.t().dot(&v));
        // An intercept's curvature is at most a half, and its coordinate is in units of that.
        let intercepts = last.iter().map(|b| b * std::f64::consts::SQRT_2).collect::<Array1<f64>>();
        let shift = coefficients.t().dot(&self.means);
        (coefficients, intercepts - shift)
    }

    /// The slope by coordinates.
    fn slope(&self, slope: &Slope<f64>) -> Vec<f64> {
        let intercepts = Array1::from(slope.intercepts.clone());
        let about = self.means.view().insert_axis(Axis(1)).dot(&intercepts.view().insert_axis(Axis(0)));
        let inner = self.turn.dot(&(&slope.coefficients - &about));
        let last = intercepts.iter().map(|g| g * std::f64::consts::SQRT_2);
        inner.iter().copied().chain(last).collect()
    }

    fn minimise<T: Number + NdFloat>(
        &self,
        loss: &Loss<'_, T>,
        settings: &Logistic,
    ) -> Result<(Array2<f64>, Vec<f64>, Ended)> {
        let start = vec![0.; (self.means.len() + 1) * loss.outputs];
        let last = Rc::new(RefCell::new(None));
        let problem = InFrame { frame: self, loss, last: last.clone() };
        let armijo = ArmijoCondition::new(1e-4).map_err(|e| unsolved(&e))?;
        let search = BacktrackingLineSearch::new(armijo).rho(0.5).map_err(|e| unsolved(&e))?;
        let solver = Until { inner: LBFGS::new(search, MEMORY), tolerance: settings.tolerance, last };
        let run = Executor::new(problem, solver)
            .configure(|state| state.param(start.clone()).max_iters(settings.iterations))
            .timer(false)
            .run()
            .map_err(|e| unsolved(&e))?;
        let iterations = run.state.get_iter();
        let best = run.state.best_param.unwrap_or(start);
        let (coefficients, intercepts) = self.place(&best, loss.outputs);
        let slope = loss.at(&coefficients, &intercepts);
        let (objective, gradient) = (slope.value, steepest(&slope));
        match objective.is_finite() {
            true => Ok((coefficients, intercepts.to_vec(), Ended { objective, gradient, iterations })),
            false => {
                Err(Error::invalid("the meta-features", "of a size that logits can be made of", objective))
            }
        }
    }
}

struct Ended {
    objective: f64,
    gradient: f64,
    iterations: u64,
}

fn steepest(slope: &Slope<f64>) -> f64 {
    slope.coefficients.iter().chain(&slope.intercepts).fold(0., |most, g| most.max(g.abs()))
}

/// The last place looked at: value, slope by coordinates, and the largest entry of the gradient proper. argmin asks
/// for value and slope one after the other, and one pass over the rows gives both.
struct Seen {
    at: Vec<f64>,
    value: f64,
    slope: Vec<f64>,
    steepest: f64,
}

struct InFrame<'a, 'b, T> {
    frame: &'a Frame,
    loss: &'a Loss<'b, T>,
    last: Rc<RefCell<Option<Seen>>>,
}

impl<T: Number + NdFloat> InFrame<'_, '_, T> {
    fn see<R>(&self, at: &[f64], of: impl Fn(&Seen) -> R) -> R {
        if let Some(seen) = &*self.last.borrow()
            && seen.at == at
        {
            return of(seen);
        }
        let (coefficients, intercepts) = self.frame.place(at, self.loss.outputs);
        let slope = self.loss.at(&coefficients, &intercepts);
        let steepest = steepest(&slope);
        let seen = Seen { at: at.to_vec(), value: slope.value, slope: self.frame.slope(&slope), steepest };
        let answer = of(&seen);
        *self.last.borrow_mut() = Some(seen);
        answer
    }
}

impl<T: Number + NdFloat> CostFunction for InFrame<'_, '_, T> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, at: &Vec<f64>) -> Result<f64, ArgminError> {
        Ok(self.see(at, |seen| seen.value))
    }
}

impl<T: Number + NdFloat> Gradient for InFrame<'_, '_, T> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, at: &Vec<f64>) -> Result<Vec<f64>, ArgminError> {
        Ok(self.see(at, |seen| seen.slope.clone()))
    }
}

/// A solver that ends by the gradient proper, not by that of the coordinates it works in.
struct Until<S> {
    inner: S,
    tolerance: f64,
    last: Rc<RefCell<Option<Seen>>>,
}

type At = IterState<Vec<f64>, Vec<f64>, (), (), (), f64>;

impl<O, S: Solver<O, At>> Solver<O, At> for Until<S> {
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
        let flat = self.last.borrow().as_ref().is_some_and(|seen| seen.steepest <= self.tolerance);
        // No step that the numbers can tell from none.
        let stuck = state.get_iter() > 0 && (state.get_prev_cost() - state.get_cost()).abs() <= f64::EPSILON;
        match flat || stuck {
            true => TerminationStatus::Terminated(TerminationReason::SolverConverged),
            false => TerminationStatus::NotTerminated,
        }
    }
}
