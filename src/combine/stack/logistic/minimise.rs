//! The quasi-Newton method, in coordinates in which the meta-features are uncorrelated.
use super::{
    coordinates::Coordinates,
    loss::{largest_entry, Loss},
    Logistic,
};
use crate::{combine::stack::moments::unsolvable, kernels::float::Number, Error, Result};
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
use ndarray::{Array2, NdFloat};
use std::{cell::RefCell, rc::Rc};

/// The number of steps that L-BFGS keeps, as in scikit-learn.
const MEMORY: usize = 10;

/// The end of a fit.
pub(super) struct End {
    pub(super) objective: f64,
    pub(super) gradient: f64,
    pub(super) iterations: usize,
}

/// The coefficients `(F, K)` and the intercepts of the least loss, from L-BFGS in these coordinates.
pub(super) fn minimise<T: Number + NdFloat>(
    coordinates: &Coordinates,
    loss: &Loss<'_, T>,
    settings: &Logistic,
) -> Result<(Array2<f64>, Vec<f64>, End)> {
    let start = vec![0.; (coordinates.means.len() + 1) * loss.outputs];
    let last = Rc::new(RefCell::new(None));
    let problem = LossInCoordinates { coordinates, loss, last: last.clone() };
    let armijo = ArmijoCondition::new(1e-4).map_err(|e| unsolvable(&e))?;
    let search = BacktrackingLineSearch::new(armijo).rho(0.5).map_err(|e| unsolvable(&e))?;
    let solver = UntilConverged { inner: LBFGS::new(search, MEMORY), tolerance: settings.tolerance, last };
    let run = Executor::new(problem, solver)
        .configure(|state| state.param(start.clone()).max_iters(settings.max_iterations as u64))
        .timer(false)
        .run()
        .map_err(|e| unsolvable(&e))?;
    let iterations = run.state.get_iter();
    let best = run.state.best_param.unwrap_or(start);
    let (coefficients, intercepts) = coordinates.parameters(&best, loss.outputs);
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
