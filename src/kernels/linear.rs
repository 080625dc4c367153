//! Linear combinations, differences and products of short f64 slices.
use crate::kernels::simd::vectorized;

/// The largest number of elements that a strip has: a merge reads every input this many elements at a time.
pub const STRIP_LEN: usize = 1024;

/// A number for each element of a strip.
pub(crate) type StripSums = [f64; STRIP_LEN];

/// `sums += w·x`
#[inline(always)]
pub(crate) fn add_scaled(sums: &mut [f64], w: f64, x: &[f64]) {
    for (sum, x) in sums.iter_mut().zip(x) {
        *sum += w * x;
    }
}

/// `out = Σ wᵢ xᵢ`
pub(crate) fn weighted_sum(weights: &[f64], all: &[&[f64]], out: &mut [f64]) {
    vectorized(
        #[inline(always)]
        || weighted_sum_inlined(weights, all, out),
    );
}

#[inline(always)]
fn weighted_sum_inlined(weights: &[f64], all: &[&[f64]], out: &mut [f64]) {
    let mut pairs = weights.iter().zip(all);
    let Some((w, first)) = pairs.next() else { return out.fill(0.) };
    // Written, not added to 0, because 0 + −0 would lose the sign.
    for (out, x) in out.iter_mut().zip(*first) {
        *out = w * x;
    }
    for (w, x) in pairs {
        add_scaled(out, *w, x);
    }
}

/// `out = Σ wᵢ xᵢ` for weights that are at least 0 and sum to 1, for slices of at most [`STRIP_LEN`]
/// elements.
///
/// A mean is never beyond the inputs that it is made of. Rounding may carry the sum there (three times a third
/// of a number is not always the number), so it is limited to their range. The mean of equal numbers is thus
/// that number, to the bit.
pub(crate) fn weighted_mean(weights: &[f64], all: &[&[f64]], out: &mut [f64]) {
    vectorized(
        #[inline(always)]
        || {
            weighted_sum_inlined(weights, all, out);
            limit_to_range(weights, all, out);
        },
    );
}

/// Limits each element of `out` to the range of the inputs that have a weight above 0. Slices have at most
/// [`STRIP_LEN`] elements.
#[inline(always)]
pub(crate) fn limit_to_range(weights: &[f64], all: &[&[f64]], out: &mut [f64]) {
    let (mut least, mut most) = ([f64::INFINITY; STRIP_LEN], [f64::NEG_INFINITY; STRIP_LEN]);
    for (_, x) in weights.iter().zip(all).filter(|(w, _)| **w > 0.) {
        for ((least, most), x) in least.iter_mut().zip(&mut most).zip(*x) {
            *least = if *x < *least { *x } else { *least };
            *most = if *x > *most { *x } else { *most };
        }
    }
    for ((out, least), most) in out.iter_mut().zip(&least).zip(&most) {
        *out = if *out < *least { *least } else { *out };
        *out = if *out > *most { *most } else { *out };
    }
}

/// `delta = x − base`
#[inline(always)]
pub(crate) fn difference(x: &[f64], base: &[f64], delta: &mut [f64]) {
    for ((delta, x), base) in delta.iter_mut().zip(x).zip(base) {
        *delta = x - base;
    }
}

/// `Σ x y`, in eight partial sums.
#[inline(always)]
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0f64; LANES];
    let (x8, y8) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 = x8.remainder().iter().zip(y8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in x8.zip(y8) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// The largest magnitude; 0 for no elements.
#[inline(always)]
pub(crate) fn largest_magnitude(x: &[f64]) -> f64 {
    x.iter().fold(0., |largest: f64, x| if x.abs() > largest { x.abs() } else { largest })
}

/// Whether the magnitude of every element is below `limit`; false for NaN.
pub(crate) fn all_below(x: &[f64], limit: f64) -> bool {
    vectorized(
        #[inline(always)]
        || x.iter().fold(true, |all, x| all & (x.abs() < limit)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_equal_numbers_is_that_number() {
        let x = [0.1, -0.3, 1e300, std::f64::consts::PI, -0., 5e-324, f64::MAX];
        for n in 1..=50 {
            let mut out = [0.; 7];
            weighted_mean(&vec![1. / n as f64; n], &vec![&x[..]; n], &mut out);
            assert_eq!(out.map(f64::to_bits), x.map(f64::to_bits), "{n}");
        }
        // An input without a weight does not widen the range.
        let (mut out, weights) = ([0.], [1. / 3., 1. / 3., 1. / 3., 0.]);
        weighted_mean(&weights, &[&[0.3], &[0.3], &[0.3], &[9.]], &mut out);
        assert_eq!(out, [0.3]);
    }
}
