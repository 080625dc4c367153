//! Pruning: choosing the members to keep by their predictions on held-out rows.
//!
//! [`Pool::prune`](crate::Pool::prune) applies a [`Prune`] to a pool, and the ensemble of what is left is
//! smaller and faster. [`Pruned`] makes pruning a part of a combiner, so that
//! [`HeldOut::judge`](crate::HeldOut::judge) scores both together.
//! [`Ensemble::pruned`](crate::Ensemble::pruned) removes the members to which a combiner gave a weight of
//! zero.
//!
//! Where predictions are missing, a member is judged on the rows that it predicts, and two members are compared
//! on the rows that both predict.
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
    combine::held_out_table::{evened, HeldOutTable},
    kernels::argmax::argmax,
    metrics::{RowLoss, Truth},
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

/// The most probable class of each slot and row, `[slot][row]`, the lowest of equals, and the true classes. A
/// missing prediction has none, and its place no meaning. An error for values.
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

/// The loss of each slot on its own. Where predictions are missing, it is the mean loss of all predictions plus
/// the mean difference between the slot and the average slot on the rows that it predicts, so that a slot
/// which predicts easy rows does not look good ([`evened`], so that one that predicts few rows is not the best by
/// chance). It is infinite for a slot that predicts no row.
fn slot_losses(table: &HeldOutTable, loss: RowLoss) -> Result<Vec<f64>> {
    let (slots, rows, width) = table.dims();
    loss.check(&table.truth)?;
    let mut losses = Vec::with_capacity(slots * rows);
    for slot in 0..slots {
        let predicted = table.slot(slot)?;
        let of_rows = predicted.chunks_exact(width).enumerate();
        losses.extend(of_rows.map(|(row, predicted)| loss.of(predicted, &table.truth, row)));
    }
    let own = |slot: usize| (0..rows).filter(move |row| table.predicts(slot, *row));
    let mut mean = vec![0.; rows];
    if table.coverage.is_some() {
        for slot in 0..slots {
            own(slot).for_each(|row| mean[row] += losses[slot * rows + row]);
        }
        mean.iter_mut().zip(table.counts()).for_each(|(mean, count)| *mean /= count);
    }
    let of_all: f64 = mean.iter().zip(&table.weights).map(|(mean, weight)| mean * weight).sum();
    let of_slot = |slot: usize| {
        let difference = |row: usize| table.weights[row] * (losses[slot * rows + row] - mean[row]);
        (own(slot).map(difference).sum::<f64>(), own(slot).map(|row| table.weights[row]).sum::<f64>())
    };
    let sums: Vec<(f64, f64)> = (0..slots).map(of_slot).collect();
    if table.coverage.is_none() {
        return Ok(sums.into_iter().map(|(sum, _)| sum).collect());
    }
    let differences: Vec<(f64, f64)> = sums.into_iter().map(|(sum, share)| (sum / share, share)).collect();
    let of_difference = |x: f64| if x.is_nan() { f64::INFINITY } else { of_all + x };
    Ok(evened(&differences).into_iter().map(of_difference).collect())
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
