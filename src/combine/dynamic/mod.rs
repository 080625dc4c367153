//! Dynamic selection: members are chosen row by row, by how well they did on held-out rows near it.
mod gating;
mod knora_e;
mod knora_u;
mod meta_des;
mod neighbours;
mod selection;
#[cfg(test)]
mod tests;

pub use gating::{FittedGating, Gating};
pub use knora_e::{FittedKnoraE, KnoraE};
pub use knora_u::{FittedKnoraU, KnoraU};
pub use meta_des::{FittedMetaDes, MetaDes};
pub use neighbours::Space;
pub use selection::{DynamicSelection, FittedDynamicSelection};

use crate::{
    combine::fixed::row_by_row::{row_by_row, RowPredictions},
    data::Task,
    kernels::cpu,
    predictions::Predictions,
    Error, HeldOut, Result, Rows,
};
use candle_core::{Result as CandleResult, Tensor};
use neighbours::Region;
use selection::{Local, Selection};
use serde::{Deserialize, Serialize};

/// Where each slot was right: held-out rows with what lies around them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Competence {
    region: Region,
    /// Neighbours that are looked at: at least one, at most as many as there are rows.
    k: usize,
    slots: usize,
    /// Whether a slot is right about a row, row by row.
    right: Vec<bool>,
    /// The weight of each row, where it has one.
    weights: Option<Vec<f64>>,
}

impl Competence {
    /// From held-out rows for classes, of which there are `need` at least.
    fn fit(rule: &str, local: Local, need: usize, held_out: &HeldOut) -> Result<(Self, HeldOut)> {
        let Task::Classification { .. } = held_out.predictions().task() else {
            let must = format!("classification, since {rule} is a rule for classes");
            return Err(Error::invalid("the task", must, "regression"));
        };
        if local.k == 0 {
            return Err(Error::invalid(format!("number of neighbours of {rule}"), "1 or more", 0));
        }
        let held_out = weighing(held_out)?.fill_missing()?;
        let rows = held_out.rows().len();
        if rows < need {
            return Err(Error::HeldOut {
                combiner: rule.into(),
                need,
                have: rows,
                rows: held_out.total_rows(),
            });
        }
        let predictions = held_out.predictions();
        let labels: Vec<u32> = held_out.targets().to_vec1()?;
        let slots = predictions.slots();
        let mut right = vec![false; rows * slots];
        for slot in 0..slots {
            let votes = cpu::winners(&predictions.values().get(slot)?)?;
            for (row, (vote, label)) in votes.iter().zip(&labels).enumerate() {
                right[row * slots + slot] = vote == label;
            }
        }
        let weights = held_out.row_weights()?;
        let region = Region::of(local.space, predictions)?;
        Ok((Self { region, k: local.k.min(rows + 1 - need), slots, right, weights }, held_out))
    }

    /// The held-out rows around each row, `(B, k)`.
    fn around(&self, predictions: &Predictions) -> CandleResult<Vec<u32>> {
        if predictions.slots() != self.slots {
            candle_core::bail!("members were selected among {}, not {}", self.slots, predictions.slots());
        }
        self.region.around(predictions, self.k)
    }

    fn is_right(&self, row: u32, slot: usize) -> bool {
        self.right.get(row as usize * self.slots + slot).copied().unwrap_or_default()
    }

    fn weight(&self, row: u32) -> f64 {
        self.weights.as_ref().map_or(1., |weights| weights.get(row as usize).copied().unwrap_or_default())
    }
}

/// The rows whose weight is not 0.
fn weighing(held_out: &HeldOut) -> Result<HeldOut> {
    let Some(weights) = held_out.row_weights::<f64>()? else { return Ok(held_out.clone()) };
    let rows: Rows = (0..weights.len() as u32).filter(|row| weights[*row as usize] > 0.).collect();
    held_out.select(&rows)
}

/// Each row combined by weights of its own, which `weigh` gives for what is row_predictions and its slots; all alike where it gives
/// none. Votes, or probabilities where `soft`.
fn combine<W: Fn(usize) -> f64>(
    predictions: &Predictions,
    soft: bool,
    weigh: impl Fn(&RowPredictions<'_>) -> W + Sync,
) -> CandleResult<Tensor> {
    let values = predictions.probabilities("dynamic selection")?;
    row_by_row(predictions, &values, |row_predictions, predicted| {
        let weight = weigh(&row_predictions);
        let total: f64 = row_predictions.slots.iter().map(|slot| weight(*slot)).sum();
        for (prediction, slot) in row_predictions.slots.iter().enumerate() {
            let share = match total > 0. {
                true => weight(*slot),
                false => 1.,
            };
            match soft {
                true => predicted
                    .iter_mut()
                    .enumerate()
                    .for_each(|(c, predicted)| *predicted += share * row_predictions.says(prediction, c)),
                false => predicted[row_predictions.vote(prediction)] += share,
            }
        }
        let total = if total > 0. { total } else { row_predictions.slots.len() as f64 };
        predicted.iter_mut().for_each(|predicted| *predicted /= total);
    })
}
