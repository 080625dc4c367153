//! Combiners that work row by row on the CPU, on the predictions of the slots that predict a row.
use crate::{
    data::Task,
    kernels::{cpu, float::Number},
    predictions::Predictions,
    threads,
};
use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;
use std::cmp::Ordering;

/// The number of rows that a thread combines at a time.
const CHUNK: usize = 256;
/// The number of values from which several threads are faster than one.
const WIDE: usize = 1 << 17;

/// The predictions for one row. The `i`-th prediction is that of slot `slots[i]`.
pub(crate) struct RowPredictions<'a> {
    /// The position of the row.
    #[cfg_attr(not(feature = "learned"), allow(dead_code))]
    pub(crate) row: usize,
    /// The slots that predict the row, one or more.
    pub(crate) slots: &'a [usize],
    /// `(C, n)`: for each class or output the values of all predictions.
    values: &'a mut [f64],
    ranking: &'a mut Vec<usize>,
}

impl RowPredictions<'_> {
    /// For each class or output the values of all predictions, which may be overwritten.
    pub(crate) fn columns(&mut self) -> impl Iterator<Item = &mut [f64]> {
        self.values.chunks_exact_mut(self.slots.len())
    }

    /// The value of the `i`-th prediction for a class or output.
    pub(crate) fn value(&self, i: usize, class: usize) -> f64 {
        self.values[class * self.slots.len() + i]
    }

    /// The most probable class of the `i`-th prediction, the lowest one in a tie.
    pub(crate) fn most_probable(&self, i: usize) -> usize {
        let better = |best, class| if self.value(i, class) > self.value(i, best) { class } else { best };
        (1..self.values.len() / self.slots.len()).fold(0, better)
    }

    /// Ranks the classes from the most to the least probable one of the `i`-th prediction, lower ones first
    /// in a tie.
    pub(crate) fn rank_classes(&mut self, i: usize) {
        let (values, count) = (&*self.values, self.slots.len());
        self.ranking.clear();
        self.ranking.extend(0..values.len() / count);
        let value = |class: usize| values[class * count + i];
        // `total_cmp` would put 0 above -0.
        let descending = |a: &usize, b: &usize| {
            value(*b).partial_cmp(&value(*a)).unwrap_or(Ordering::Equal).then(a.cmp(b))
        };
        self.ranking.sort_unstable_by(descending);
    }

    /// The classes in the order of the last [`rank_classes`](Self::rank_classes).
    pub(crate) fn ranking(&self) -> &[usize] {
        self.ranking
    }
}

/// Combines each row by `combine`, `(S, B, C) -> (B, C)`. It gets the predictions for the row and writes the
/// result over zeros. A row that no slot predicts, or for which a prediction is NaN, becomes NaN. The
/// computation is in f64, and the result is rounded once to the type of `values`.
pub(crate) fn row_by_row(
    predictions: &Predictions,
    values: &Tensor,
    combine: impl Fn(RowPredictions<'_>, &mut [f64]) + Sync,
) -> Result<Tensor> {
    match values.dtype() {
        DType::F64 => combine_rows::<f64>(predictions, values, combine),
        _ => combine_rows::<f32>(predictions, values, combine),
    }
}

fn combine_rows<T: Number>(
    predictions: &Predictions,
    values: &Tensor,
    combine: impl Fn(RowPredictions<'_>, &mut [f64]) + Sync,
) -> Result<Tensor> {
    let (slots, rows, width) = values.dims3()?;
    let covered = predictions.coverage_by_slot()?;
    let predicts = |slot: usize, row: usize| covered.as_ref().is_none_or(|c| c[slot][row] > 0.);
    let mut combined = vec![T::zero(); rows * width];
    cpu::with_slice(values, |all: &[T]| {
        let chunk = |(number, combined): (usize, &mut [T])| {
            let (mut present, mut gathered) = (Vec::with_capacity(slots), vec![0f64; slots * width]);
            let (mut result, mut ranking) = (vec![0f64; width], vec![]);
            for (row, combined) in (number * CHUNK..).zip(combined.chunks_exact_mut(width)) {
                present.clear();
                present.extend((0..slots).filter(|slot| predicts(*slot, row)));
                let count = present.len();
                for (i, slot) in present.iter().enumerate() {
                    let prediction = &all[(slot * rows + row) * width..][..width];
                    let column = gathered[i..].iter_mut().step_by(count);
                    column.zip(prediction).for_each(|(to, from)| *to = (*from).into());
                }
                let values = &mut gathered[..count * width];
                result.fill(0.);
                if count == 0 || values.iter().sum::<f64>().is_nan() {
                    result.fill(f64::NAN);
                } else {
                    let predictions = RowPredictions { row, slots: &present, values, ranking: &mut ranking };
                    combine(predictions, &mut result);
                }
                combined.iter_mut().zip(&result).for_each(|(to, from)| *to = T::from_f64(*from));
            }
        };
        let size = CHUNK * width.max(1);
        match all.len() {
            0..WIDE => combined.chunks_mut(size).enumerate().for_each(chunk),
            _ => threads::wide(|| combined.par_chunks_mut(size).enumerate().for_each(chunk)),
        }
    })?;
    Tensor::from_vec(combined, (rows, width), values.device())?.to_dtype(values.dtype())
}

/// Combines each class or output of a row on its own: `combine` gets the values of all predictions for it.
/// Probabilities are normalised afterwards.
pub(crate) fn column_by_column(
    predictions: &Predictions,
    combine: impl Fn(&mut [f64]) -> f64 + Sync,
) -> Result<Tensor> {
    let classes = matches!(predictions.task(), Task::Classification { .. });
    row_by_row(predictions, predictions.values(), |mut row_predictions, combined| {
        let columns = row_predictions.columns().zip(combined.iter_mut());
        columns.for_each(|(column, combined)| *combined = combine(column));
        if classes {
            normalise(combined);
        }
    })
}

/// Divides the numbers by their sum; if the sum is 0, all become equal.
pub(crate) fn normalise(numbers: &mut [f64]) {
    let total: f64 = numbers.iter().sum();
    if total > 0. {
        numbers.iter_mut().for_each(|x| *x /= total);
    } else {
        let uniform = 1. / numbers.len() as f64;
        numbers.fill(uniform);
    }
}

/// The numbers without the `cut` smallest and the `cut` largest, but at least one; the largest of them is the
/// last, the others are in no order.
pub(crate) fn without_extremes(numbers: &mut [f64], cut: usize) -> &mut [f64] {
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
