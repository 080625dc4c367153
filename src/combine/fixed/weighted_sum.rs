//! The weighted mean of the voices in one pass over them, as fast as memory is read.
use crate::{
    kernels::{
        cpu::{self, Number},
        real::vectorized,
    },
    predictions::Voices,
    threads,
};
use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

/// Numbers of the result that are summed at once: they stay in a cache while the voices pass by.
const BLOCK: usize = 1 << 13;
/// From so many numbers on it pays to wake other threads.
const WIDE: usize = 1 << 18;

/// `Σ_s w_s v_s / of`; where voices are missing, `of` is the sum of the weights of those that are there.
///
/// `None` where a gradient has to pass, where the voices are not on the CPU, or not f32 or f64: tensor operations serve
/// there.
pub(crate) fn weighted_mean(voices: &Voices, weights: &[f64], of: f64) -> Result<Option<Tensor>> {
    let values = voices.values();
    match values.dtype() {
        _ if values.track_op() || !values.device().is_cpu() => Ok(None),
        DType::F32 => mean_of::<f32>(voices, weights, of).map(Some),
        DType::F64 => mean_of::<f64>(voices, weights, of).map(Some),
        _ => Ok(None),
    }
}

fn mean_of<T: Number>(voices: &Voices, weights: &[f64], of: f64) -> Result<Tensor> {
    let (slots, rows, width) = voices.values().dims3()?;
    let covered = voices.coverage()?;
    // A voice without weight is not read.
    let used: Vec<usize> = (0..slots).filter(|slot| weights[*slot] != 0.).collect();
    let weight: Vec<T> = used.iter().map(|slot| T::from_f64(weights[*slot])).collect();
    let of = T::from_f64(of);
    let size = (BLOCK / width.max(1)).max(1) * width.max(1);
    let mut mean = vec![T::zero(); rows * width];
    cpu::with(voices.values(), |all: &[T]| {
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
    Tensor::from_vec(mean, (rows, width), voices.values().device())
}

/// Adds every voice's numbers from `from` on, by its weight, to `sum`: four voices at a time, so that the sums are
/// read and written a quarter as often.
#[inline(always)]
fn add_all<T: Number>(says: &[&[T]], weights: &[T], from: usize, sum: &mut [T]) {
    for (says, weights) in says.chunks(4).zip(weights.chunks(4)) {
        let part = |voice: usize| &says[voice][from..from + sum.len()];
        if let [wa, wb, wc, wd] = *weights {
            let (a, b, c, d) = (part(0), part(1), part(2), part(3));
            for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum += (wa * *a + wb * *b) + (wc * *c + wd * *d);
            }
        } else {
            for (voice, weight) in weights.iter().enumerate() {
                let part = &says[voice][from..from + sum.len()];
                sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += *weight * *x);
            }
        }
    }
}
