//! Any criterion, where predictions are missing.
use crate::{
    combine::{
        held_out_table::evened_in_groups,
        select::{Candidates, Scorer},
    },
    kernels::float::Number,
    metrics::{Criterion, RowLoss, Scored, Truth},
    threads::wide,
    Result,
};
use rayon::prelude::*;

/// The mean of the candidates that predict a row.
///
/// A candidate is judged by how it changes the loss on the rows that it predicts, as if these were all rows;
/// otherwise the share of the rows that it predicts would decide. Candidates that were added equally often are
/// made comparable ([`evened_in_groups`]). A row that no candidate added so far
/// predicts has the loss of a single slot: the mean loss of the slots that predict it. (The mean of these slots
/// would be the prediction of an ensemble, and make those look best who leave most rows to it.)
pub(crate) struct PartialMean<'a, T: Number> {
    candidates: Candidates<'a, T>,
    truth: &'a Truth,
    criterion: &'a dyn Criterion,
    /// Sum over the members added so far, `(R, C)`, and how many of them predict the row.
    sum: Vec<f64>,
    counts: Vec<f64>,
    /// How often each candidate was added.
    added: Vec<usize>,
    single: Single,
}

/// What stands for a row that no candidate added so far predicts.
enum Single {
    /// The loss of each row, where the criterion is a mean over rows: at first the mean loss of single slots.
    Losses(RowLoss, Vec<f64>),
    /// Predictions `(R, C)` of single slots, which take turns, for other criteria.
    Predictions(Vec<f64>),
}

impl<'a, T: Number> PartialMean<'a, T> {
    pub(crate) fn new(candidates: Candidates<'a, T>, truth: &'a Truth, criterion: &'a dyn Criterion) -> Self {
        let (rows, width) = (candidates.rows, candidates.width);
        let slots = candidates.values.len() / (rows * width).max(1);
        let of = &candidates;
        let present = |row: usize| (0..slots).filter(move |slot| of.predicts_slot(*slot, row));
        let predicted = |slot: usize, row: usize| {
            candidates.values[(slot * rows + row) * width..][..width].iter().map(|x| (*x).into())
        };
        let single = match criterion.by_row() {
            Some(loss) => {
                let own = |slot: usize, row: usize| {
                    loss.of(&predicted(slot, row).collect::<Vec<f64>>(), truth, row)
                };
                let mean = |row: usize| {
                    present(row).map(|slot| own(slot, row)).sum::<f64>() / present(row).count() as f64
                };
                Single::Losses(loss, (0..rows).map(mean).collect())
            }
            None => {
                let mut turns = Vec::with_capacity(rows * width);
                for row in 0..rows {
                    let present: Vec<usize> = present(row).collect();
                    turns.extend(predicted(present[row % present.len()], row));
                }
                Single::Predictions(turns)
            }
        };
        let (sum, counts) = (vec![0.; rows * width], vec![0.; rows]);
        let added = vec![0; candidates.slots.len()];
        Self { candidates, truth, criterion, sum, counts, added, single }
    }

    /// Writes the mean of a row with a candidate added.
    fn mean_with(&self, candidate: usize, row: usize, mean: &mut Vec<f64>) {
        let count = self.counts[row] + 1.;
        let sum = &self.sum[row * self.candidates.width..][..self.candidates.width];
        mean.extend(
            sum.iter().zip(self.candidates.row(candidate, row)).map(|(sum, x)| (sum + (*x).into()) / count),
        );
    }

    /// The rows that a candidate predicts, and their weight.
    fn rows_of(&self, candidate: usize) -> (Vec<usize>, f64) {
        let rows = (0..self.candidates.rows).filter(|row| self.candidates.predicts(candidate, *row));
        let rows: Vec<usize> = rows.collect();
        let weight = rows.iter().map(|row| self.candidates.weights[*row]).sum();
        (rows, weight)
    }

