//! Temperature scaling.
use crate::{combine::calibrate::cases::Cases, kernels::softmax::softmax, Error, Result};
use argmin::{
    core::{CostFunction, Error as ArgminError, Executor, State},
    solver::brent::BrentRoot,
};

/// The least temperature; the largest one is its inverse.
const LEAST: f64 = 0.01;

/// The derivative of the log-loss by `β = 1/T`, `Σ_r w_r (E_β[z_r] − z_ry)`. The log-loss is convex in β, so
/// its derivative increases.
struct Slope<'a>(&'a Cases);

impl Slope<'_> {
    fn at(&self, beta: f64) -> f64 {
        let mut probs = vec![0.; self.0.classes];
        let row = |(logs, label, weight): (&[f64], usize, f64)| {
            probs.iter_mut().zip(logs).for_each(|(p, z)| *p = beta * z);
            softmax(&mut probs);
            let mean: f64 = probs.iter().zip(logs).map(|(p, z)| p * z).sum();
            weight * (mean - logs[label])
        };
        self.0.rows().map(row).sum()
    }
}

impl CostFunction for Slope<'_> {
    type Param = f64;
    type Output = f64;

    /// The derivative as a function of ln β, so that small and large temperatures are searched alike.
    fn cost(&self, log_beta: &f64) -> Result<f64, ArgminError> {
        Ok(self.at(log_beta.exp()))
    }
}

/// The temperature with the least log-loss.
pub(crate) fn fit(cases: &Cases) -> Result<f64> {
    let slope = Slope(cases);
    // No temperature is better than 1, as for uniform probabilities.
    if slope.at(1.).abs() < 1e-15 {
        return Ok(1.);
    }
    let end = -LEAST.ln();
    if slope.at((-end).exp()) >= 0. {
        return Ok(1. / LEAST);
    }
    if slope.at(end.exp()) <= 0. {
        return Ok(LEAST);
    }
    let failed = |e: String| Error::invalid("the derivative of the log-loss", "0 for some temperature", e);
    let solver = BrentRoot::new(-end, end, 1e-13);
    let found = Executor::new(slope, solver).configure(|state| state.max_iters(200).param(0.)).run();
    let log_beta = found.map_err(|e| failed(e.to_string()))?.state.get_best_param().copied();
    log_beta.map(|x| (-x).exp()).ok_or_else(|| failed("no root was found".into()))
}
