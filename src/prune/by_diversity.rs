//! Pruning by the diversity of pairs of members.
use crate::{
    combine::held_out_table::{evened, HeldOutTable},
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
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). Two members are compared
/// on the rows that both predict; pairs without such rows come last. Use it to
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
    let ((slots, _, classes), errors) = (table.dims(), slot_losses(table, RowLoss::Error)?);
    if members == 1 || slots == 1 {
        return Ok(best(&(0..slots).collect::<Vec<_>>(), |_| 0., &errors).into_iter().collect());
    }
    let kappa = |a: usize, b: usize| {
        let (mut agree, mut total, mut shares) = (0., 0., vec![[0.; 2]; classes]);
        for (row, weight) in table.weights.iter().enumerate().filter(|(row, _)| both(table, a, b, *row)) {
            let (of_a, of_b) = (votes[a][row] as usize, votes[b][row] as usize);
            agree += if of_a == of_b { *weight } else { 0. };
            total += weight;
            shares[of_a][0] += weight;
            shares[of_b][1] += weight;
        }
        let by_chance: f64 = shares.iter().map(|[x, y]| x * y).sum::<f64>() / (total * total);
        // Two slots that always vote for the same class agree completely.
        let kappa = match by_chance >= 1. - 1e-12 {
            true => 1.,
            false => (agree / total - by_chance) / (1. - by_chance),
        };
        (kappa, total)
    };
    let mut pairs: Vec<(usize, usize)> = vec![];
    for a in 0..slots {
        pairs.extend((a + 1..slots).map(|b| (a, b)));
    }
    let kappas: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| kappa(*a, *b)).collect();
    let last_if_unknown = |kappa: f64| if kappa.is_nan() { f64::INFINITY } else { kappa };
    let kappas = evened(&kappas).into_iter().map(last_if_unknown);
    let mut pairs: Vec<_> = kappas.zip(pairs).map(|(kappa, (a, b))| (kappa, a, b)).collect();
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
    let losses = slot_losses(table, RowLoss::error_for(table.task))?;
    // For values the errors; for classes 1 where the slot is right and −1 where it is wrong.
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
                Ok(table.slot(slot)?.iter().zip(truth).map(|(x, y)| x - y).collect())
            };
            (0..slots).map(of_slot).collect::<Result<_>>()?
        }
    };
    // With the share of the rows that both predict.
    let disagreement = |a: usize, b: usize| -> (f64, f64) {
        let rows = table.weights.iter().enumerate().filter(|(row, _)| both(table, a, b, *row));
        match table.truth {
            Truth::Classes(_) => {
                let rows = rows.map(|(row, w)| (*w, signals[a][row], signals[b][row]));
                let (product, total) = rows.fold((0., 0.), |(p, t), (w, x, y)| (p + w * x * y, t + w));
                (1. - product / total, total)
            }
            Truth::Values(_) => {
                let cells = rows.flat_map(|(row, w)| (row * width..(row + 1) * width).map(move |i| (*w, i)));
                let (r, total) = correlation(cells.map(|(w, i)| (w, signals[a][i], signals[b][i])));
                (1. - r, total / width as f64)
            }
        }
    };
    let (mut kept, mut remaining): (Vec<usize>, Vec<usize>) = (vec![], (0..slots).collect());
    // The disagreements with those kept, as sums, and the number of those with common rows.
    let mut disagreements = vec![(0., 0usize); slots];
    while kept.len() < members {
        let score = |slot: usize| match disagreements[slot] {
            _ if kept.is_empty() => 0.,
            (_, 0) => f64::NEG_INFINITY,
            (sum, count) => sum / count as f64,
        };
        let Some(next) = best(&remaining, score, &losses) else { break };
        remaining.retain(|slot| *slot != next);
        let with_next: Vec<(f64, f64)> = remaining.iter().map(|slot| disagreement(next, *slot)).collect();
        for (slot, disagreement) in remaining.iter().zip(evened(&with_next)) {
            if !disagreement.is_nan() {
                disagreements[*slot].0 += disagreement;
                disagreements[*slot].1 += 1;
            }
        }
        kept.push(next);
    }
    Ok(kept)
}

/// Whether two slots both predict a row.
fn both(table: &HeldOutTable, a: usize, b: usize, row: usize) -> bool {
    table.predicts(a, row) && table.predicts(b, row)
}

/// The correlation of pairs of numbers with weights, 0 with a constant, and the sum of the weights.
fn correlation(pairs: impl Iterator<Item = (f64, f64, f64)> + Clone) -> (f64, f64) {
    let total: f64 = pairs.clone().map(|(w, ..)| w).sum();
    let mean =
        |of: &dyn Fn(f64, f64) -> f64| pairs.clone().map(|(w, x, y)| w * of(x, y)).sum::<f64>() / total;
    let (mean_x, mean_y) = (mean(&|x, _| x), mean(&|_, y| y));
    let variances = mean(&|x, _| (x - mean_x).powi(2)) * mean(&|_, y| (y - mean_y).powi(2));
    match variances > 0. {
        true => (mean(&|x, y| (x - mean_x) * (y - mean_y)) / variances.sqrt(), total),
        false => (0., total),
    }
}