    /// The change of the loss on the rows that a candidate predicts when it is added, and the share of these
    /// rows.
    fn change(&self, candidate: usize) -> Result<(f64, f64)> {
        let (rows, total) = self.rows_of(candidate);
        let weights = rows.iter().map(|row| self.candidates.weights[*row] / total);
        if rows.is_empty() {
            return Ok((f64::NAN, 0.));
        }
        let change = match &self.single {
            Single::Losses(loss, losses) => {
                let mut mean = Vec::with_capacity(self.candidates.width);
                let change = |(row, weight): (&usize, f64)| {
                    mean.clear();
                    self.mean_with(candidate, *row, &mut mean);
                    weight * (loss.of(&mean, self.truth, *row) - losses[*row])
                };
                rows.iter().zip(weights).map(change).sum()
            }
            Single::Predictions(turns) => {
                let (mut with, mut without) = (vec![], vec![]);
                for row in &rows {
                    self.mean_with(candidate, *row, &mut with);
                    self.mean(*row, turns, &mut without);
                }
                let (truth, weights) = (self.truth_of(&rows), weights.collect::<Vec<f64>>());
                self.loss_of(&with, &truth, &weights)? - self.loss_of(&without, &truth, &weights)?
            }
        };
        Ok((change, total))
    }

    /// Writes the mean of a row, or what stands for it.
    fn mean(&self, row: usize, turns: &[f64], mean: &mut Vec<f64>) {
        let own = row * self.candidates.width..(row + 1) * self.candidates.width;
        match self.counts[row] {
            count if count > 0. => mean.extend(self.sum[own].iter().map(|sum| sum / count)),
            _ => mean.extend_from_slice(&turns[own]),
        }
    }

    fn truth_of(&self, rows: &[usize]) -> Truth {
        match self.truth {
            Truth::Classes(ids) => Truth::Classes(rows.iter().map(|row| ids[*row]).collect()),
            Truth::Values(values) => {
                let width = self.candidates.width;
                let own = rows.iter().flat_map(|row| values[row * width..(row + 1) * width].iter());
                Truth::Values(own.copied().collect())
            }
        }
    }

    fn loss_of(&self, values: &[f64], truth: &Truth, weights: &[f64]) -> Result<f64> {
        self.criterion.loss(&Scored { values, width: self.candidates.width, truth, weights })
    }

    /// The loss of the mean of the members added so far.
    pub(crate) fn current(&self) -> Result<f64> {
        match &self.single {
            Single::Losses(_, losses) => {
                Ok(losses.iter().zip(self.candidates.weights.iter()).map(|(loss, w)| loss * w).sum())
            }
            Single::Predictions(turns) => {
                let mut means = Vec::with_capacity(turns.len());
                (0..self.candidates.rows).for_each(|row| self.mean(row, turns, &mut means));
                self.loss_of(&means, self.truth, &self.candidates.weights)
            }
        }
    }
}

impl<T: Number> Scorer for PartialMean<'_, T> {
    fn losses_with_each(&mut self) -> Result<Vec<f64>> {
        let current = self.current()?;
        let candidates = (0..self.candidates.slots.len()).into_par_iter();
        let this = &*self;
        let changes: Vec<_> = wide(|| candidates.map(|candidate| this.change(candidate)).collect());
        let changes = changes.into_iter().collect::<Result<Vec<(f64, f64)>>>()?;
        Ok(evened_in_groups(&changes, &self.added).into_iter().map(|change| current + change).collect())
    }

    fn add(&mut self, candidate: usize) {
        let width = self.candidates.width;
        self.added[candidate] += 1;
        for row in self.rows_of(candidate).0 {
            let sum = &mut self.sum[row * width..][..width];
            sum.iter_mut().zip(self.candidates.row(candidate, row)).for_each(|(sum, x)| *sum += (*x).into());
            self.counts[row] += 1.;
            if let Single::Losses(loss, losses) = &mut self.single {
                let mean: Vec<f64> = sum.iter().map(|sum| *sum / self.counts[row]).collect();
                losses[row] = loss.of(&mean, self.truth, row);
            }
        }
    }

    fn loss(&self) -> Result<Option<f64>> {
        self.current().map(Some)
    }
}
