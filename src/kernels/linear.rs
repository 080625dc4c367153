//! Linear combinations, differences and products of short f32 slices, with sums in f64.
use crate::kernels::simd::vectorized;

/// The largest number of elements that a strip has: a merge reads every input this many elements at a time.
pub const STRIP_LEN: usize = 1024;

/// A running sum for each element of a strip.
pub(crate) type StripSums = [f64; STRIP_LEN];

/// `sums += w·x`
#[inline(always)]
pub(crate) fn add_scaled(sums: &mut [f64], w: f64, x: &[f32]) {
    for (sum, x) in sums.iter_mut().zip(x) {
        *sum += w * f64::from(*x);
    }
}

/// `out = Σ wᵢ xᵢ`, for slices of at most [`STRIP_LEN`] elements.
pub(crate) fn weighted_sum(weights: &[f64], all: &[&[f32]], out: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            let mut sums: StripSums = [0.; STRIP_LEN];
            for (w, x) in weights.iter().zip(all) {
                add_scaled(&mut sums[..x.len().min(STRIP_LEN)], *w, x);
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

/// `Σ x y`, in eight partial sums.
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

/// Whether the magnitude of every element is below `limit`; false for NaN.
pub(crate) fn all_below(x: &[f32], limit: f32) -> bool {
    vectorized(
        #[inline(always)]
        || x.iter().fold(true, |all, x| all & (x.abs() < limit)),
    )
}
