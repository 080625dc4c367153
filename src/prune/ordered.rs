//! Pruning by ordered aggregation.
use crate::{
    combine::{
        held_out_table::{evened_in_groups, HeldOutTable},
        select::losses_of_order,
        EnsembleSelection,
    },
    kernels::argmax::argmax,
    metrics::{Criterion, RowLoss},
    prune::{at_least_one, best, slot_losses, votes, Prune},
    HeldOut, Result,
};
use std::sync::Arc;

/// Orders the members so that the mean of the first few is good, and keeps the first ones.
///
/// ```text
/// keep the first m of the order, m = argmin_m loss(1/m Σ_{j ≤ m} p_{o(j)})
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). It keeps the members up to the least loss of their equal-weight mean (of equals the fewest), or a given number
/// ([`members`](Self::members)). The default criterion is the error rate for classes and the squared error
/// for values. Where predictions are missing, the mean of a row is that of the members that predict it, and a
/// member is judged by what it changes on the rows that it predicts
/// ([`EnsembleSelection`](crate::combine::EnsembleSelection)).
///
/// Use it for bagging and other pools of many similar members, where a fifth to a half of them often does
/// better than all. With few held-out rows the choice overfits them.
///
/// The cost is at most `S` passes over the predictions of all slots.
///
/// # Errors
/// [`Prune::keep`] fails when the number of members is 0, the criterion does not support the task, and for
/// values with an order that is for classes only.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::Task, predictions::*, prune::*, HeldOut};
///
/// let y = Tensor::arange(0f64, 6., &Device::Cpu)?.reshape((6, 1))?;
/// let predicted = Tensor::stack(&[(&y * 9.)?, (&y + 1.)?, (&y - 1.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// assert_eq!(Ordered::reduce_error().keep(&held_out)?, [1, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Martínez-Muñoz and Suárez 2004, "Aggregation ordering in bagging"; 2006,
/// doi:10.1145/1143844.1143921.
#[derive(Clone, Debug)]
pub struct Ordered {
    order: Order,
    members: Option<usize>,
    criterion: Option<Arc<dyn Criterion>>,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    ReduceError,
    Complementarity,
    MarginDistance(f64),
}

impl Ordered {
    fn new(order: Order) -> Self {
        Self { order, members: None, criterion: None }
    }

    /// Adds, one by one, the member with which the mean has the least loss.
    #[must_use]
    pub fn reduce_error() -> Self {
        Self::new(Order::ReduceError)
    }

    /// Adds, one by one, the member that is right on the greatest share of the rows on which the vote of those
    /// before it is wrong. The member with the fewest errors comes first and wins ties. For classes only.
    #[must_use]
    pub fn complementarity() -> Self {
        Self::new(Order::Complementarity)
    }

    /// Adds, one by one, the member with which the margins of the vote are nearest to 0.075 on all rows, by
    /// squared distance. A row's margin is the sum over the chosen members of 1 where they are right and −1
    /// where they are wrong, divided by the number of all members. For classes only.
    #[must_use]
    pub fn margin_distance() -> Self {
        Self::new(Order::MarginDistance(0.075))
    }

    /// Sets the number of members to keep, at least 1. The default is the number with which the mean is best.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.members = Some(members);
        self
    }

    /// Sets the loss of the mean to minimise. The default is the error rate for classes and the squared error
    /// for values.
    #[must_use]
    pub fn criterion(mut self, criterion: impl Criterion + 'static) -> Self {
        self.criterion = Some(Arc::new(criterion));
        self
    }

    /// Returns all slots in order, each with the loss of the equal-weight mean of it and the slots before it.
    ///
    /// # Errors
    /// Fails for values when the order is for classes only, and when the criterion fails.
    pub fn order(&self, held_out: &HeldOut) -> Result<Vec<(usize, f64)>> {
        let table = HeldOutTable::of(held_out)?;
        let criterion = self.criterion.clone().unwrap_or_else(|| Arc::new(RowLoss::error_for(table.task)));
        let order = match self.order {
            Order::ReduceError => {
                let all = EnsembleSelection::new(table.dims().0).replacement(false);
                let paths = all.criterion(criterion).paths(held_out)?;
                return Ok(paths
                    .into_iter()
                    .flat_map(|path| path.order.into_iter().zip(path.losses))
                    .collect());
            }
            Order::Complementarity => by_complementarity(&table)?,
            Order::MarginDistance(margin) => by_margin(&table, margin)?,
        };
        let losses = losses_of_order(&table, &order, &*criterion)?;
        Ok(order.into_iter().zip(losses).collect())
    }
}

