//! Losses of the mean in passes over held-out predictions on disk.
use crate::{
    combine::{
        blend::{
            matrix::{Block, SlotMatrix},
            on_disk::{file_matrix, residual_products, Scratch},
        },
        file_rows::FileRows,
        held_out_table::evened_in_groups,
        select::{squared_error::Products, Scorer, SelectionPath},
    },
    kernels::{float::Number, ln::ln, simd::vectorized},
    metrics::{RowLoss, Truth, NLL_EPSILON},
    threads::wide,
    HeldOutFile, Result,
};
use rayon::prelude::*;
use std::ops::Range;

/// Makes the scorer of some slots.
type New<'a> = &'a dyn Fn(Vec<usize>) -> Result<Box<dyn Scorer + 'a>>;

/// Calls `select` with what makes scorers of slots of a file.
pub(crate) fn with_scorers(
    file: &HeldOutFile,
    loss: RowLoss,
    select: impl FnOnce(New<'_>) -> Result<Vec<SelectionPath>>,
) -> Result<Vec<SelectionPath>> {
    let (all, width): (Vec<usize>, _) = ((0..file.slots()).collect(), file.task().width());
    let rows = FileRows::of(file)?;
    loss.check(&rows.truth)?;
    if !file.is_partial() && matches!(loss, RowLoss::Squared | RowLoss::Brier) {
        let products = residual_products(file)?;
        return select(&|slots| Ok(Box::new(Products::new(&products, all.len(), slots))));
    }
    if let (RowLoss::LogLoss, Truth::Classes(classes)) = (loss, &rows.truth) {
        // The probability of the true class is all that it depends on.
        let probabilities = Scratch::of_true_classes(file, &all, 0.)?;
        let there = Scratch::of_coverage(file, &all, probabilities.chunks_a_block())?;
        let truth = Truth::Classes(vec![0; classes.len()]);
        let matrix = probabilities.matrix()?;
        let there = there.as_ref().map(Scratch::matrix).transpose()?;
        let problem = Problem { matrix, there, width: 1, truth: &truth, weights: &rows.weights, loss };
        return select(&|slots| Ok(Box::new(InPasses::new(&problem, slots))));
    }
    let there = Scratch::of_coverage(file, &all, 1)?;
    let there = there.as_ref().map(Scratch::matrix).transpose()?;
    let (truth, weights) = (&rows.truth, rows.weights.as_slice());
    match file.is_wide() {
        true => {
            let problem =
                Problem { matrix: file_matrix::<f64>(file, &all)?, there, width, truth, weights, loss };
            select(&|slots| Ok(Box::new(InPasses::new(&problem, slots))))
        }
        false => {
            let problem =
                Problem { matrix: file_matrix::<f32>(file, &all)?, there, width, truth, weights, loss };
            select(&|slots| Ok(Box::new(InPasses::new(&problem, slots))))
        }
    }
}

/// What the loss of a mean is computed from.
struct Problem<'a, T> {
    /// The predictions of all slots, of `width` cells a row.
    matrix: SlotMatrix<'a, T>,
    /// 1 where a slot predicts a row, in blocks of the same rows; `None` where no prediction is missing.
    there: Option<SlotMatrix<'a, f32>>,
    width: usize,
    truth: &'a Truth,
    /// The weights sum to one.
    weights: &'a [f64],
    loss: RowLoss,
}

/// The rows of one block.
struct BlockRows<'a, T> {
    values: &'a Block<'a, T>,
    there: Option<&'a Block<'a, f32>>,
    rows: Range<usize>,
}

impl<'a, T: Number> Problem<'a, T> {
    fn blocks(&'a self) -> impl Iterator<Item = BlockRows<'a, T>> {
        self.matrix.blocks().iter().enumerate().map(|(number, values)| {
            let from = values.from() / self.width;
            let there = self.there.as_ref().and_then(|there| there.blocks().get(number));
            BlockRows { values, there, rows: from..from + values.cells() / self.width }
        })
    }

    /// What a slot predicts for a row of a block, if it does.
    #[inline]
    fn predicted<'b>(&self, block: &BlockRows<'b, T>, slot: usize, row: usize) -> Option<&'b [T]> {
        let there = block.there.is_none_or(|there| there.slot(slot)[row] > 0.);
        there.then(|| &block.values.slot(slot)[row * self.width..(row + 1) * self.width])
    }

    /// Calls `visit` with the place of each row of a block that a slot predicts among all rows, and its predictions.
    #[inline]
    fn each(&self, block: &BlockRows<'_, T>, slot: usize, mut visit: impl FnMut(usize, &[T])) {
        let predicted = block.values.slot(slot).chunks_exact(self.width);
        let there = block.there.map(|there| there.slot(slot));
        for (row, predicted) in predicted.enumerate() {
            if there.is_none_or(|there| there[row] > 0.) {
                visit(block.rows.start + row, predicted);
            }
        }
    }
}

impl<T: Number> BlockRows<'_, T> {
    fn release(&self) {
        self.values.release();
        if let Some(there) = self.there {
            there.release();
        }
    }
}

/// The mean of the slots that predict a row, as `PartialMean` in memory has it; each step is a pass over the predictions.
///
/// A row that no slot added so far predicts has the mean loss of the single slots that predict it. A slot is judged by how it
/// changes the loss on the rows that it predicts.
struct InPasses<'a, T> {
    problem: &'a Problem<'a, T>,
    slots: Vec<usize>,
    /// Sum over the members added so far, `(R, C)`.
    sum: Vec<f64>,
    count: usize,
    partial: Option<Partial>,
}

/// What else is known of each row where predictions are missing.
struct Partial {
    /// How many of the members added so far predict it.
    counts: Vec<f64>,
    losses: Vec<f64>,
    /// How often each candidate was added.
    added: Vec<usize>,
}

