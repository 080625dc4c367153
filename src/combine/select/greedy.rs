//! One greedy forward selection within a budget.
use crate::{combine::select::Scorer, Result};

/// Losses that differ by less than this share are equal, because rounding may differ.
const TOLERANCE: f64 = 1e-12;

/// The steps of one greedy selection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelectionPath {
    /// The slot added at each step; the initial members come first.
    pub order: Vec<usize>,
    /// The loss of the mean after each step.
    pub losses: Vec<f64>,
}

impl SelectionPath {
    /// Returns the number of steps to the least loss, the fewest of equals.
    #[must_use]
    pub fn best(&self) -> usize {
        let least = self.losses.iter().copied().fold(f64::INFINITY, f64::min);
        self.losses.iter().position(|loss| equal(*loss, least)).map_or(0, |at| at + 1)
    }
}

fn equal(loss: f64, least: f64) -> bool {
    loss <= least + TOLERANCE * least.abs()
}

/// The settings of a greedy selection.
pub(crate) struct GreedySelection {
    /// Number of initial members, which are the best on their own.
    pub(crate) start: usize,
    pub(crate) steps: usize,
    /// Whether a member may be added several times.
    pub(crate) replacement: bool,
    /// The greatest total cost of members that are not yet in use.
    pub(crate) budget: f64,
    /// The cost of each member; 0 for members in use.
    pub(crate) costs: Vec<f64>,
}

impl GreedySelection {
    pub(crate) fn run(mut self, scorer: &mut dyn Scorer) -> Result<SelectionPath> {
        let mut path = SelectionPath::default();
        let mut used = vec![false; self.costs.len()];
        // The members by their own loss, the best last.
        let mut ranking = None;
        for step in 0..self.start + self.steps {
            let losses = scorer.losses_with_each()?;
            let available = |slot: &usize| {
                let affordable = used[*slot] || self.costs[*slot] <= self.budget;
                affordable && !losses[*slot].is_nan() && (self.replacement || !used[*slot])
            };
            let ranked = ranking.get_or_insert_with(|| ranking_of(&losses));
            let next = match step < self.start {
                true => std::iter::from_fn(|| ranked.pop()).find(available),
                false => None,
            };
            let Some(slot) = next.or_else(|| least(&losses, available, &used)) else { break };
            path.order.push(slot);
            if !std::mem::replace(&mut used[slot], true) {
                self.budget -= self.costs[slot];
            }
            scorer.add(slot);
            path.losses.push(scorer.loss()?.unwrap_or(losses[slot]));
        }
        Ok(path)
    }
}

/// The slots by decreasing loss; of equals the lowest slot comes last.
fn ranking_of(losses: &[f64]) -> Vec<usize> {
    let mut ranking: Vec<usize> = (0..losses.len()).collect();
    ranking.sort_by(|a, b| losses[*b].total_cmp(&losses[*a]).then(b.cmp(a)));
    ranking
}

/// The slot with the least loss; of equals one in use, then the lowest.
fn least(losses: &[f64], available: impl Fn(&usize) -> bool, used: &[bool]) -> Option<usize> {
    let slots = || (0..losses.len()).filter(&available);
    let least = slots().map(|slot| losses[slot]).reduce(f64::min)?;
    slots().filter(|slot| equal(losses[*slot], least)).min_by_key(|slot| (!used[*slot], *slot))
}
