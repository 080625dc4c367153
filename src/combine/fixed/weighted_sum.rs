//! The weighted mean of the predictions in one pass over them, as fast as memory is read.
use crate::{
    kernels::{
        cpu::{self, Number},
        real::vectorized,
    },
    predictions::Predictions,
    threads,
};
use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

/// Numbers of the result that are summed at once: they stay in a cache while the predictions pass by.
const BLOCK: usize = 1 << 13;
/// From so many numbers on it pays to wake other threads.
const WIDE: usize = 1 << 18;

/// `Σ_s w_s v_s / of`; where predictions are missing, `of` is the sum of the weights of those that are there.
///
/// `None` where a gradient has to pass, where the predictions are not on the CPU, or not f32 or f64: tensor operations serve
/// there.
pub(crate) fn weighted_mean(predictions: &Predictions, weights: &[f64], of: f64) -> Result<Option<Tensor>> {
    let values = predictions.values();
    match values.dtype() {
        _ if values.track_op() || !values.device().is_cpu() => Ok(None),
        DType::F32 => mean_of::<f32>(predictions, weights, of).map(Some),
        DType::F64 => mean_of::<f64>(predictions, weights, of).map(Some),
        _ => Ok(None),
    }
}

fn mean_of<T: Number>(predictions: &Predictions, weights: &[f64], of: f64) -> Result<Tensor> {
    let (slots, rows, width) = predictions.values().dims3()?;
    let covered = predictions.coverage_by_slot()?;
    // A prediction without weight is not read.
    let used: Vec<usize> = (0..slots).filter(|slot| weights[*slot] != 0.).collect();
    let weight: Vec<T> = used.iter().map(|slot| T::from_f64(weights[*slot])).collect();
    let of = T::from_f64(of);
    let size = (BLOCK / width.max(1)).max(1) * width.max(1);
    let mut mean = vec![T::zero(); rows * width];
    cpu::with(predictions.values(), |all: &[T]| {
        let says: Vec<&[T]> = used.iter().map(|slot| &all[slot * rows * width..][..rows * width]).collect();
        let block = |(number, mean): (usize, &mut [T])| match &covered {
            None => {
                vectorized(
                    #[inline(always)]
                    || add_all(&says, &weight, number * size, mean),
                );
                mean.iter_mut().for_each(|x| *x /= of);
            }
            Some(covered) => {
                for (row, mean) in (number * size / width..).zip(mean.chunks_exact_mut(width)) {
                    let mut there = T::zero();
                    for ((slot, says), weight) in used.iter().zip(&says).zip(&weight) {
                        if covered[*slot][row] > 0. {
                            there += *weight;
                            let pairs = mean.iter_mut().zip(&says[row * width..]);
                            pairs.for_each(|(sum, x)| *sum += *weight * *x);
                        }
                    }
                    mean.iter_mut().for_each(|x| *x /= there);
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

/// Adds every prediction's numbers from `from` on, by its weight, to `sum`: four predictions at a time, so that the sums are
/// read and written a quarter as often.
#[inline(always)]
fn add_all<T: Number>(says: &[&[T]], weights: &[T], from: usize, sum: &mut [T]) {
    for (says, weights) in says.chunks(4).zip(weights.chunks(4)) {
        let part = |prediction: usize| &says[prediction][from..from + sum.len()];
        if let [wa, wb, wc, wd] = *weights {
            let (a, b, c, d) = (part(0), part(1), part(2), part(3));
            for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum += (wa * *a + wb * *b) + (wc * *c + wd * *d);
            }
        } else {
            for (prediction, weight) in weights.iter().enumerate() {
                let part = &says[prediction][from..from + sum.len()];
                sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += *weight * *x);
            }
        }
    }
}
