//! The weighted mean of the predictions in one pass over them, at the speed of memory.
use crate::{
    kernels::{cpu, float::Number, simd::vectorized},
    predictions::Predictions,
    threads,
};
use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

/// The number of results that are summed at once, so that they stay in the cache.
const BLOCK: usize = 1 << 13;
/// The number of values from which several threads are faster than one.
const WIDE: usize = 1 << 18;

/// `Σ_s w_s v_s / divisor`; for a row with missing predictions the divisor is the sum of the weights that are
/// there.
///
/// `None` if a gradient has to pass, or if the predictions are not f32 or f64 on the CPU; then the caller
/// uses tensor operations.
pub(crate) fn weighted_mean(
    predictions: &Predictions,
    weights: &[f64],
    divisor: f64,
) -> Result<Option<Tensor>> {
    let values = predictions.values();
    match values.dtype() {
        _ if values.track_op() || !values.device().is_cpu() => Ok(None),
        DType::F32 => mean_of::<f32>(predictions, weights, divisor).map(Some),
        DType::F64 => mean_of::<f64>(predictions, weights, divisor).map(Some),
        _ => Ok(None),
    }
}

fn mean_of<T: Number>(predictions: &Predictions, weights: &[f64], divisor: f64) -> Result<Tensor> {
    let (slots, rows, width) = predictions.values().dims3()?;
    let covered = predictions.coverage_by_slot()?;
    // The predictions of a slot of weight 0 are not read.
    let used: Vec<usize> = (0..slots).filter(|slot| weights[*slot] != 0.).collect();
    let weight: Vec<T> = used.iter().map(|slot| T::from_f64(weights[*slot])).collect();
    let divisor = T::from_f64(divisor);
    let size = (BLOCK / width.max(1)).max(1) * width.max(1);
    let mut mean = vec![T::zero(); rows * width];
    cpu::with_slice(predictions.values(), |all: &[T]| {
        let used_values: Vec<&[T]> =
            used.iter().map(|slot| &all[slot * rows * width..][..rows * width]).collect();
        let block = |(number, mean): (usize, &mut [T])| match &covered {
            None => {
                vectorized(
                    #[inline(always)]
                    || add_all(&used_values, &weight, number * size, mean),
                );
                mean.iter_mut().for_each(|x| *x /= divisor);
            }
            Some(covered) => {
                for (row, mean) in (number * size / width..).zip(mean.chunks_exact_mut(width)) {
                    let mut total = T::zero();
                    for ((slot, values), weight) in used.iter().zip(&used_values).zip(&weight) {
                        if covered[*slot][row] > 0. {
                            total += *weight;
                            let pairs = mean.iter_mut().zip(&values[row * width..]);
                            pairs.for_each(|(sum, x)| *sum += *weight * *x);
                        }
                    }
                    mean.iter_mut().for_each(|x| *x /= total);
                }
            }
        };
        match all.len() {
            0..WIDE => mean.chunks_mut(size).enumerate().for_each(block),
            _ => threads::wide(|| mean.par_chunks_mut(size).enumerate().for_each(block)),
        }
    })?;
    Tensor::from_vec(mean, (rows, width), predictions.values().device())
}

/// Adds the weighted values of all slots, from position `from` on, to `sum`. Four slots are added at a time,
/// so that the sums are read and written a quarter as often.
#[inline(always)]
fn add_all<T: Number>(values: &[&[T]], weights: &[T], from: usize, sum: &mut [T]) {
    for (values, weights) in values.chunks(4).zip(weights.chunks(4)) {
        let part = |slot: usize| &values[slot][from..from + sum.len()];
        if let [wa, wb, wc, wd] = *weights {
            let (a, b, c, d) = (part(0), part(1), part(2), part(3));
            for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum += (wa * *a + wb * *b) + (wc * *c + wd * *d);
            }
        } else {
            for (slot, weight) in weights.iter().enumerate() {
                let part = &values[slot][from..from + sum.len()];
                sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += *weight * *x);
            }
        }
    }
}
