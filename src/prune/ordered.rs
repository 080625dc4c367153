//! Pruning by ordered aggregation.
use crate::{
    combine::{held_out_table::HeldOutTable, EnsembleSelection},
    kernels::argmax::argmax,
    metrics::{Criterion, RowLoss, Scored},
    prune::{alone, at_least_one, best, votes, Prune},
    HeldOut, Result,
};
use std::sync::Arc;

/// Orders the members so that the first few do well together, and cuts: where the equal-weight mean of those before is
/// best on the held-out rows (of equals the fewest), or after a given number (Martínez-Muñoz and Suárez 2004,
/// "Aggregation ordering in bagging"; 2006, doi:10.1145/1143844.1143921).
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

    /// Next comes the member with which the mean is best.
    #[must_use]
    pub fn reduce_error() -> Self {
        Self::new(Order::ReduceError)
    }

    /// Next comes the member that is right on most of the rows (by weight) on which the vote of those before is wrong.
    /// Classes only. The member with the fewest errors is first, and settles ties.
    #[must_use]
    pub fn complementarity() -> Self {
        Self::new(Order::Complementarity)
    }

    /// Next comes the member with which the margins of the vote come nearest to a small positive margin for every row:
    /// each row's margin is the sum over members chosen of 1 where right and −1 where wrong, divided by the number of all
    /// members; the margin aimed at is .075. Classes only.
    #[must_use]
    pub fn margin_distance() -> Self {
        Self::new(Order::MarginDistance(0.075))
    }

    /// Keeps this many, at least 1 (all, where there are no more), instead of cutting where the mean is best.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.members = Some(members);
        self
    }

    /// What the mean has to be good at; the error rate for classes and squared error for values, if not set.
    #[must_use]
    pub fn criterion(mut self, criterion: impl Criterion + 'static) -> Self {
        self.criterion = Some(Arc::new(criterion));
        self
    }

    /// All slots in order, with the loss of the equal-weight mean of each and those before it.
    ///
    /// # Errors
    /// When the order is one for classes and there are values, or the criterion has no value.
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
            Order::Complementarity => complementary(&table)?,
            Order::MarginDistance(margin) => by_margin(&table, margin)?,
        };
        let losses = losses(&table, &order, &*criterion)?;
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

fn complementary(table: &HeldOutTable) -> Result<Vec<usize>> {
    let (votes, labels) = votes(table, "ordering by complementarity")?;
    let ((slots, rows, classes), errors) = (table.dims(), alone(table, &RowLoss::Error)?);
    let mut counts = vec![0u32; rows * classes];
    let (mut order, mut left): (Vec<usize>, Vec<usize>) = (vec![], (0..slots).collect());
    while !left.is_empty() {
        let wrong: Vec<usize> = (0..rows)
            .filter(|row| argmax(&counts[row * classes..][..classes]) != labels[*row] as usize)
            .collect();
        let mends = |slot: usize| -> f64 {
            let right = wrong.iter().filter(|row| votes[slot][**row] == labels[**row]);
            right.map(|row| table.weights[*row]).sum()
        };
        let merits: Vec<f64> =
            (0..slots).map(|slot| if order.is_empty() { 0. } else { mends(slot) }).collect();
        let Some(next) = best(&left, |slot| merits[slot], &errors) else { break };
        votes[next].iter().enumerate().for_each(|(row, vote)| counts[row * classes + *vote as usize] += 1);
        order.push(next);
        left.retain(|slot| *slot != next);
    }
    Ok(order)
}

fn by_margin(table: &HeldOutTable, margin: f64) -> Result<Vec<usize>> {
    let (votes, labels) = votes(table, "ordering by margin distance")?;
    let ((slots, rows, _), errors) = (table.dims(), alone(table, &RowLoss::Error)?);
    let signed = |slot: usize, row: usize| if votes[slot][row] == labels[row] { 1. } else { -1. };
    let mut margins = vec![0.; rows];
    let (mut order, mut left): (Vec<usize>, Vec<usize>) = (vec![], (0..slots).collect());
    while !left.is_empty() {
        let distance = |slot: usize| -> f64 {
            let off = |row: usize| margin - (margins[row] + signed(slot, row)) / slots as f64;
            (0..rows).map(|row| table.weights[row] * off(row).powi(2)).sum()
        };
        let merits: Vec<f64> = (0..slots).map(|slot| -distance(slot)).collect();
        let Some(next) = best(&left, |slot| merits[slot], &errors) else { break };
        margins.iter_mut().enumerate().for_each(|(row, margin)| *margin += signed(next, row));
        order.push(next);
        left.retain(|slot| *slot != next);
    }
    Ok(order)
}

/// The loss of the mean of the first, of the first two, ….
fn losses(table: &HeldOutTable, order: &[usize], criterion: &dyn Criterion) -> Result<Vec<f64>> {
    let (_, rows, width) = table.dims();
    let (truth, weights) = (&table.truth, table.weights.as_slice());
    let mut sum = vec![0.; rows * width];
    let after = |(before, slot): (usize, &usize)| {
        sum.iter_mut().zip(table.slot(*slot)?).for_each(|(sum, x)| *sum += x);
        let mean: Vec<f64> = sum.iter().map(|x| x / (before + 1) as f64).collect();
        criterion.loss(&Scored { values: &mean, width, truth, weights })
    };
    order.iter().enumerate().map(after).collect()
}
