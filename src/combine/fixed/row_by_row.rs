//! CombinerSet that go row by row, on the host: what the predictions that are there say of one row, gathered into one place.
use crate::{
    data::Task,
    kernels::cpu::{self, Number},
    predictions::Predictions,
    threads,
};
use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;
use std::cmp::Ordering;

/// Rows that one thread does at a time.
const CHUNK: usize = 256;
/// From so many numbers on it pays to wake other threads.
const WIDE: usize = 1 << 17;

/// The predictions that predict one row.
pub(crate) struct RowPredictions<'a> {
    /// Which row.
    pub(crate) row: usize,
    /// Their slots, one or more.
    pub(crate) slots: &'a [usize],
    /// `(C, n)`: one class or output after another.
    values: &'a mut [f64],
    order: &'a mut Vec<usize>,
}

impl RowPredictions<'_> {
    /// What they say of each class or output in turn; to be changed at will.
    pub(crate) fn columns(&mut self) -> impl Iterator<Item = &mut [f64]> {
        self.values.chunks_exact_mut(self.slots.len())
    }

    /// What the `prediction`th of them says of a class or output.
    pub(crate) fn says(&self, prediction: usize, class: usize) -> f64 {
        self.values[class * self.slots.len() + prediction]
    }

    /// The class that the `prediction`th of them holds for the most probable, the lowest of equals.
    pub(crate) fn vote(&self, prediction: usize) -> usize {
        let better = |best, class| {
            if self.says(prediction, class) > self.says(prediction, best) {
                class
            } else {
                best
            }
        };
        (1..self.values.len() / self.slots.len()).fold(0, better)
    }

    /// Ranks the classes as the `prediction`th of them does: the most probable first, of equals the lowest.
    pub(crate) fn rank(&mut self, prediction: usize) {
        let (values, count) = (&*self.values, self.slots.len());
        self.order.clear();
        self.order.extend(0..values.len() / count);
        let says = |class: usize| values[class * count + prediction];
        // Not `total_cmp`, to which 0 is above -0.
        let by =
            |a: &usize, b: &usize| says(*b).partial_cmp(&says(*a)).unwrap_or(Ordering::Equal).then(a.cmp(b));
        self.order.sort_unstable_by(by);
    }

    /// The classes as they were last ranked.
    pub(crate) fn ranked(&self) -> &[usize] {
        self.order
    }
}

/// `(S, B, C) -> (B, C)`: `each` makes a row's result, which comes to it as zeros, of what is row_predictions. A row of which
/// nothing is row_predictions, or a NaN, comes out as NaN. In f64, rounded once to the type of `values`.
pub(crate) fn row_by_row(
    predictions: &Predictions,
    values: &Tensor,
    each: impl Fn(RowPredictions<'_>, &mut [f64]) + Sync,
) -> Result<Tensor> {
    match values.dtype() {
        DType::F64 => rows_of::<f64>(predictions, values, each),
        _ => rows_of::<f32>(predictions, values, each),
    }
}

fn rows_of<T: Number>(
    predictions: &Predictions,
    values: &Tensor,
    each: impl Fn(RowPredictions<'_>, &mut [f64]) + Sync,
) -> Result<Tensor> {
    let (slots, rows, width) = values.dims3()?;
    let covered = predictions.coverage_by_slot()?;
    let predicts = |slot: usize, row: usize| covered.as_ref().is_none_or(|c| c[slot][row] > 0.);
    let mut predicted = vec![T::zero(); rows * width];
    cpu::with(values, |all: &[T]| {
        let chunk = |(number, predicted): (usize, &mut [T])| {
            let (mut row_predictions, mut gathered) = (Vec::with_capacity(slots), vec![0f64; slots * width]);
            let (mut result, mut order) = (vec![0f64; width], vec![]);
            for (row, predicted) in (number * CHUNK..).zip(predicted.chunks_exact_mut(width)) {
                row_predictions.clear();
                row_predictions.extend((0..slots).filter(|slot| predicts(*slot, row)));
                let count = row_predictions.len();
                for (prediction, slot) in row_predictions.iter().enumerate() {
                    let says = &all[(slot * rows + row) * width..][..width];
                    let places = gathered[prediction..].iter_mut().step_by(count);
                    places.zip(says).for_each(|(to, from)| *to = (*from).into());
                }
                let values = &mut gathered[..count * width];
                result.fill(0.);
                if count == 0 || values.iter().sum::<f64>().is_nan() {
                    result.fill(f64::NAN);
                } else {
                    each(
                        RowPredictions { row, slots: &row_predictions, values, order: &mut order },
                        &mut result,
                    );
                }
                predicted.iter_mut().zip(&result).for_each(|(to, from)| *to = T::from_f64(*from));
            }
        };
        let size = CHUNK * width.max(1);
        match all.len() {
            0..WIDE => predicted.chunks_mut(size).enumerate().for_each(chunk),
            _ => threads::wide(|| predicted.par_chunks_mut(size).enumerate().for_each(chunk)),
        }
    })?;
    Tensor::from_vec(predicted, (rows, width), values.device())?.to_dtype(values.dtype())
}

/// Each class or output by itself: `each` makes one number of what is predicted of it. Probabilities are normalised again.
pub(crate) fn cell_by_cell(
    predictions: &Predictions,
    each: impl Fn(&mut [f64]) -> f64 + Sync,
) -> Result<Tensor> {
    let classes = matches!(predictions.task(), Task::Classification { .. });
    row_by_row(predictions, predictions.values(), |mut row_predictions, predicted| {
        row_predictions
            .columns()
            .zip(predicted.iter_mut())
            .for_each(|(column, predicted)| *predicted = each(column));
        if classes {
            normalise(predicted);
        }
    })
}

/// Shares of one; where there is nothing to share, every class is as probable.
pub(crate) fn normalise(predicted: &mut [f64]) {
    let total: f64 = predicted.iter().sum();
    if total > 0. {
        predicted.iter_mut().for_each(|x| *x /= total);
    } else {
        let even = 1. / predicted.len() as f64;
        predicted.fill(even);
    }
}

/// What is left of the numbers, in no order but the greatest last, without the `cut` least and the `cut` greatest: one
/// number at least.
pub(crate) fn without_ends(numbers: &mut [f64], cut: usize) -> &mut [f64] {
    let cut = cut.min(numbers.len().saturating_sub(1) / 2);
    if numbers.is_empty() {
        return numbers;
    }
    if cut > 0 {
        numbers.select_nth_unstable_by(cut, f64::total_cmp);
    }
    let left = numbers.len() - 2 * cut;
    let upper = &mut numbers[cut..];
    upper.select_nth_unstable_by(left - 1, f64::total_cmp);
    &mut upper[..left]
}
