//! Pruning by the diversity of pairs of members.
use crate::{
    combine::held_out_table::HeldOutTable,
    metrics::{RowLoss, Truth},
    prune::{at_least_one, best, slot_losses, votes, Prune},
    HeldOut, Result,
};

/// Keeps members whose errors are on different rows.
///
/// ```text
/// kappa:         κ_st = (agreement − agreement by chance) / (1 − agreement by chance)
/// disagreement:  d_st = share of rows on which exactly one of two is right, or 1 − correlation of errors
/// ```
///
/// It learns from complete held-out predictions `(S, R, C)` (slots, rows, classes or outputs). Use it to
/// reduce a large pool to a number of members that is known in advance. Diversity alone does not make an
/// ensemble accurate: [`Ordered::reduce_error`](crate::prune::Ordered::reduce_error) is often better.
///
/// The cost is one pass over the rows for each pair of slots.
///
/// # Errors
/// [`Prune::keep`] fails when the number of members is 0, and for values with [`ByDiversity::kappa`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::Task, predictions::*, prune::*, HeldOut};
///
/// let y = Tensor::arange(0f64, 6., &Device::Cpu)?.reshape((6, 1))?;
/// let wave = (&y * 3.)?.sin()?;
/// let predicted = Tensor::stack(&[(&y + &wave)?, (&y + (&wave * 1.1)?)?, (&y - (&wave * 1.2)?)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// assert_eq!(ByDiversity::disagreement(2).keep(&held_out)?, [0, 2]); // opposite errors
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Margineantu and Dietterich 1997, "Pruning adaptive boosting" (kappa); Skalak 1996, "The sources
/// of increased accuracy for two proposed boosting algorithms" (disagreement).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByDiversity {
    measure: Measure,
    members: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Kappa,
    Disagreement,
}

impl ByDiversity {
    /// Keeps the pairs with the least Cohen's κ between their most probable classes, until there are this
    /// many members. When only one member of the last pair fits, it is the better one. For classes only.
    #[must_use]
    pub fn kappa(members: usize) -> Self {
        Self { measure: Measure::Kappa, members }
    }

    /// Keeps the best member, then adds, one by one, the member with the highest mean disagreement with those
    /// kept. For classes the disagreement of two members is the share of rows on which exactly one of them is
    /// right, for values it is one minus the correlation of their errors.
    #[must_use]
    pub fn disagreement(members: usize) -> Self {
        Self { measure: Measure::Disagreement, members }
    }
}

impl Prune for ByDiversity {
    fn keep(&self, held_out: &HeldOut) -> Result<Vec<usize>> {
        let members = at_least_one(self.members)?.min(held_out.predictions().slots());
        let table = HeldOutTable::of(held_out)?;
        let mut kept = match self.measure {
            Measure::Kappa => by_kappa(&table, members)?,
            Measure::Disagreement => by_disagreement(&table, members)?,
        };
        kept.sort_unstable();
        Ok(kept)
    }
}

fn by_kappa(table: &HeldOutTable, members: usize) -> Result<Vec<usize>> {
    let (votes, _) = votes(table, "kappa pruning")?;
    let ((slots, _, classes), errors) = (table.dims(), slot_losses(table, &RowLoss::Error)?);
    if members == 1 || slots == 1 {
        return Ok(best(&(0..slots).collect::<Vec<_>>(), |_| 0., &errors).into_iter().collect());
    }
    // The weighted share of rows for which each slot votes for each class.
    let shares: Vec<Vec<f64>> = votes
        .iter()
        .map(|votes| {
            let mut shares = vec![0.; classes];
            votes.iter().zip(&table.weights).for_each(|(vote, w)| shares[*vote as usize] += w);
            shares
        })
        .collect();
    let kappa = |a: usize, b: usize| {
        let same = votes[a].iter().zip(&votes[b]).zip(&table.weights).filter(|((x, y), _)| x == y);
        let agree: f64 = same.map(|(_, w)| w).sum();
        let by_chance: f64 = shares[a].iter().zip(&shares[b]).map(|(x, y)| x * y).sum();
        // Two slots that always vote for the same class agree completely.
        if by_chance >= 1. - 1e-12 {
            1.
        } else {
            (agree - by_chance) / (1. - by_chance)
        }
    };
    let mut pairs: Vec<(f64, usize, usize)> = vec![];
    for a in 0..slots {
        pairs.extend((a + 1..slots).map(|b| (kappa(a, b), a, b)));
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0)); // stable, so the lowest slots come first of equals
    let mut kept: Vec<usize> = vec![];
    for (_, a, b) in pairs {
        let mut new: Vec<usize> = [a, b].into_iter().filter(|slot| !kept.contains(slot)).collect();
        new.sort_by(|a, b| errors[*a].total_cmp(&errors[*b]));
        new.truncate(members - kept.len());
        kept.extend(new);
    }
    Ok(kept)
}

fn by_disagreement(table: &HeldOutTable, members: usize) -> Result<Vec<usize>> {
    let (slots, _, width) = table.dims();
    let losses = slot_losses(table, &RowLoss::error_for(table.task))?;
    // For values errors of mean 0 and variance 1, whose mean product is the correlation; for classes 1 where
    // the slot is right and −1 where it is wrong.
    let signals: Vec<Vec<f64>> = match &table.truth {
        Truth::Classes(labels) => {
            let (votes, _) = votes(table, "disagreement")?;
            let right = |votes: &Vec<u32>| -> Vec<f64> {
                votes.iter().zip(labels).map(|(vote, label)| if vote == label { 1. } else { -1. }).collect()
            };
            votes.iter().map(right).collect()
        }
        Truth::Values(truth) => {
            let of_slot = |slot: usize| -> Result<Vec<f64>> {
                let residuals: Vec<f64> = table.slot(slot)?.iter().zip(truth).map(|(x, y)| x - y).collect();
                Ok(standardized(&residuals, &table.weights, width))
            };
            (0..slots).map(of_slot).collect::<Result<_>>()?
        }
    };
    let per_row = if let Truth::Classes(_) = table.truth { 1 } else { width };
    let disagreement = |a: usize, b: usize| -> f64 {
        let rows = signals[a].chunks_exact(per_row).zip(signals[b].chunks_exact(per_row));
        let products =
            rows.zip(&table.weights).map(|((a, b), w)| w * a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>());
        1. - products.sum::<f64>() / per_row as f64
    };
    let (mut kept, mut remaining): (Vec<usize>, Vec<usize>) = (vec![], (0..slots).collect());
    let mut disagreements = vec![0.; slots];
    while kept.len() < members {
        let Some(next) = best(&remaining, |slot| disagreements[slot], &losses) else { break };
        remaining.retain(|slot| *slot != next);
        remaining.iter().for_each(|slot| disagreements[*slot] += disagreement(next, *slot));
        kept.push(next);
    }
    Ok(kept)
}

/// The values minus their mean, divided by their standard deviation; zeros for a constant.
fn standardized(xs: &[f64], weights: &[f64], width: usize) -> Vec<f64> {
    let mean_of = |f: &dyn Fn(f64) -> f64| -> f64 {
        let rows = xs.chunks_exact(width).zip(weights);
        rows.map(|(row, w)| w * row.iter().map(|x| f(*x)).sum::<f64>()).sum::<f64>() / width as f64
    };
    let mean = mean_of(&|x| x);
    let deviation = mean_of(&|x| (x - mean).powi(2)).sqrt();
    let scale = if deviation > 0. { 1. / deviation } else { 0. };
    xs.iter().map(|x| (x - mean) * scale).collect()
}
