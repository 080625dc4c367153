//! Pruning by the weights of a rule.
use crate::{
    combine::{Combiner, FittedCombiner},
    prune::{at_least_one, Prune},
    Error, HeldOut, Result,
};

/// Keeps the members to which a rule that ends in weights gives the largest, by their absolute value.
#[derive(Clone, Debug)]
pub struct ByWeight<C> {
    rule: C,
    keep: Keep,
}

#[derive(Clone, Copy, Debug)]
enum Keep {
    Above(f64),
    Largest(usize),
}

impl<C: Combiner> ByWeight<C> {
    /// Those whose weight is above a threshold, not negative.
    pub fn above(rule: C, threshold: f64) -> Self {
        Self { rule, keep: Keep::Above(threshold) }
    }

    /// The `members` of largest weight, at least 1, and of no more than have one; of equals the lowest slot.
    pub fn largest(rule: C, members: usize) -> Self {
        Self { rule, keep: Keep::Largest(members) }
    }
}

impl<C: Combiner> Prune for ByWeight<C> {
    fn keep(&self, held_out: &HeldOut) -> Result<Vec<usize>> {
        let (least, most) = match self.keep {
            Keep::Largest(members) => (0., at_least_one(members)?),
            Keep::Above(threshold) if threshold >= 0. => (threshold, usize::MAX),
            Keep::Above(threshold) => {
                return Err(Error::invalid("the least weight", "a number that is not negative", threshold));
            }
        };
        let fitted = self.rule.fit(held_out)?;
        let slots = held_out.predictions().slots();
        let weights: Vec<f64> = match fitted.weights() {
            Some(weights) if weights.len() == slots => weights.iter().map(|w| w.abs()).collect(),
            _ => return Err(Error::invalid("the rule", "one with a weight a slot", fitted.name())),
        };
        let mut kept: Vec<usize> = (0..slots).filter(|s| weights[*s] > least).collect();
        if kept.is_empty() {
            let greatest = weights.iter().copied().fold(0., f64::max);
            return Err(Error::invalid("the least weight", format!("below the largest, {greatest}"), least));
        }
        kept.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
        kept.truncate(most);
        kept.sort_unstable();
        Ok(kept)
    }

    fn needs_inputs(&self) -> bool {
        self.rule.needs_inputs()
    }
}
