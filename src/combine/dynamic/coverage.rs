//! Which slots predict which held-out rows, and the neighbours that each slot predicts.
use crate::{predictions::Predictions, Error};
use candle_core::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which slots predict which rows, where some predictions are missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Coverage {
    pub(crate) slots: usize,
    /// Row by row.
    present: Vec<bool>,
}

impl Coverage {
    /// `None` where no prediction is missing.
    pub(crate) fn of(predictions: &Predictions) -> Result<Option<Self>> {
        let Some(covered) = predictions.coverage_by_slot()? else { return Ok(None) };
        let slots = covered.len();
        let present: Vec<bool> =
            (0..predictions.rows() * slots).map(|at| covered[at % slots][at / slots] > 0.).collect();
        Ok(present.contains(&false).then_some(Self { slots, present }))
    }

    /// Checks that there are so many rows and slots.
    pub(crate) fn check(&self, rows: usize, slots: usize) -> crate::Result<()> {
        match self.slots == slots && rows.checked_mul(slots) == Some(self.present.len()) {
            true => Ok(()),
            false => {
                let must = format!("{rows} for each of {slots} slots");
                Err(Error::invalid("coverage of the held-out rows", must, self.present.len()))
            }
        }
    }

    pub(crate) fn has(&self, row: usize, slot: usize) -> bool {
        self.present.get(row * self.slots + slot).copied().unwrap_or_default()
    }

    /// Sets the numbers of missing predictions to 0; there are equally many for each slot of a row.
    pub(crate) fn clear_missing(&self, numbers: &mut [f64]) {
        let count = numbers.len() / self.present.len().max(1);
        let cells = numbers.chunks_exact_mut(count.max(1)).zip(&self.present);
        cells.filter(|(_, present)| !**present).for_each(|(cell, _)| cell.fill(0.));
    }

    /// The different sets of rows that slots predict, and the number of each slot's set.
    pub(crate) fn rows_of_slots(&self) -> (Vec<Vec<u32>>, Vec<usize>) {
        let rows = self.present.len() / self.slots.max(1);
        let (mut numbers, mut sets) = (BTreeMap::<Vec<u32>, usize>::new(), vec![]);
        let mut number = |slot: usize| {
            let set: Vec<u32> = (0..rows as u32).filter(|row| self.has(*row as usize, slot)).collect();
            *numbers.entry(set.clone()).or_insert_with(|| {
                sets.push(set);
                sets.len() - 1
            })
        };
        let set_of_slot = (0..self.slots).map(&mut number).collect();
        (sets, set_of_slot)
    }
}

/// For each row and each slot the nearest held-out rows that the slot predicts, the nearest first.
#[derive(Debug)]
pub(crate) struct Nearest {
    /// The number of each slot's set of rows; empty where all slots have the same.
    set_of_slot: Vec<usize>,
    /// For each set how many rows were found for each row, and these, `(B, k)`.
    found: Vec<(usize, Vec<u32>)>,
}

impl Nearest {
    pub(crate) fn new(set_of_slot: Vec<usize>, found: Vec<(usize, Vec<u32>)>) -> Self {
        Self { set_of_slot, found }
    }

    pub(crate) fn of(&self, row: usize, slot: usize) -> &[u32] {
        let set = self.set_of_slot.get(slot).copied().unwrap_or_default();
        self.found.get(set).and_then(|(k, found)| found.get(row * k..(row + 1) * k)).unwrap_or_default()
    }
}
