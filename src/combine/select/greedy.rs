//! One climb: forward, greedily, within a budget.
use crate::{combine::select::Scorer, Result};

/// Losses nearer than this, relatively, are equal: they differ by rounding.
const ROUNDING: f64 = 1e-12;

/// What one climb went through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelectionPath {
    /// The slot added at each step, those of the start first.
    pub order: Vec<usize>,
    /// The loss of the mean after each step.
    pub losses: Vec<f64>,
}

impl SelectionPath {
    /// How many steps lead to the best loss, the fewest of equals.
    #[must_use]
    pub fn best(&self) -> usize {
        let least = self.losses.iter().copied().fold(f64::INFINITY, f64::min);
        self.losses.iter().position(|loss| equal(*loss, least)).map_or(0, |at| at + 1)
    }
}

fn equal(loss: f64, least: f64) -> bool {
    loss <= least + ROUNDING * least.abs()
}

/// How to climb.
pub(crate) struct Greedy {
    pub(crate) start: usize,
    pub(crate) steps: usize,
    pub(crate) again: bool,
    /// What members that are not yet paid for may cost together.
    pub(crate) left: f64,
    /// What each still costs.
    pub(crate) costs: Vec<f64>,
}

impl Greedy {
    pub(crate) fn climb(mut self, scorer: &mut dyn Scorer) -> Result<SelectionPath> {
        let mut path = SelectionPath::default();
        let mut used = vec![false; self.costs.len()];
        // The ranking of the start, its best last.
        let mut ranking = None;
        for step in 0..self.start + self.steps {
            let losses = scorer.trial()?;
            let free = |slot: &usize| {
                let payable = used[*slot] || self.costs[*slot] <= self.left;
                payable && !losses[*slot].is_nan() && (self.again || !used[*slot])
            };
            let ranked = ranking.get_or_insert_with(|| ranking_of(&losses));
            let next = match step < self.start {
                true => std::iter::from_fn(|| ranked.pop()).find(free),
                false => None,
            };
            let Some(slot) = next.or_else(|| least(&losses, free, &used)) else { break };
            path.order.push(slot);
            path.losses.push(losses[slot]);
            if !std::mem::replace(&mut used[slot], true) {
                self.left -= self.costs[slot];
            }
            scorer.add(slot);
        }
        Ok(path)
    }
}

/// The worst first; of equals the lowest last.
fn ranking_of(losses: &[f64]) -> Vec<usize> {
    let mut ranking: Vec<usize> = (0..losses.len()).collect();
    ranking.sort_by(|a, b| losses[*b].total_cmp(&losses[*a]).then(b.cmp(a)));
    ranking
}

/// The slot of least loss; of equals one in use, then the lowest.
fn least(losses: &[f64], free: impl Fn(&usize) -> bool, used: &[bool]) -> Option<usize> {
    let slots = || (0..losses.len()).filter(&free);
    let least = slots().map(|slot| losses[slot]).reduce(f64::min)?;
    slots().filter(|slot| equal(losses[*slot], least)).min_by_key(|slot| (!used[*slot], *slot))
}
