//! Pruning: choosing the members to keep by their predictions on held-out rows.
//!
//! [`Pool::prune`](crate::Pool::prune) applies a [`Prune`] to a pool, and the ensemble of what is left is
//! smaller and faster. [`Pruned`] makes pruning a part of a combiner, so that
//! [`HeldOut::judge`](crate::HeldOut::judge) scores both together.
//! [`Ensemble::pruned`](crate::Ensemble::pruned) removes the members to which a combiner gave a weight of
//! zero.
mod by_diversity;
mod by_weight;
mod ordered;
mod pruned;
#[cfg(test)]
mod tests;

pub use crate::combine::FittedPruned;
pub use by_diversity::ByDiversity;
pub use by_weight::ByWeight;
pub use ordered::Ordered;
pub use pruned::Pruned;

use crate::{
    combine::held_out_table::HeldOutTable,
    kernels::argmax::argmax,
    metrics::{Criterion, Scored, Truth},
    Error, HeldOut, Result,
};
use std::fmt::Debug;

/// A method that chooses the slots to keep.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, prune::*, HeldOut};
///
/// let y = Tensor::arange(0f64, 6., &Device::Cpu)?.reshape((6, 1))?;
/// let predicted = Tensor::stack(&[(&y * 9.)?, (&y + 1.)?, (&y - 1.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// assert_eq!(Ordered::reduce_error().keep(&held_out)?, [1, 2]);
/// assert_eq!(ByWeight::largest(EnsembleSelection::new(4), 1).keep(&held_out)?, [1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Prune: Debug {
    /// Returns the slots to keep, in increasing order, at least one.
    ///
    /// # Errors
    /// When a parameter is out of range, or the method does not support the task.
    fn keep(&self, held_out: &HeldOut) -> Result<Vec<usize>>;

    /// Whether it needs the rows' inputs. If so, the held-out predictions contain them.
    fn needs_inputs(&self) -> bool {
        false
    }
}

/// Checks the number of members to keep.
fn at_least_one(members: usize) -> Result<usize> {
    match members {
        0 => Err(Error::invalid("members to keep", "at least 1", 0)),
        some => Ok(some),
    }
}

/// The most probable class of each slot and row, `[slot][row]`, the lowest of equals, and the true classes.
/// An error for values.
fn votes<'a>(table: &'a HeldOutTable, method: &str) -> Result<(Vec<Vec<u32>>, &'a [u32])> {
    let Truth::Classes(labels) = &table.truth else {
        return Err(Error::invalid(
            "the task",
            format!("classification ({method} is for classes)"),
            "regression",
        ));
    };
    let (slots, _, classes) = table.dims();
    let votes = |slot: usize| -> Result<Vec<u32>> {
        Ok(table.slot(slot)?.chunks_exact(classes).map(|row| argmax(row) as u32).collect())
    };
    let votes = (0..slots).map(votes).collect::<Result<_>>()?;
    Ok((votes, labels))
}

/// The loss of each slot on its own.
fn slot_losses(table: &HeldOutTable, criterion: &dyn Criterion) -> Result<Vec<f64>> {
    let (slots, _, width) = table.dims();
    let (truth, weights) = (&table.truth, table.weights.as_slice());
    let one = |slot: usize| criterion.loss(&Scored { values: &table.slot(slot)?, width, truth, weights });
    (0..slots).map(one).collect()
}

/// The slot among `remaining` with the highest score; of equals the one with the least own loss, then the
/// lowest.
fn best(remaining: &[usize], score: impl Fn(usize) -> f64, losses: &[f64]) -> Option<usize> {
    let better = |a: &usize, b: &usize| {
        let by_score = score(*b).total_cmp(&score(*a));
        by_score.then(losses[*a].total_cmp(&losses[*b])).then(a.cmp(b))
    };
    remaining.iter().copied().min_by(better)
}
