//! Dynamic selection: members are chosen row by row, by how well they did on held-out rows near it.
mod gating;
mod knora_e;
mod knora_u;
mod meta_des;
mod neighbours;
mod selection;
#[cfg(test)]
mod tests;

pub use gating::{Gating, GatingHead};
pub use knora_e::{KnoraE, KnoraEHead};
pub use knora_u::{KnoraU, KnoraUHead};
pub use meta_des::{MetaDes, MetaDesHead};
pub use neighbours::Space;
pub use selection::{DynamicSelection, DynamicSelectionHead};

use crate::{
    combine::fixed::row_by_row::{row_by_row, Heard},
    data::Task,
    kernels::cpu,
    predictions::Voices,
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
        let Task::Classification { .. } = held_out.voices().task() else {
            let must = format!("classification, since {rule} is a rule for classes");
            return Err(Error::invalid("the task", must, "regression"));
        };
        if local.k == 0 {
            return Err(Error::invalid(format!("number of neighbours of {rule}"), "1 or more", 0));
        }
        let held_out = weighing(held_out)?.filled()?;
        let rows = held_out.rows().len();
        if rows < need {
            return Err(Error::HeldOut { combiner: rule.into(), need, have: rows, rows: held_out.of() });
        }
        let voices = held_out.voices();
        let labels: Vec<u32> = held_out.targets().to_vec1()?;
        let slots = voices.slots();
        let mut right = vec![false; rows * slots];
        for slot in 0..slots {
            let votes = cpu::winners(&voices.values().get(slot)?)?;
            for (row, (vote, label)) in votes.iter().zip(&labels).enumerate() {
                right[row * slots + slot] = vote == label;
            }
        }
        let weights = held_out.row_weights()?;
        let region = Region::of(local.space, voices)?;
        Ok((Self { region, k: local.k.min(rows + 1 - need), slots, right, weights }, held_out))
    }

    /// The held-out rows around each row, `(B, k)`.
    fn around(&self, voices: &Voices) -> CandleResult<Vec<u32>> {
        if voices.slots() != self.slots {
            candle_core::bail!("members were selected among {}, not {}", self.slots, voices.slots());
        }
        self.region.around(voices, self.k)
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

/// Each row combined by weights of its own, which `weigh` gives for what is heard and its slots; all alike where it gives
/// none. Votes, or probabilities where `soft`.
fn combine<W: Fn(usize) -> f64>(
    voices: &Voices,
    soft: bool,
    weigh: impl Fn(&Heard<'_>) -> W + Sync,
) -> CandleResult<Tensor> {
    let values = voices.probabilities("dynamic selection")?;
    row_by_row(voices, &values, |heard, said| {
        let weight = weigh(&heard);
        let total: f64 = heard.slots.iter().map(|slot| weight(*slot)).sum();
        for (voice, slot) in heard.slots.iter().enumerate() {
            let share = match total > 0. {
                true => weight(*slot),
                false => 1.,
            };
            match soft {
                true => {
                    said.iter_mut().enumerate().for_each(|(c, said)| *said += share * heard.says(voice, c))
                }
                false => said[heard.vote(voice)] += share,
            }
        }
        let total = if total > 0. { total } else { heard.slots.len() as f64 };
        said.iter_mut().for_each(|said| *said /= total);
    })
}
