//! Which slots are right about which held-out rows, and the weighted vote of a row.
use crate::{
    combine::{
        dynamic::{
            coverage::{Coverage, Nearest},
            dynamic_selection::Settings,
            neighbours::Neighbours,
        },
        fixed::row_by_row::{row_by_row, RowPredictions},
    },
    data::Task,
    kernels::argmax::argmax_rows,
    predictions::Predictions,
    Error, HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The held-out rows, ready to be searched, and which slots are right about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Competence {
    pub(crate) neighbours: Neighbours,
    /// The number of neighbours: at least one, and at most the number of held-out rows.
    pub(crate) k: usize,
    pub(crate) slots: usize,
    /// Whether each slot is right about each row, row by row; `false` where its prediction is missing.
    right: Vec<bool>,
    /// Which slots predict which rows, if some do not.
    pub(crate) coverage: Option<Coverage>,
    /// The weight of each row, if there are weights.
    weights: Option<Vec<f64>>,
}

impl Competence {
    /// Finds out which slots are right about which held-out rows; also returns the rows that were used. There
    /// must be at least `min_rows` rows with a weight above 0, and at most `rows + 1 - min_rows` neighbours
    /// are used.
    pub(crate) fn fit(
        combiner: &str,
        settings: Settings,
        min_rows: usize,
        held_out: &HeldOut,
    ) -> Result<(Self, HeldOut)> {
        let Task::Classification { .. } = held_out.predictions().task() else {
            let must = format!("classification, since {combiner} is a combiner for classes");
            return Err(Error::invalid("the task", must, "regression"));
        };
        if settings.k == 0 {
            return Err(Error::invalid(format!("number of neighbours of {combiner}"), "1 or more", 0));
        }
        let held_out = held_out.rows_with_weight()?;
        let rows = held_out.rows().len();
        if rows < min_rows {
            return Err(Error::HeldOut {
                combiner: combiner.into(),
                need: min_rows,
                have: rows,
                rows: held_out.total_rows(),
            });
        }
        let predictions = held_out.predictions();
        let labels: Vec<u32> = held_out.targets().to_vec1()?;
        let (slots, coverage) = (predictions.slots(), Coverage::of(predictions)?);
        let is_there = |row: usize, slot: usize| coverage.as_ref().is_none_or(|c| c.has(row, slot));
        let mut right = vec![false; rows * slots];
        for slot in 0..slots {
            let votes = argmax_rows(&predictions.values().get(slot)?)?;
            for (row, (vote, label)) in votes.iter().zip(&labels).enumerate() {
                right[row * slots + slot] = vote == label && is_there(row, slot);
            }
        }
        let weights = held_out.row_weights()?;
        let neighbours = Neighbours::fit(settings.space, predictions)?;
        let k = settings.k.min(rows + 1 - min_rows);
        Ok((Self { neighbours, k, slots, right, coverage, weights }, held_out))
    }

    /// Checks that the fields agree with each other and with the settings.
    pub(crate) fn check(&self, settings: Settings) -> Result<()> {
        self.neighbours.check(settings.space)?;
        let rows = self.neighbours.rows();
        if !(1..=rows).contains(&self.k) {
            return Err(Error::invalid("number of neighbours", format!("from 1 to {rows}"), self.k));
        }
        if self.slots == 0 || rows.checked_mul(self.slots) != Some(self.right.len()) {
            let must = format!("{rows} for each slot, with {} slots", self.slots);
            return Err(Error::invalid("number of held-out results", must, self.right.len()));
        }
        if let Some(coverage) = &self.coverage {
            coverage.check(rows, self.slots)?;
        }
        match &self.weights {
            Some(weights) if weights.len() != rows => {
                Err(Error::invalid("number of weights", rows.to_string(), weights.len()))
            }
            _ => Ok(()),
        }
    }

    /// The number of held-out rows.
    pub(crate) fn rows(&self) -> usize {
        self.neighbours.rows()
    }

    /// For each row and each slot the `k` nearest held-out rows that the slot predicts, the nearest first.
    pub(crate) fn nearest(&self, predictions: &Predictions) -> CandleResult<Nearest> {
        if predictions.slots() != self.slots {
            candle_core::bail!(
                "dynamic selection was fitted on {} slots, not {}",
                self.slots,
                predictions.slots()
            );
        }
        self.neighbours.nearest(predictions, self.k, self.coverage.as_ref())
    }

    /// Whether a slot predicts a held-out row.
    pub(crate) fn predicts(&self, row: usize, slot: usize) -> bool {
        self.coverage.as_ref().is_none_or(|coverage| coverage.has(row, slot))
    }

    /// Whether a slot is right about a held-out row.
    pub(crate) fn is_right(&self, row: u32, slot: usize) -> bool {
        self.right.get(row as usize * self.slots + slot).copied().unwrap_or_default()
    }

    /// The weight of a held-out row.
    pub(crate) fn weight(&self, row: u32) -> f64 {
        self.weights.as_ref().map_or(1., |weights| weights.get(row as usize).copied().unwrap_or_default())
    }
}

/// Combines each row with weights of its own, `(S, B, C) -> (B, C)`: the weighted votes, or with `soft` the
/// weighted mean of the probabilities. `weigh` gives one weight for each slot that predicts the row; if all
/// are 0, the slots count alike.
pub(crate) fn combine_weighted(
    predictions: &Predictions,
    soft: bool,
    weigh: impl Fn(&RowPredictions<'_>) -> Vec<f64> + Sync,
) -> CandleResult<Tensor> {
    let values = predictions.probabilities("dynamic selection")?;
    row_by_row(predictions, &values, |row_predictions, combined| {
        let weights = weigh(&row_predictions);
        let total: f64 = weights.iter().sum();
        let (weights, total) = match total > 0. {
            true => (weights, total),
            false => (vec![1.; weights.len()], weights.len() as f64),
        };
        for (i, weight) in weights.iter().enumerate() {
            match soft {
                true => combined
                    .iter_mut()
                    .enumerate()
                    .for_each(|(class, sum)| *sum += weight * row_predictions.value(i, class)),
                false => combined[row_predictions.most_probable(i)] += weight,
            }
        }
        combined.iter_mut().for_each(|sum| *sum /= total);
    })
}
