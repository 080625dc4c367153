//! A scale and an offset for each class.
use crate::{
    combine::calibrate::{
        cases::{softmax, Cases},
        temperature,
    },
    Result,
};
use argmin::{
    core::{CostFunction, Error as ArgminError, Executor, Gradient},
    solver::{linesearch::MoreThuenteLineSearch, quasinewton::LBFGS},
};
use std::cell::RefCell;

/// Weight of `Σ_c (a_c − 1)² + b_c²`, halved.
const RIDGE: f64 = 1e-8;
const STEPS: u64 = 1000;
/// Pairs that stand for the curvature.
const MEMORY: usize = 10;

/// Log-loss, and what was best so far: a search that ends in an error has found that, too.
struct Loss<'a> {
    cases: &'a Cases,
    last: RefCell<Seen>,
    best: RefCell<Seen>,
}

#[derive(Clone, Default)]
struct Seen {
    at: Vec<f64>,
    value: f64,
    slope: Vec<f64>,
}

impl Loss<'_> {
    /// Value and gradient at `[a…, b…]`, in one pass.
    fn see(&self, at: &[f64]) -> Seen {
        let mut last = self.last.borrow_mut();
        if last.at == at {
            return last.clone();
        }
        let classes = self.cases.classes;
        let (scales, offsets) = at.split_at(classes);
        let far = |i: usize| at[i] - f64::from(u8::from(i < classes));
        let mut slope: Vec<f64> = (0..at.len()).map(|i| RIDGE * far(i)).collect();
        let mut value = 0.5 * RIDGE * (0..at.len()).map(|i| far(i) * far(i)).sum::<f64>();
        let mut probs = vec![0.; classes];
        for (logs, label, weight) in self.cases.rows() {
            for (c, p) in probs.iter_mut().enumerate() {
                *p = scales[c] * logs[c] + offsets[c];
            }
            let own = probs[label];
            value += weight * (softmax(&mut probs) - own);
            probs[label] -= 1.;
            for (c, p) in probs.iter().enumerate() {
                slope[c] += weight * p * logs[c];
                slope[classes + c] += weight * p;
            }
        }
        *last = Seen { at: at.to_vec(), value, slope };
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
        Ok(self.see(at).value)
    }
}

impl Gradient for &Loss<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, at: &Vec<f64>) -> Result<Vec<f64>, ArgminError> {
        Ok(self.see(at).slope)
    }
}

/// Scales and offsets of least log-loss, starting from the best temperature, so never worse than that.
pub(crate) fn fit(cases: &Cases) -> Result<(Vec<f64>, Vec<f64>)> {
    let classes = cases.classes;
    let loss = Loss { cases, last: RefCell::default(), best: RefCell::default() };
    let mut start = vec![1. / temperature::fit(cases)?; classes];
    start.resize(2 * classes, 0.);
    loss.see(&start);
    // Twice: the second search forgets the curvature of the first.
    for _ in 0..2 {
        let from = loss.best.borrow().at.clone();
        let search = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY);
        let search = search.with_tolerance_grad(1e-9).and_then(|search| search.with_tolerance_cost(1e-15));
        // An error means that no step gets lower any more.
        let _ = search.and_then(|search| {
            Executor::new(&loss, search).configure(|s| s.max_iters(STEPS).param(from)).run()
        });
    }
    let best = loss.best.into_inner().at;
    let (scales, offsets) = best.split_at(classes);
    Ok((scales.to_vec(), offsets.to_vec()))
}
