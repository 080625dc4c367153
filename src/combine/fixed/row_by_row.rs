//! Rules that go row by row, on the host: what the voices that are there say of one row, gathered into one place.
use crate::{
    data::Task,
    kernels::cpu::{self, Number},
    predictions::Voices,
    threads,
};
use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;
use std::cmp::Ordering;

/// Rows that one thread does at a time.
const CHUNK: usize = 256;
/// From so many numbers on it pays to wake other threads.
const WIDE: usize = 1 << 17;

/// The voices that speak about one row.
pub(crate) struct Heard<'a> {
    /// Which row.
    pub(crate) row: usize,
    /// Their slots, one or more.
    pub(crate) slots: &'a [usize],
    /// `(C, n)`: one class or output after another.
    values: &'a mut [f64],
    order: &'a mut Vec<usize>,
}

impl Heard<'_> {
    /// What they say of each class or output in turn; to be changed at will.
    pub(crate) fn columns(&mut self) -> impl Iterator<Item = &mut [f64]> {
        self.values.chunks_exact_mut(self.slots.len())
    }

    /// What the `voice`th of them says of a class or output.
    pub(crate) fn says(&self, voice: usize, class: usize) -> f64 {
        self.values[class * self.slots.len() + voice]
    }

    /// The class that the `voice`th of them holds for the most probable, the lowest of equals.
    pub(crate) fn vote(&self, voice: usize) -> usize {
        let better =
            |best, class| if self.says(voice, class) > self.says(voice, best) { class } else { best };
        (1..self.values.len() / self.slots.len()).fold(0, better)
    }

    /// Ranks the classes as the `voice`th of them does: the most probable first, of equals the lowest.
    pub(crate) fn rank(&mut self, voice: usize) {
        let (values, count) = (&*self.values, self.slots.len());
        self.order.clear();
        self.order.extend(0..values.len() / count);
        let says = |class: usize| values[class * count + voice];
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

/// `(S, B, C) -> (B, C)`: `each` makes a row's result, which comes to it as zeros, of what is heard. A row of which
/// nothing is heard, or a NaN, comes out as NaN. In f64, rounded once to the type of `values`.
pub(crate) fn row_by_row(
    voices: &Voices,
    values: &Tensor,
    each: impl Fn(Heard<'_>, &mut [f64]) + Sync,
) -> Result<Tensor> {
    match values.dtype() {
        DType::F64 => rows_of::<f64>(voices, values, each),
        _ => rows_of::<f32>(voices, values, each),
    }
}

fn rows_of<T: Number>(
    voices: &Voices,
    values: &Tensor,
    each: impl Fn(Heard<'_>, &mut [f64]) + Sync,
) -> Result<Tensor> {
    let (slots, rows, width) = values.dims3()?;
    let covered = voices.coverage()?;
    let speaks = |slot: usize, row: usize| covered.as_ref().is_none_or(|c| c[slot][row] > 0.);
    let mut said = vec![T::zero(); rows * width];
    cpu::with(values, |all: &[T]| {
        let chunk = |(number, said): (usize, &mut [T])| {
            let (mut heard, mut gathered) = (Vec::with_capacity(slots), vec![0f64; slots * width]);
            let (mut result, mut order) = (vec![0f64; width], vec![]);
            for (row, said) in (number * CHUNK..).zip(said.chunks_exact_mut(width)) {
                heard.clear();
                heard.extend((0..slots).filter(|slot| speaks(*slot, row)));
                let count = heard.len();
                for (voice, slot) in heard.iter().enumerate() {
                    let says = &all[(slot * rows + row) * width..][..width];
                    let places = gathered[voice..].iter_mut().step_by(count);
                    places.zip(says).for_each(|(to, from)| *to = (*from).into());
                }
                let values = &mut gathered[..count * width];
                result.fill(0.);
                if count == 0 || values.iter().sum::<f64>().is_nan() {
                    result.fill(f64::NAN);
                } else {
                    each(Heard { row, slots: &heard, values, order: &mut order }, &mut result);
                }
                said.iter_mut().zip(&result).for_each(|(to, from)| *to = T::from_f64(*from));
            }
        };
        let size = CHUNK * width.max(1);
        match all.len() {
            0..WIDE => said.chunks_mut(size).enumerate().for_each(chunk),
            _ => threads::wide(|| said.par_chunks_mut(size).enumerate().for_each(chunk)),
        }
    })?;
    Tensor::from_vec(said, (rows, width), values.device())?.to_dtype(values.dtype())
}

/// Each class or output by itself: `each` makes one number of what is said of it. Probabilities are normalised again.
pub(crate) fn cell_by_cell(voices: &Voices, each: impl Fn(&mut [f64]) -> f64 + Sync) -> Result<Tensor> {
    let classes = matches!(voices.task(), Task::Classification { .. });
    row_by_row(voices, voices.values(), |mut heard, said| {
        heard.columns().zip(said.iter_mut()).for_each(|(column, said)| *said = each(column));
        if classes {
            normalise(said);
        }
    })
}

/// Shares of one; where there is nothing to share, every class is as probable.
pub(crate) fn normalise(said: &mut [f64]) {
    let total: f64 = said.iter().sum();
    if total > 0. {
        said.iter_mut().for_each(|x| *x /= total);
    } else {
        let even = 1. / said.len() as f64;
        said.fill(even);
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