impl Prune for Ordered {
    fn keep(&self, held_out: &HeldOut) -> Result<Vec<usize>> {
        let members = self.members.map(at_least_one).transpose()?;
        let order = self.order(held_out)?;
        let least = order.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
        let best = order.iter().position(|(_, loss)| *loss <= least).map_or(order.len(), |at| at + 1);
        let kept = order.iter().take(members.unwrap_or(best));
        let mut kept: Vec<usize> = kept.map(|(slot, _)| *slot).collect();
        kept.sort_unstable();
        Ok(kept)
    }
}

fn by_complementarity(table: &HeldOutTable) -> Result<Vec<usize>> {
    let (votes, labels) = votes(table, "ordering by complementarity")?;
    let ((slots, rows, classes), errors) = (table.dims(), slot_losses(table, RowLoss::Error)?);
    let mut counts = vec![0u32; rows * classes];
    let (mut order, mut remaining): (Vec<usize>, Vec<usize>) = (vec![], (0..slots).collect());
    // 1 for the slots in the order.
    let mut ordered = vec![0; slots];
    while !remaining.is_empty() {
        // The wrong rows among those that have a vote.
        let counts_of = |row: usize| &counts[row * classes..][..classes];
        let voted = (0..rows).filter(|row| counts_of(*row).iter().any(|count| *count > 0));
        let wrong: Vec<usize> =
            voted.filter(|row| argmax(counts_of(*row)) != labels[*row] as usize).collect();
        let all_wrong: f64 = wrong.iter().map(|row| table.weights[*row]).sum();
        // The share that the slot corrects of the wrong rows that it predicts, and how many of all they are.
        let corrected = |slot: usize| {
            let (mut right, mut total) = (0., 0.);
            for row in wrong.iter().filter(|row| table.predicts(slot, **row)) {
                total += table.weights[*row];
                right += if votes[slot][*row] == labels[*row] { table.weights[*row] } else { 0. };
            }
            if total > 0. {
                (right / total, total / all_wrong)
            } else {
                (0., 0.)
            }
        };
        let corrected: Vec<(f64, f64)> = (0..slots).map(corrected).collect();
        let scores: Vec<f64> = evened_in_groups(&corrected, &ordered)
            .into_iter()
            .map(|x| if x.is_nan() { 0. } else { x })
            .collect();
        let Some(next) = best(&remaining, |slot| scores[slot], &errors) else { break };
        for row in (0..rows).filter(|row| table.predicts(next, *row)) {
            counts[row * classes + votes[next][row] as usize] += 1;
        }
        ordered[next] = 1;
        order.push(next);
        remaining.retain(|slot| *slot != next);
    }
    Ok(order)
}

fn by_margin(table: &HeldOutTable, margin: f64) -> Result<Vec<usize>> {
    let (votes, labels) = votes(table, "ordering by margin distance")?;
    let ((slots, rows, _), errors) = (table.dims(), slot_losses(table, RowLoss::Error)?);
    let signed = |slot: usize, row: usize| if votes[slot][row] == labels[row] { 1. } else { -1. };
    let mut margins = vec![0.; rows];
    let (mut order, mut remaining): (Vec<usize>, Vec<usize>) = (vec![], (0..slots).collect());
    // 1 for the slots in the order.
    let mut ordered = vec![0; slots];
    while !remaining.is_empty() {
        // The change of the squared distance on the rows that the slot predicts.
        let change = |slot: usize| {
            let off = |row: usize, own: f64| (margin - (margins[row] + own) / slots as f64).powi(2);
            let (mut change, mut total) = (0., 0.);
            for row in (0..rows).filter(|row| table.predicts(slot, *row)) {
                change += table.weights[row] * (off(row, signed(slot, row)) - off(row, 0.));
                total += table.weights[row];
            }
            (change / total, total)
        };
        let changes: Vec<(f64, f64)> = (0..slots).map(change).collect();
        let of_change = |x: f64| if x.is_nan() { f64::NEG_INFINITY } else { -x };
        let scores: Vec<f64> = evened_in_groups(&changes, &ordered).into_iter().map(of_change).collect();
        let Some(next) = best(&remaining, |slot| scores[slot], &errors) else { break };
        for row in (0..rows).filter(|row| table.predicts(next, *row)) {
            margins[row] += signed(next, row);
        }
        ordered[next] = 1;
        order.push(next);
        remaining.retain(|slot| *slot != next);
    }
    Ok(order)
}
