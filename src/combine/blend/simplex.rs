//! Minimisation of sums of convex losses over the simplex by sequential quadratic programming on an active
//! set.
//!
//! Each step minimises the local quadratic model with clarabel, over the slots with a weight and those that
//! would decrease the sum, and goes towards that minimum as far as the loss itself decreases. The gap is the
//! Frank–Wolfe gap: for a convex `f`, `f(w) − min f ≤ ∇f(w)·w − min_s ∇_s f(w)`. The method follows mix-SQP
//! (Kim, Carbonetto, Stephens and Anitescu 2018, arXiv:1806.01412).
//!
//! Where predictions are missing, the weights of a row are divided by the sum of those that are there, and the
//! sum of the losses is not convex. The quadratic model is then that of Gauss and Newton: the means are
//! linearised, `∂m_i/∂w_s = (a_s,i − m_i) / Σ_t w_t`. Only ratios of weights count, and the best may be far
//! apart, so a second search goes over the logarithms of the weights (Levenberg and Marquardt), and the first
//! goes on from its end; the lower of the two minima is the result. The gap still shows how far from stationary
//! a point is, but it bounds nothing.
use crate::{
    combine::blend::{
        matrix::{Evaluation, SlotMatrix},
        means::{mean_of_row, Means, Partial},
        quadratic::minimize_on_simplex,
    },
    kernels::{argmax::argmin, float::Number},
    threads::wide,
};
use linfa_linalg::cholesky::SolveC;
use ndarray::Array2;
use rayon::prelude::*;

/// The gap to stop at: in nats, or as a share of the equal-weight mean's squared error.
const GAP: f64 = 1e-8;
const MAX_STEPS: usize = 100;
/// Dampings that are tried for a step over the logarithms of the weights.
const MAX_DAMPINGS: usize = 25;
/// Steps without progress after which the search ends, once the gap is so small that rounding decides.
const MAX_IDLE_STEPS: u32 = 2;
/// Up to this many slots, the search starts at equal weights of all slots.
const MAX_START_SLOTS: usize = 64;
/// Up to this many slots, the search also starts near each slot alone where predictions are missing.
const MAX_NEAR_SLOTS: usize = 16;
/// With more slots than `MAX_START_SLOTS`, the search starts with the slots of least gradient at equal weights.
const START_SLOTS: usize = 32;

/// The loss `φ` of a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CellLoss<'a> {
    /// `−ln m`; every number of the matrix must be positive.
    Log,
    /// `(m − y)²`, with the target `y` of each cell.
    Squares(&'a [f64]),
}

/// The sum `Σ_i ω_i φ_i(m_i) + λ ‖w − 1/S‖²` with the weighted means `m`.
#[derive(Clone, Debug)]
pub(crate) struct SimplexProblem<'a, T> {
    pub(crate) means: &'a Means<'a, T>,
    pub(crate) loss: CellLoss<'a>,
    /// `ω`, the weight of each cell.
    pub(crate) weights: &'a [f64],
    /// `λ`; infinity gives equal weights.
    pub(crate) penalty: f64,
}

/// The end of a search.
#[derive(Clone, Debug)]
pub(crate) struct Solution {
    pub(crate) weights: Vec<f64>,
    /// The loss without the penalty.
    pub(crate) loss: f64,
    /// An upper bound of the distance of loss plus penalty from the minimum, unless predictions are missing.
    pub(crate) gap: f64,
    pub(crate) steps: usize,
}

