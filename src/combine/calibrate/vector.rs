//! Vector scaling: a scale and an offset for each class.
use crate::{
    combine::calibrate::{cases::Cases, temperature},
    kernels::softmax::softmax,
    Result,
};
use argmin::{
    core::{CostFunction, Error as ArgminError, Executor, Gradient},
    solver::{linesearch::MoreThuenteLineSearch, quasinewton::LBFGS},
};
use std::cell::RefCell;

/// Twice the weight of the penalty `Σ_c (a_c − 1)² + b_c²`.
const RIDGE: f64 = 1e-8;
const MAX_ITERATIONS: u64 = 1000;
/// The number of steps that L-BFGS keeps.
const MEMORY: usize = 10;

/// The log-loss. It keeps the best evaluation, because a search can end with an error after it has found a
/// good one.
struct Loss<'a> {
    cases: &'a Cases,
    last: RefCell<Evaluation>,
    best: RefCell<Evaluation>,
}

#[derive(Clone, Default)]
struct Evaluation {
    at: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

impl Loss<'_> {
    /// The value and the gradient at `[a_1, …, a_C, b_1, …, b_C]`, in one pass.
    fn evaluate(&self, at: &[f64]) -> Evaluation {
        let mut last = self.last.borrow_mut();
        if last.at == at {
            return last.clone();
        }
        let classes = self.cases.classes;
        let (scales, offsets) = at.split_at(classes);
        let deviation = |i: usize| at[i] - f64::from(u8::from(i < classes));
        let mut gradient: Vec<f64> = (0..at.len()).map(|i| RIDGE * deviation(i)).collect();
        let mut value = 0.5 * RIDGE * (0..at.len()).map(|i| deviation(i) * deviation(i)).sum::<f64>();
        let mut probs = vec![0.; classes];
        for (logs, label, weight) in self.cases.rows() {
            for (c, p) in probs.iter_mut().enumerate() {
                *p = scales[c] * logs[c] + offsets[c];
            }
            let own = probs[label];
            value += weight * (softmax(&mut probs) - own);
            probs[label] -= 1.;
            for (c, p) in probs.iter().enumerate() {
                gradient[c] += weight * p * logs[c];
                gradient[classes + c] += weight * p;
            }
        }
        *last = Evaluation { at: at.to_vec(), value, gradient };
        let mut best = self.best.borrow_mut();
        if best.at.is_empty() || last.value < best.value {
            *best = last.clone();
        }
        last.clone()
    }
}

impl CostFunction for &Loss<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, at: &Vec<f64>) -> Result<f64, ArgminError> {
        Ok(self.evaluate(at).value)
    }
}

impl Gradient for &Loss<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, at: &Vec<f64>) -> Result<Vec<f64>, ArgminError> {
        Ok(self.evaluate(at).gradient)
    }
}

/// The scales and offsets with the least log-loss. The search starts at the best temperature, so the result
/// is not worse.
pub(crate) fn fit(cases: &Cases) -> Result<(Vec<f64>, Vec<f64>)> {
    let classes = cases.classes;
    let loss = Loss { cases, last: RefCell::default(), best: RefCell::default() };
    let mut start = vec![1. / temperature::fit(cases)?; classes];
    start.resize(2 * classes, 0.);
    loss.evaluate(&start);
    // The search is restarted once, with a new estimate of the curvature.
    for _ in 0..2 {
        let from = loss.best.borrow().at.clone();
        let search = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY);
        let search = search.with_tolerance_grad(1e-9).and_then(|search| search.with_tolerance_cost(1e-15));
        // An error means that no step lowers the loss any more.
        let _ = search.and_then(|search| {
            Executor::new(&loss, search).configure(|s| s.max_iters(MAX_ITERATIONS).param(from)).run()
        });
    }
    let best = loss.best.into_inner().at;
    let (scales, offsets) = best.split_at(classes);
    Ok((scales.to_vec(), offsets.to_vec()))
}
