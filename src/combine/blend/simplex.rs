//! Sums of convex losses over the simplex, by sequential quadratic programming on an active set.
//!
//! Each step asks clarabel for the minimum of the local quadratic model over the slots that count and those that
//! would better the sum, and goes as far towards it as the loss itself falls. The gap is Frank and Wolfe's:
//! for a convex `f`, `f(w) − min f ≤ ∇f(w)·w − min_s ∇_s f(w)`. After mix-SQP (Kim, Carbonetto, Stephens and Anitescu
//! 2018, arXiv:1806.01412).
use crate::{
    combine::blend::{
        quadratic::on_simplex,
        table::{Pass, Table},
    },
    kernels::{argmax::argmin, float::Number},
    threads::wide,
};
use rayon::prelude::*;

/// The gap to stop at: nats, or a share of the equal-weight mean's squared error.
const GAP: f64 = 1e-8;
const STEPS: u64 = 100;
/// Steps that may bring nothing, once the gap is small, before rounding is taken to have the last word.
const IDLE: u32 = 2;
/// Up to this many slots all are asked at first; of more, those that look best from the middle.
const FEW: usize = 64;
const FIRST: usize = 32;

/// What is summed over the cells, each times its weight.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss<'a> {
    /// `−ln m`; every number of the table is positive.
    Log,
    /// `(m − y)²`, with each cell's `y`.
    Squares(&'a [f64]),
}

/// `Σ_i ω_i φ_i(m_i) + λ ‖w − 1/S‖²`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem<'a, T> {
    pub(crate) table: Table<'a, T>,
    pub(crate) loss: Loss<'a>,
    /// Of each cell.
    pub(crate) weights: &'a [f64],
    /// `λ`: at infinity the weights are equal.
    pub(crate) strength: f64,
}

/// Where the search ended.
#[derive(Clone, Debug)]
pub(crate) struct Solution {
    pub(crate) weights: Vec<f64>,
    /// Without the penalty.
    pub(crate) loss: f64,
    /// By how much loss and penalty may lie above the least.
    pub(crate) gap: f64,
    pub(crate) steps: u64,
}

