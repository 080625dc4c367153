//! Multinomial logistic regression.
//!
//! linfa-logistic has the same objective, but it uses one thread, has no row weights, subtracts the largest
//! logit of the whole table rather than of each row, and converges slowly when columns are nearly equal, as
//! the predictions of members are. Here each evaluation is one pass over the rows on all cores, and the
//! quasi-Newton method (argmin's) works in coordinates in which the columns are uncorrelated. A test compares
//! the two.
mod coordinates;
mod loss;
mod minimise;

use crate::{
    codec::real,
    combine::{
        stack::{
            affine::{affine, check_shape},
            moments::unsolvable,
            MetaDataset, MetaLearner, MetaModel,
        },
        Fit,
    },
    data::Task,
    kernels::{cpu, float::Number},
    Error, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use coordinates::Coordinates;
use loss::Loss;
use minimise::{minimise, End};
use ndarray::{ArrayView2, NdFloat};
use serde::{Deserialize, Serialize};

/// Tables with more numbers are computed in f32, if the tolerance allows it.
const LARGE: usize = 1 << 20;
/// The least tolerance that can be reached in f32.
const F32_TOLERANCE: f64 = 1e-5;

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
            minimise(&coordinates, &loss, self)
        })??;
        let coefficients = solution.columns().into_iter().map(|c| c.to_vec()).collect();
        let End { objective, gradient, iterations } = end;
        let fit = Fit { objective, iterations, gap: None };
        Ok(LogisticModel { classes, present, coefficients, intercepts, fit, gradient })
    }
}
