//! Fewer members: which to keep, by their predictions on held-out rows.
//!
//! [`Pool::prune`](crate::Pool::prune) applies a [`Prune`] to a pool, whose ensemble is then smaller and quicker;
//! [`Pruned`] makes it a part of a rule, so that [`HeldOut::judge`](crate::HeldOut::judge) tells what pruning and rule
//! are worth together. An ensemble whose rule came out with weights of zero is made smaller by
//! [`Ensemble::pruned`](crate::Ensemble::pruned).
mod by_diversity;
mod by_weight;
mod ordered;
mod pruned;
#[cfg(test)]
mod tests;

pub use by_diversity::ByDiversity;
pub use by_weight::ByWeight;
pub use ordered::Ordered;
pub use pruned::{FittedPruned, Pruned};

use crate::{
    combine::held_out_table::HeldOutTable,
    kernels::argmax::argmax,
    metrics::{Criterion, Scored, Truth},
    Error, HeldOut, Result,
};
use std::fmt::Debug;

/// Which slots to keep.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, prune::*, HeldOut};
///
/// let y = Tensor::arange(0f64, 6., &Device::Cpu)?.reshape((6, 1))?;
/// let predicted = Tensor::stack(&[(&y * 9.)?, (&y + 1.)?, (&y - 1.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// assert_eq!(Ordered::reduce_error().keep(held_out)?, [1, 2]);
/// assert_eq!(ByWeight::largest(EnsembleSelection::new(4), 1).keep(held_out)?, [1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Prune: Debug {
    /// The slots to keep, increasing, at least one.
    ///
    /// # Errors
    /// When a parameter is out of range or does not go with the task.
    fn keep(&self, held_out: &HeldOut) -> Result<Vec<usize>>;

    /// Whether it looks at the rows' inputs, which are then there.
    fn needs_inputs(&self) -> bool {
        false
    }
}

/// The number of members to keep, checked.
fn at_least_one(members: usize) -> Result<usize> {
    match members {
        0 => Err(Error::invalid("members to keep", "at least 1", 0)),
        some => Ok(some),
    }
}

/// The classes that the slots vote for, `[slot][row]`, the lowest of equals, and the true ones; an error for values.
fn votes<'a>(table: &'a HeldOutTable, what: &str) -> Result<(Vec<Vec<u32>>, &'a [u32])> {
    let Truth::Classes(labels) = &table.truth else {
        return Err(Error::invalid("the task", format!("classes, for {what}"), "values"));
    };
    let (slots, _, classes) = table.dims();
    let votes = |slot: usize| -> Result<Vec<u32>> {
        Ok(table.slot(slot)?.chunks_exact(classes).map(|row| argmax(row) as u32).collect())
    };
    let votes = (0..slots).map(votes).collect::<Result<_>>()?;
    Ok((votes, labels))
}

/// The loss of each slot alone.
fn alone(table: &HeldOutTable, criterion: &dyn Criterion) -> Result<Vec<f64>> {
    let (slots, _, width) = table.dims();
    let (truth, weights) = (&table.truth, table.weights.as_slice());
    let one = |slot: usize| criterion.loss(&Scored { values: &table.slot(slot)?, width, truth, weights });
    (0..slots).map(one).collect()
}

/// The slot of those left with the greatest merit; of equals the one that is less wrong alone, then the lowest.
fn best(left: &[usize], merit: impl Fn(usize) -> f64, alone: &[f64]) -> Option<usize> {
    let better = |a: &usize, b: &usize| {
        let by_merit = merit(*b).total_cmp(&merit(*a));
        by_merit.then(alone[*a].total_cmp(&alone[*b])).then(a.cmp(b))
    };
    left.iter().copied().min_by(better)
}