impl<T: Number> Problem<'_, T> {
    /// The minimum over the simplex, searched from `start`.
    pub(crate) fn solve(&self, start: Option<&[f64]>) -> Solution {
        wide(|| self.search(start))
    }

    /// The loss of given weights, without the penalty.
    pub(crate) fn loss_of(&self, weights: &[f64]) -> f64 {
        wide(|| {
            let mixed = self.table.mix(weights);
            self.value(&mixed, &mixed, 0.)
        })
    }

    /// The mean over the slots of the loss's own curvature, at equal weights.
    pub(crate) fn curvature(&self) -> f64 {
        let slots = self.table.slots;
        let even = vec![1. / slots as f64; slots];
        wide(|| {
            let mixed = self.table.mix(&even);
            let of = |s: usize| {
                let predicted = self.table.slot(s).iter().zip(&mixed).enumerate();
                predicted.map(|(i, (a, m))| (*a).into().powi(2) * self.bend(i, *m)).sum::<f64>()
            };
            let each: Vec<f64> = (0..slots).into_par_iter().map(of).collect();
            each.iter().sum::<f64>() / slots as f64
        })
    }

    /// The second derivative of a cell's loss.
    fn bend(&self, cell: usize, m: f64) -> f64 {
        match self.loss {
            Loss::Log => self.weights[cell] / (m * m),
            Loss::Squares(_) => 2. * self.weights[cell],
        }
    }

    fn search(&self, start: Option<&[f64]>) -> Solution {
        let slots = self.table.slots;
        let even = vec![1. / slots as f64; slots];
        let middle = self.at(&even);
        if self.strength == f64::INFINITY || slots == 1 {
            return Solution { loss: middle.value, weights: even, gap: 0., steps: 0 };
        }
        let goal = match self.loss {
            Loss::Log => GAP,
            Loss::Squares(_) => GAP * middle.value,
        };
        let mut weights = match start {
            Some(start) => start.to_vec(),
            None if slots <= FEW => even,
            None => self.promising(&middle),
        };
        let mut point = self.at(&weights);
        let mut best = self.solution(&weights, &point, 0);
        let mut idle = 0;
        for step in 1..=STEPS {
            if best.gap <= goal || idle > IDLE {
                break;
            }
            let Some(next) = self.step(&weights, &point) else { break };
            weights = next;
            point = self.at(&weights);
            let here = self.solution(&weights, &point, step);
            idle = if here.gap < best.gap || best.gap > 100. * goal { 0 } else { idle + 1 };
            if here.gap < best.gap {
                best = here;
            }
            best.steps = step;
        }
        best
    }

    fn solution(&self, weights: &[f64], point: &Pass, steps: u64) -> Solution {
        let here = product(&point.gradient, weights);
        let least = point.gradient.iter().copied().fold(f64::INFINITY, f64::min);
        Solution { weights: weights.to_vec(), loss: point.value, gap: (here - least).max(0.), steps }
    }

    /// The loss without the penalty, the gradient with it.
    fn at(&self, weights: &[f64]) -> Pass {
        let mut pass = self.table.pass(weights, |i, m| {
            let weight = self.weights[i];
            match self.loss {
                Loss::Log => (-weight * m.ln(), -weight / m),
                Loss::Squares(y) => (weight * (m - y[i]).powi(2), 2. * weight * (m - y[i])),
            }
        });
        let even = 1. / self.table.slots as f64;
        pass.gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += 2. * self.strength * (w - even));
        pass
    }

    /// The loss of what is mixed, moved by `t` along `along`.
    fn value(&self, mixed: &[f64], along: &[f64], t: f64) -> f64 {
        const CELLS: usize = 4096;
        let block = |(k, (mixed, along)): (usize, (&[f64], &[f64]))| {
            let cells = mixed.iter().zip(along).zip(&self.weights[k * CELLS..]).enumerate();
            let each = cells.map(|(i, ((m, d), weight))| {
                let m = m + t * d;
                match self.loss {
                    Loss::Log => -weight * m.ln(),
                    Loss::Squares(y) => weight * (m - y[k * CELLS + i]).powi(2),
                }
            });
            each.sum::<f64>()
        };
        let blocks = mixed.par_chunks(CELLS).zip(along.par_chunks(CELLS)).enumerate();
        let parts: Vec<f64> = blocks.map(block).collect();
        parts.iter().sum()
    }

    fn penalty(&self, weights: &[f64]) -> f64 {
        let even = 1. / weights.len() as f64;
        self.strength * weights.iter().map(|w| (w - even).powi(2)).sum::<f64>()
    }

    /// Weights with a smaller sum, if there is a way down that rounding can tell from none.
    fn step(&self, weights: &[f64], point: &Pass) -> Option<Vec<f64>> {
        let downhill = |target: &Vec<f64>| slope(&point.gradient, weights, target) < 0.;
        let model = self.model(weights, point).filter(downhill);
        let vertex = || {
            let mut vertex = vec![0.; weights.len()];
            vertex[argmin(&point.gradient)] = 1.;
            vertex
        };
        model
            .and_then(|to| self.towards(&to, weights, point))
            .or_else(|| self.towards(&vertex(), weights, point))
    }

    /// The minimum of the quadratic model over the slots that count now, or would better the sum.
    fn model(&self, weights: &[f64], point: &Pass) -> Option<Vec<f64>> {
        let g = &point.gradient;
        let level = product(g, weights);
        let mut set: Vec<usize> = (0..weights.len()).filter(|s| weights[*s] > 0.).collect();
        let mut better: Vec<usize> =
            (0..weights.len()).filter(|s| weights[*s] == 0. && g[*s] < level).collect();
        better.sort_by(|a, b| g[*a].total_cmp(&g[*b]));
        better.truncate(set.len().max(FIRST));
        set.extend(better);
        set.sort_unstable();
        let n = set.len();
        let mut h = self.table.curvature(&set, |i| self.bend(i, point.mixed[i]));
        (0..n).for_each(|i| h[i * n + i] += 2. * self.strength);
        let now: Vec<f64> = set.iter().map(|s| weights[*s]).collect();
        let linear = |i: usize| g[set[i]] - product(&h[i * n..(i + 1) * n], &now);
        let target = on_simplex(&h, &(0..n).map(linear).collect::<Vec<_>>())?;
        let mut full = vec![0.; weights.len()];
        set.iter().zip(target).for_each(|(s, y)| full[*s] = y);
        Some(full)
    }

    /// As far towards `target` as the sum falls enough (Armijo), halving.
    fn towards(&self, target: &[f64], weights: &[f64], point: &Pass) -> Option<Vec<f64>> {
        let down = slope(&point.gradient, weights, target);
        let along: Vec<f64> =
            self.table.mix(target).iter().zip(&point.mixed).map(|(to, from)| to - from).collect();
        let before = point.value + self.penalty(weights);
        let slack = 1e-15 * before.abs();
        (0..40).map(|halvings| 0.5f64.powi(halvings)).find_map(|t| {
            let mut next: Vec<f64> = weights.iter().zip(target).map(|(w, y)| w + t * (y - w)).collect();
            if t == 1. {
                next.copy_from_slice(target);
            }
            let after = self.value(&point.mixed, &along, t) + self.penalty(&next);
            (after <= before + 1e-4 * t * down + slack).then_some(next)
        })
    }

    /// Of many slots those that look best from the middle, equally, with whom it takes that no cell is left far
    /// below what the middle says of it.
    fn promising(&self, middle: &Pass) -> Vec<f64> {
        let mut order: Vec<usize> = (0..self.table.slots).collect();
        order.sort_by(|a, b| middle.gradient[*a].total_cmp(&middle.gradient[*b]));
        let mut chosen = vec![0.; self.table.slots];
        order.iter().take(FIRST).for_each(|s| chosen[*s] = 1. / FIRST as f64);
        if let Loss::Log = self.loss {
            let mixed = self.table.mix(&chosen);
            for i in (0..mixed.len()).filter(|i| mixed[*i] < 1e-3 * middle.mixed[*i]) {
                let says: Vec<f64> = order.iter().map(|s| -self.table.slot(*s)[i].into()).collect();
                chosen[order[argmin(&says)]] = 1.;
            }
        }
        let used = chosen.iter().filter(|w| **w > 0.).count() as f64;
        chosen.iter().map(|w| if *w > 0. { 1. / used } else { 0. }).collect()
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn slope(gradient: &[f64], from: &[f64], to: &[f64]) -> f64 {
    gradient.iter().zip(from.iter().zip(to)).map(|(g, (from, to))| g * (to - from)).sum()
}
