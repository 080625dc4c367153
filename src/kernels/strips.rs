//! Loops over strips of numbers, summed in f64 and compiled for the widest vectors.
use crate::kernels::real::vectorized;

/// The most numbers of a tensor that are merged in one call: a strip.
pub const STRIP: usize = 1024;

/// Sums in the making.
pub(crate) type Sums = [f64; STRIP];

/// `sums += w·x`
#[inline(always)]
pub(crate) fn add(sums: &mut [f64], w: f64, x: &[f32]) {
    for (sum, x) in sums.iter_mut().zip(x) {
        *sum += w * f64::from(*x);
    }
}

/// `out = Σ wᵢ xᵢ`
pub(crate) fn weighted_sum(weights: &[f64], all: &[&[f32]], out: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            let mut sums: Sums = [0.; STRIP];
            for (w, x) in weights.iter().zip(all) {
                add(&mut sums[..x.len().min(STRIP)], *w, x);
            }
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = *sum as f32;
            }
        },
    );
}

/// `delta = x − base`
#[inline(always)]
pub(crate) fn difference(x: &[f32], base: &[f32], delta: &mut [f32]) {
    for ((delta, x), base) in delta.iter_mut().zip(x).zip(base) {
        *delta = x - base;
    }
}

/// `Σ x y`, in eight partial sums, which vectors hold.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0f64; LANES];
    let (x8, y8) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 =
        x8.remainder().iter().zip(y8.remainder()).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    for (x, y) in x8.zip(y8) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f64::from(*x) * f64::from(*y);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Whether all are numbers of magnitude below `limit`, which neither infinity nor NaN is.
pub(crate) fn all_below(x: &[f32], limit: f32) -> bool {
    vectorized(
        #[inline(always)]
        || x.iter().fold(true, |all, x| all & (x.abs() < limit)),
    )
}