impl<'a, T: Number> InPasses<'a, T> {
    fn new(problem: &'a Problem<'a, T>, slots: Vec<usize>) -> Self {
        let (rows, all) = (problem.weights.len(), problem.matrix.slots);
        let partial = problem.there.as_ref().map(|_| {
            let mut losses = vec![0.; rows];
            for block in problem.blocks() {
                let single = |own: &mut Vec<f64>, (row, loss): (usize, &mut f64)| {
                    let mut count = 0.;
                    for predicted in (0..all).filter_map(|slot| problem.predicted(&block, slot, row)) {
                        own.clear();
                        own.extend(predicted.iter().map(|x| (*x).into()));
                        *loss += problem.loss.of(own, problem.truth, block.rows.start + row);
                        count += 1.;
                    }
                    *loss /= count;
                };
                let losses = &mut losses[block.rows.clone()];
                wide(|| losses.par_iter_mut().enumerate().for_each_init(Vec::new, single));
                block.release();
            }
            Partial { counts: vec![0.; rows], losses, added: vec![0; slots.len()] }
        });
        Self { problem, slots, sum: vec![0.; rows * problem.width], count: 0, partial }
    }

    /// For each candidate the weighted sum of the losses with it, or of their changes where predictions are missing, over the
    /// rows that it predicts, and the weight of these.
    fn sums(&self) -> Vec<[f64; 2]> {
        let (problem, width) = (self.problem, self.problem.width);
        let mut sums = vec![[0.; 2]; self.slots.len()];
        for block in problem.blocks() {
            let of_slot = |slot: &usize| {
                if self.partial.is_none() && width == 1 && problem.loss == RowLoss::LogLoss {
                    let (sum, weights) =
                        (&self.sum[block.rows.clone()], &problem.weights[block.rows.clone()]);
                    let share = 1. / (self.count + 1) as f64;
                    return [log_loss(block.values.slot(*slot), sum, weights, share), 1.];
                }
                let (mut mean, mut sum, mut total) = (vec![0.; width], 0., 0.);
                problem.each(&block, *slot, |row, predicted| {
                    let (count, before) = match &self.partial {
                        None => (self.count as f64, 0.),
                        Some(partial) => (partial.counts[row], partial.losses[row]),
                    };
                    let sums = &self.sum[row * width..(row + 1) * width];
                    for (mean, (sum, x)) in mean.iter_mut().zip(sums.iter().zip(predicted)) {
                        *mean = (sum + (*x).into()) / (count + 1.);
                    }
                    let weight = problem.weights[row];
                    sum += weight * (problem.loss.of(&mean, problem.truth, row) - before);
                    total += weight;
                });
                [sum, total]
            };
            let of_block: Vec<[f64; 2]> = wide(|| self.slots.par_iter().map(of_slot).collect());
            for ([sum, total], [more, weight]) in sums.iter_mut().zip(of_block) {
                (*sum, *total) = (*sum + more, *total + weight);
            }
            block.release();
        }
        sums
    }

    /// The loss of the mean so far, where predictions are missing.
    fn current(&self, partial: &Partial) -> f64 {
        partial.losses.iter().zip(self.problem.weights).map(|(loss, w)| loss * w).sum()
    }
}

/// The weighted sum of the log-losses of the means `(sum + predicted) · share`, summed in lanes in a fixed order.
fn log_loss<T: Number>(predicted: &[T], sum: &[f64], weights: &[f64], share: f64) -> f64 {
    const LANES: usize = 8;
    vectorized(
        #[inline(always)]
        || {
            let mut lanes = [0f64; LANES];
            let rows = predicted.chunks(LANES).zip(sum.chunks(LANES)).zip(weights.chunks(LANES));
            for ((predicted, sum), weights) in rows {
                for (lane, ((p, s), w)) in lanes.iter_mut().zip(predicted.iter().zip(sum).zip(weights)) {
                    let mean = (s + (*p).into()) * share;
                    let mean = if mean > NLL_EPSILON { mean } else { NLL_EPSILON };
                    *lane -= w * ln(if mean < 1. { mean } else { 1. });
                }
            }
            lanes.iter().sum()
        },
    )
}

impl<T: Number> Scorer for InPasses<'_, T> {
    fn losses_with_each(&mut self) -> Result<Vec<f64>> {
        let sums = self.sums();
        let Some(partial) = &self.partial else { return Ok(sums.into_iter().map(|[sum, _]| sum).collect()) };
        let change =
            |[sum, total]: &[f64; 2]| if *total > 0. { (sum / total, *total) } else { (f64::NAN, 0.) };
        let changes: Vec<(f64, f64)> = sums.iter().map(change).collect();
        let current = self.current(partial);
        Ok(evened_in_groups(&changes, &partial.added).into_iter().map(|change| current + change).collect())
    }

    fn add(&mut self, candidate: usize) {
        let Self { problem, slots, sum, count, partial } = self;
        let width = problem.width;
        *count += 1;
        if let Some(partial) = partial {
            partial.added[candidate] += 1;
        }
        for block in problem.blocks() {
            problem.each(&block, slots[candidate], |row, predicted| {
                let sums = &mut sum[row * width..(row + 1) * width];
                sums.iter_mut().zip(predicted).for_each(|(sum, x)| *sum += (*x).into());
                if let Some(partial) = partial {
                    partial.counts[row] += 1.;
                    let mean: Vec<f64> = sums.iter().map(|sum| *sum / partial.counts[row]).collect();
                    partial.losses[row] = problem.loss.of(&mean, problem.truth, row);
                }
            });
            block.release();
        }
    }

    fn loss(&self) -> Result<Option<f64>> {
        Ok(self.partial.as_ref().map(|partial| self.current(partial)))
    }
}
