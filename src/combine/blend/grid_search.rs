//! Weights by a search over a grid.
use crate::{
    combine::{
        blend::search::{fit_by_search, Objective, WeightLoss},
        Combiner, Weighted,
    },
    metrics::Criterion,
    Error, HeldOut, Result,
};
use rayon::prelude::*;

/// Lines of points that one parallel task evaluates; the points of a line differ in the last slot's level.
const LINES_PER_TASK: u64 = 16;

/// Tries all weights on a grid and keeps those with the least loss by any [`Criterion`].
///
/// ```text
/// min loss(Σ_s w_s p_s)  over  w = x / Σ x,  x ∈ {0, 1/n, …, 1}^S
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). Points are
/// tried in order, with the last slot's level changing fastest. Points whose levels are all equal (the
/// equal-weight mean, and all zeros) are skipped. The first of equal losses wins. The default criterion is
/// the error rate for classes and the squared error for values, and `n` is 10 by default.
///
/// Use it for up to about five slots and a criterion without a gradient. For more slots use
/// [`DifferentialEvolution`](crate::combine::DifferentialEvolution).
///
/// The cost is `(n + 1)^S` evaluations of the criterion. For the squared error and the Brier score each takes
/// `S²` multiplications, whatever the number of rows; for the error rate it reads only the rows that depend on
/// the weights, once for all levels of the last slot, for the log-loss the probabilities of the true classes; any other criterion reads all
/// predictions.
///
/// # Errors
/// [`Combiner::fit`] fails when `n` is 0, when the grid has more than [`GridSearch::max_points`] points, when
/// the criterion does not support the task, or when the criterion is finite for no weights.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     combine::{Combiner, FittedCombiner, GridSearch}, data::Task, predictions::Predictions, HeldOut,
/// };
///
/// let y = Tensor::new(&[[1f64], [2.]], &Device::Cpu)?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 2.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let fitted = GridSearch::new().fit(&held_out)?;
/// let weights = fitted.weights().unwrap();
/// assert!((weights[0] - 2. / 3.).abs() < 1e-12); // from the levels 0.2 and 0.1
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GridSearch {
    steps: usize,
    max_points: usize,
    objective: Objective,
}

impl Default for GridSearch {
    fn default() -> Self {
        Self::new()
    }
}

impl GridSearch {
    /// Creates the combiner with 11 levels for each weight (`n = 10`).
    #[must_use]
    pub fn new() -> Self {
        Self { steps: 10, max_points: 1_000_000, objective: Objective::default() }
    }

    /// Sets `n`, which is one less than the number of levels of each weight.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the loss to minimise. The default is the error rate for classes and the squared error for values.
    #[must_use]
    pub fn criterion(mut self, criterion: impl Criterion + 'static) -> Self {
        self.objective = Objective::given(criterion);
        self
    }

    /// Sets the greatest number of points that a grid may have; the default is 1,000,000.
    #[must_use]
    pub fn max_points(mut self, points: usize) -> Self {
        self.max_points = points;
        self
    }

    fn search(&self, loss: &dyn WeightLoss) -> Result<(Vec<f64>, usize)> {
        let (levels, slots) = (self.steps as u64 + 1, loss.slots() as u32);
        let fits = |points: &u64| *points <= self.max_points as u64;
        let points = levels.checked_pow(slots).filter(fits).ok_or_else(|| {
            let got = format!("{levels}^{slots} = {:.3e}", (levels as f64).powf(slots as f64));
            Error::invalid("points of the grid of weights", format!("at most {}", self.max_points), got)
        })?;
        let level = |level: u64| level as f64 / self.steps as f64;
        let weights = |mut point: u64, slots: u32| {
            let mut weights = vec![0.; slots as usize];
            for w in weights.iter_mut().rev() {
                *w = level(point % levels);
                point /= levels;
            }
            weights
        };
        let all_equal =
            |point: &u64| (0..slots).map(|s| point / levels.pow(s) % levels).all(|l| l == point % levels);
        // The levels of the last slot are tried together.
        let (lines, last) = (points / levels, (0..levels).map(level).collect::<Vec<_>>());
        let best_of_task = |task: u64| {
            let mut best: Option<(f64, u64)> = None;
            for line in task * LINES_PER_TASK..((task + 1) * LINES_PER_TASK).min(lines) {
                let losses = loss.of_last(&weights(line, slots - 1), &last)?;
                let of_line = (line * levels..).zip(losses).filter(|(point, _)| !all_equal(point));
                for (point, loss) in of_line {
                    if best.is_none_or(|(least, _)| loss < least) {
                        best = Some((loss, point));
                    }
                }
            }
            Ok(best)
        };
        let tasks = (0..lines.div_ceil(LINES_PER_TASK)).into_par_iter();
        let found: Vec<_> = tasks.map(best_of_task).collect::<Result<Vec<_>>>()?;
        let first = |a: (f64, u64), b: (f64, u64)| if b.0 < a.0 { b } else { a };
        let best = found.into_iter().flatten().reduce(first).map_or(0, |(_, point)| point);
        Ok((weights(best, slots), (points - levels) as usize))
    }
}

impl Combiner for GridSearch {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        if self.steps == 0 {
            return Err(Error::invalid("steps of the grid of weights", "at least 1", 0));
        }
        fit_by_search("grid-search", held_out, &self.objective, |loss| self.search(loss))
    }
}
