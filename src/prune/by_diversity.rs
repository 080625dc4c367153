//! Pruning by diversity.
use crate::{
    combine::held_out_table::HeldOutTable,
    metrics::{RowLoss, Truth},
    prune::{alone, at_least_one, best, votes, Prune},
    HeldOut, Result,
};

/// Keeps members that err on different rows.
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
    /// The pairs that agree least beyond chance, by Cohen's κ between the classes they vote for, until there are this
    /// many members (Margineantu and Dietterich 1997, "Pruning adaptive boosting"). Of a last pair for which there is
    /// room by half, the better member. Classes only.
    #[must_use]
    pub fn kappa(members: usize) -> Self {
        Self { measure: Measure::Kappa, members }
    }

    /// The best member, then again and again the one that differs most, on average, from those kept: for classes the
    /// share of rows on which just one of two is right (Skalak 1996, "The sources of increased accuracy for two
    /// proposed boosting algorithms"), for values one minus the correlation of their errors.
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
    let ((slots, _, classes), errors) = (table.dims(), alone(table, &RowLoss::Error)?);
    if members == 1 || slots == 1 {
        return Ok(best(&(0..slots).collect::<Vec<_>>(), |_| 0., &errors).into_iter().collect());
    }
    // How much weight each votes for each class with.
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
        // Two that always vote for the same one class agree as much as can be.
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
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0)); // stable: of equals the lowest slots
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
    let errors =
        alone(table, if let Truth::Classes(_) = table.truth { &RowLoss::Error } else { &RowLoss::Squared })?;
    // Signals of mean 0 and variance 1, whose products average to the correlation; or right and wrong.
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
    let differ = |a: usize, b: usize| -> f64 {
        let rows = signals[a].chunks_exact(per_row).zip(signals[b].chunks_exact(per_row));
        let products =
            rows.zip(&table.weights).map(|((a, b), w)| w * a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>());
        1. - products.sum::<f64>() / per_row as f64
    };
    let (mut kept, mut left): (Vec<usize>, Vec<usize>) = (vec![], (0..slots).collect());
    let mut merits = vec![0.; slots];
    while kept.len() < members {
        let Some(next) = best(&left, |slot| merits[slot], &errors) else { break };
        left.retain(|slot| *slot != next);
        left.iter().for_each(|slot| merits[*slot] += differ(next, *slot));
        kept.push(next);
    }
    Ok(kept)
}

/// Less the mean, over the standard deviation; 0 throughout for a constant.
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