impl<T: Number> SimplexProblem<'_, T> {
    /// Searches the minimum over the simplex from `start`.
    pub(crate) fn solve(&self, start: Option<&[f64]>) -> Solution {
        wide(|| self.search(start))
    }

    /// The loss of given weights, without the penalty.
    pub(crate) fn loss_of(&self, weights: &[f64]) -> f64 {
        wide(|| {
            let means = self.means.of(weights);
            self.value(|i| means[i])
        })
    }

    /// The mean over the slots of the second derivative of the loss, at equal weights.
    pub(crate) fn curvature(&self) -> f64 {
        let slots = self.matrix().slots;
        let equal = vec![1. / slots as f64; slots];
        wide(|| {
            let sums = self.means.of(&equal);
            let of = |s: usize| {
                let predicted = self.matrix().slot(s).zip(&sums).enumerate();
                predicted.map(|(i, (a, m))| a.powi(2) * self.second_derivative(i, *m)).sum::<f64>()
            };
            let each: Vec<f64> = (0..slots).into_par_iter().map(of).collect();
            each.iter().sum::<f64>() / slots as f64
        })
    }

    /// The second derivative of a cell's loss.
    fn second_derivative(&self, cell: usize, m: f64) -> f64 {
        match self.loss {
            CellLoss::Log => self.weights[cell] / (m * m),
            CellLoss::Squares(_) => 2. * self.weights[cell],
        }
    }

    fn matrix(&self) -> &SlotMatrix<'_, T> {
        &self.means.matrix
    }

    fn search(&self, start: Option<&[f64]>) -> Solution {
        let slots = self.matrix().slots;
        let equal = vec![1. / slots as f64; slots];
        let at_equal = self.evaluate(&equal);
        if self.penalty == f64::INFINITY || slots == 1 {
            return Solution { loss: at_equal.value, weights: equal, gap: 0., steps: 0 };
        }
        let goal = match self.loss {
            CellLoss::Log => GAP,
            CellLoss::Squares(_) => GAP * at_equal.value,
        };
        let weights = match start {
            Some(start) => start.to_vec(),
            None if slots <= MAX_START_SLOTS => equal.clone(),
            None => self.starting_weights(&at_equal),
        };
        let found = self.descend(weights, goal);
        if self.means.partial.is_none() || slots > MAX_START_SLOTS || start.is_some() {
            return found;
        }
        // The sum has several minima: from equal weights over their logarithms, and from near each slot alone.
        let share = 0.5 / slots as f64;
        let near = (0..slots).filter(|_| slots <= MAX_NEAR_SLOTS).map(|slot| {
            let mut weights = vec![share; slots];
            weights[slot] += 0.5;
            weights
        });
        let starts: Vec<Vec<f64>> = std::iter::once(equal.clone()).chain(near).collect();
        let others: Vec<Solution> = starts
            .into_par_iter()
            .map(|start| self.descend(self.descend_in_logarithms(start), goal))
            .collect();
        let steps = found.steps + others.iter().map(|other| other.steps).sum::<usize>();
        let better = |best: Solution, other| if self.is_better(&other, &best) { other } else { best };
        Solution { steps, ..others.into_iter().fold(found, better) }
    }

    /// Sequential quadratic programming from these weights on.
    fn descend(&self, mut weights: Vec<f64>, goal: f64) -> Solution {
        let mut point = self.evaluate(&weights);
        let mut best = self.solution(&weights, &point, 0);
        let mut idle = 0;
        for step in 1..=MAX_STEPS {
            if best.gap <= goal || idle > MAX_IDLE_STEPS {
                break;
            }
            let Some(next) = self.step(&weights, &point) else { break };
            weights = next;
            point = self.evaluate(&weights);
            let here = self.solution(&weights, &point, step);
            let better = self.is_better(&here, &best);
            idle = if better || best.gap > 100. * goal { 0 } else { idle + 1 };
            if better {
                best = here;
            }
            best.steps = step;
        }
        best
    }

    /// Levenberg–Marquardt steps over the logarithms of the weights.
    fn descend_in_logarithms(&self, mut weights: Vec<f64>) -> Vec<f64> {
        let all: Vec<usize> = (0..weights.len()).collect();
        let sum_of = |weights: &[f64]| self.loss_of(weights) + self.penalty_of(weights);
        let (mut sum, mut damping) = (sum_of(&weights), 1e-3);
        for _ in 0..MAX_STEPS {
            let point = self.evaluate(&weights);
            let h = self.hessian(&all, &weights, &point);
            let mean = dot(&point.gradient, &weights);
            let slopes: Vec<f64> = point.gradient.iter().zip(&weights).map(|(g, w)| w * (mean - g)).collect();
            let Some(next) = (0..MAX_DAMPINGS).find_map(|_| {
                let next = step_in_logarithms(&h, &slopes, &weights, self.penalty, damping)?;
                let next_sum = sum_of(&next);
                let decreases = next_sum < sum;
                damping = if decreases { (damping / 5.).max(1e-9) } else { 4. * damping };
                decreases.then_some((next, next_sum))
            }) else {
                break;
            };
            let decrease = sum - next.1;
            (weights, sum) = next;
            if decrease <= 1e-12 * sum.abs() {
                break;
            }
        }
        weights
    }

    /// Whether one point is nearer to the minimum than another: by the gap where it is a bound, else by the
    /// sum itself.
    fn is_better(&self, one: &Solution, other: &Solution) -> bool {
        let sum = |point: &Solution| point.loss + self.penalty_of(&point.weights);
        match self.means.partial {
            None => one.gap < other.gap,
            Some(_) => sum(one) < sum(other),
        }
    }

    fn solution(&self, weights: &[f64], point: &Evaluation, steps: usize) -> Solution {
        let here = dot(&point.gradient, weights);
        let least = point.gradient.iter().copied().fold(f64::INFINITY, f64::min);
        Solution { weights: weights.to_vec(), loss: point.value, gap: (here - least).max(0.), steps }
    }

    /// The value and the derivative of the loss of a cell with the mean `m`.
    #[inline(always)]
    fn cell(&self, i: usize, m: f64) -> (f64, f64) {
        let weight = self.weights[i];
        match self.loss {
            CellLoss::Log => (-weight * m.ln(), -weight / m),
            CellLoss::Squares(y) => (weight * (m - y[i]).powi(2), 2. * weight * (m - y[i])),
        }
    }

    /// The loss without the penalty, the gradient with the penalty, and the means.
    fn evaluate(&self, weights: &[f64]) -> Evaluation {
        let mut evaluation = match &self.means.partial {
            None => self.matrix().evaluate(weights, |i, m| self.cell(i, m)),
            Some(partial) => self.evaluate_partial(weights, partial),
        };
        let equal = 1. / weights.len() as f64;
        evaluation.gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += 2. * self.penalty * (w - equal));
        evaluation
    }

    /// The gradient `Σ_i φ'_i (a_s,i − m_i) / Σ_t w_t` over the cells of the rows that a slot predicts.
    fn evaluate_partial(&self, weights: &[f64], partial: &Partial<'_>) -> Evaluation {
        let totals = partial.there.weighted_sum(weights);
        let mut sums = self.matrix().weighted_sum(weights);
        let (mut slopes, mut pulls) = (vec![0.; sums.len()], vec![0.; totals.len()]);
        let width = partial.width;
        let each = |row: usize, sums: &mut [f64], slopes: &mut [f64], pull: &mut f64| {
            mean_of_row(sums, totals[row], &partial.equal[row * width..][..width]);
            let mut value = 0.;
            for (k, (m, slope)) in sums.iter().zip(slopes).enumerate() {
                let (v, s) = self.cell(row * width + k, *m);
                value += v;
                if totals[row] > 0. {
                    *slope = s / totals[row];
                    *pull += *slope * m;
                }
            }
            value
        };
        let rows = sums.par_chunks_exact_mut(width).zip(slopes.par_chunks_exact_mut(width));
        let rows = rows.zip(&mut pulls).enumerate();
        let values: Vec<f64> =
            rows.map(|(row, ((sums, slopes), pull))| each(row, sums, slopes, pull)).collect();
        let mut gradient = self.matrix().products(&slopes);
        let pulls = partial.there.products(&pulls);
        gradient.iter_mut().zip(pulls).for_each(|(g, pull)| *g -= pull);
        Evaluation { value: values.iter().sum(), gradient, sums }
    }

    /// The sum of the losses of the cells, whose means are `mean(i)`.
    fn value(&self, mean: impl Fn(usize) -> f64 + Sync) -> f64 {
        const CELLS: usize = 4096;
        let block = |k: usize| -> f64 {
            let cells = k * CELLS..((k + 1) * CELLS).min(self.weights.len());
            cells.map(|i| self.cell(i, mean(i)).0).sum()
        };
        let blocks = (0..self.weights.len().div_ceil(CELLS)).into_par_iter();
        let parts: Vec<f64> = blocks.map(block).collect();
        parts.iter().sum()
    }

    fn penalty_of(&self, weights: &[f64]) -> f64 {
        let equal = 1. / weights.len() as f64;
        self.penalty * weights.iter().map(|w| (w - equal).powi(2)).sum::<f64>()
    }

    /// Weights with a smaller sum, unless rounding hides every decrease.
    fn step(&self, weights: &[f64], point: &Evaluation) -> Option<Vec<f64>> {
        let decreases = |target: &Vec<f64>| directional_derivative(&point.gradient, weights, target) < 0.;
        let model = self.quadratic_minimum(weights, point).filter(decreases);
        let vertex = || {
            let mut vertex = vec![0.; weights.len()];
            vertex[argmin(&point.gradient)] = 1.;
            vertex
        };
        model
            .and_then(|to| self.line_search(&to, weights, point))
            .or_else(|| self.line_search(&vertex(), weights, point))
    }

    /// The minimum of the quadratic model over the slots with a weight and those that would decrease the sum.
    fn quadratic_minimum(&self, weights: &[f64], point: &Evaluation) -> Option<Vec<f64>> {
        let g = &point.gradient;
        let weighted_gradient = dot(g, weights);
        let mut set: Vec<usize> = (0..weights.len()).filter(|s| weights[*s] > 0.).collect();
        let mut improving: Vec<usize> =
            (0..weights.len()).filter(|s| weights[*s] == 0. && g[*s] < weighted_gradient).collect();
        improving.sort_by(|a, b| g[*a].total_cmp(&g[*b]));
        improving.truncate(set.len().max(START_SLOTS));
        set.extend(improving);
        set.sort_unstable();
        let n = set.len();
        let mut h = self.hessian(&set, weights, point);
        (0..n).for_each(|i| h[i * n + i] += 2. * self.penalty);
        let now: Vec<f64> = set.iter().map(|s| weights[*s]).collect();
        let linear = |i: usize| g[set[i]] - dot(&h[i * n..(i + 1) * n], &now);
        let target = minimize_on_simplex(&h, &(0..n).map(linear).collect::<Vec<_>>())?;
        let mut full = vec![0.; weights.len()];
        set.iter().zip(target).for_each(|(s, y)| full[*s] = y);
        Some(full)
    }

    /// The second derivatives of the loss by the weights of the slots in `set`; with missing predictions those
    /// of the linearised means.
    fn hessian(&self, set: &[usize], weights: &[f64], point: &Evaluation) -> Vec<f64> {
        let second = |i: usize| self.second_derivative(i, point.sums[i]);
        let Some(partial) = &self.means.partial else { return self.matrix().gram(set, second) };
        let totals = partial.there.weighted_sum(weights);
        let all: Vec<usize> = (0..set.len()).collect();
        let mut full = vec![0.; set.len() * set.len()];
        for (block, there) in self.matrix().blocks().iter().zip(partial.there.blocks()) {
            let (from, cells) = (block.from(), block.cells());
            let first = from / partial.width;
            let mut centred = vec![T::zero(); set.len() * cells];
            let slots = centred.par_chunks_exact_mut(cells.max(1)).zip(set);
            slots.for_each(|(centred, slot)| {
                let (values, there) = (block.slot(*slot), there.slot(*slot));
                for (i, (to, x)) in centred.iter_mut().zip(values).enumerate() {
                    let row = i / partial.width;
                    if there[row] > 0. && totals[first + row] > 0. {
                        *to = T::from_f64((*x).into() - point.sums[from + i]);
                    }
                }
            });
            block.release();
            there.release();
            let of_block = SlotMatrix::new(&centred, cells).gram(&all, |i| {
                let total = totals[first + i / partial.width];
                if total > 0. {
                    second(from + i) / (total * total)
                } else {
                    0.
                }
            });
            full.iter_mut().zip(of_block).for_each(|(sum, x)| *sum += x);
        }
        full
    }

    /// Goes towards `target`, halving the step until the sum decreases enough (Armijo).
    fn line_search(&self, target: &[f64], weights: &[f64], point: &Evaluation) -> Option<Vec<f64>> {
        let derivative = directional_derivative(&point.gradient, weights, target);
        let along = self.along(target, weights, point);
        let before = point.value + self.penalty_of(weights);
        let slack = 1e-15 * before.abs();
        (0..40).map(|halvings| 0.5f64.powi(halvings)).find_map(|t| {
            let mut next: Vec<f64> = weights.iter().zip(target).map(|(w, y)| w + t * (y - w)).collect();
            if t == 1. {
                next.copy_from_slice(target);
            }
            let after = along(t) + self.penalty_of(&next);
            (after <= before + 1e-4 * t * derivative + slack).then_some(next)
        })
    }

    /// The loss at `weights + t (target − weights)`, as a function of `t`.
    fn along<'b>(
        &'b self,
        target: &[f64],
        weights: &[f64],
        point: &'b Evaluation,
    ) -> Box<dyn Fn(f64) -> f64 + 'b> {
        let to = self.matrix().weighted_sum(target);
        let Some(partial) = &self.means.partial else {
            let direction: Vec<f64> = to.iter().zip(&point.sums).map(|(to, from)| to - from).collect();
            return Box::new(move |t| self.value(|i| point.sums[i] + t * direction[i]));
        };
        let from = self.matrix().weighted_sum(weights);
        let totals = [weights, target].map(|weights| partial.there.weighted_sum(weights));
        Box::new(move |t| {
            // In this form the end is exact, so that a total of 0 is 0.
            let between = |from: f64, to: f64| (1. - t) * from + t * to;
            self.value(|i| {
                let row = i / partial.width;
                match between(totals[0][row], totals[1][row]) {
                    total if total > 0. => between(from[i], to[i]) / total,
                    _ => partial.equal[i],
                }
            })
        })
    }

    /// Equal weights for the slots with the least gradient at equal weights, and for those it takes so that
    /// the weighted sum of no cell is far below that of the equal-weight mean.
    fn starting_weights(&self, at_equal: &Evaluation) -> Vec<f64> {
        let mut order: Vec<usize> = (0..self.matrix().slots).collect();
        order.sort_by(|a, b| at_equal.gradient[*a].total_cmp(&at_equal.gradient[*b]));
        let mut chosen = vec![0.; self.matrix().slots];
        order.iter().take(START_SLOTS).for_each(|s| chosen[*s] = 1. / START_SLOTS as f64);
        if let CellLoss::Log = self.loss {
            let sums = self.means.of(&chosen);
            for i in (0..sums.len()).filter(|i| sums[*i] < 1e-3 * at_equal.sums[*i]) {
                let negated: Vec<f64> = order.iter().map(|s| -self.matrix().at(*s, i)).collect();
                chosen[order[argmin(&negated)]] = 1.;
            }
        }
        let used = chosen.iter().filter(|w| **w > 0.).count() as f64;
        chosen.iter().map(|w| if *w > 0. { 1. / used } else { 0. }).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn directional_derivative(gradient: &[f64], from: &[f64], to: &[f64]) -> f64 {
    gradient.iter().zip(from.iter().zip(to)).map(|(g, (from, to))| g * (to - from)).sum()
}

/// A damped Gauss–Newton step over the logarithms of the weights; `None` if its equations have no solution.
/// `slopes` are the negative derivatives.
fn step_in_logarithms(
    h: &[f64],
    slopes: &[f64],
    weights: &[f64],
    penalty: f64,
    damping: f64,
) -> Option<Vec<f64>> {
    let n = weights.len();
    let curvature = |i: usize| {
        let diagonal = if i / n == i % n { 2. * penalty } else { 0. };
        weights[i / n] * (h[i] + diagonal) * weights[i % n]
    };
    let mut matrix = Array2::from_shape_fn((n, n), |(s, t)| curvature(s * n + t));
    let mean = matrix.diag().sum() / n as f64;
    matrix.diag_mut().iter_mut().for_each(|x| *x += damping * mean.max(f64::MIN_POSITIVE));
    let slopes = Array2::from_shape_vec((n, 1), slopes.to_vec()).ok()?;
    let step = matrix.solvec(&slopes).ok()?;
    // A step of 3 changes a weight by a factor of 20.
    let raw: Vec<f64> = weights.iter().zip(&step).map(|(w, x)| w * x.clamp(-3., 3.).exp()).collect();
    let total: f64 = raw.iter().sum();
    (total.is_finite() && total > 0.).then(|| raw.into_iter().map(|w| w / total).collect())
}
