//! Sums and extremes of a slice, in eight interleaved partial results.
//!
//! With a single running total every addition would wait for the one before it, and the compiler may not
//! reorder additions of floating-point numbers itself. The number of partial results is fixed, so results do
//! not depend on the processor.

/// The number of partial results.
const LANES: usize = 8;

/// Folds the elements with `add` into eight partial results and combines those with `join`. The number of
/// partial results is fixed, so the result is the same for any vector width. Fewer than 32 elements are
/// folded one by one.
#[inline(always)]
pub(crate) fn fold_in_lanes<X: Copy, A: Copy>(
    elements: &[X],
    start: A,
    add: impl Fn(A, X) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
    if elements.len() < 4 * LANES {
        return elements.iter().fold(start, |a, &x| add(a, x));
    }
    let mut lanes = [start; LANES];
    let mut chunks = elements.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = add(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = add(*lane, x);
    }
    lanes.into_iter().reduce(join).unwrap_or(start)
}

/// [`fold_in_lanes`] over the pairs of two slices of the same length.
#[inline(always)]
pub(crate) fn fold_pairs_in_lanes<X: Copy, Y: Copy, A: Copy>(
    (xs, ys): (&[X], &[Y]),
    start: A,
    add: impl Fn(A, X, Y) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
    let pairs = xs.iter().zip(ys);
    if xs.len() < 4 * LANES {
        return pairs.fold(start, |a, (&x, &y)| add(a, x, y));
    }
    let mut lanes = [start; LANES];
    let (x_chunks, x_rest) = xs.as_chunks::<LANES>();
    let (y_chunks, y_rest) = ys.as_chunks::<LANES>();
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for lane in 0..LANES {
            lanes[lane] = add(lanes[lane], x[lane], y[lane]);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane = add(*lane, x, y);
    }
    lanes.into_iter().reduce(join).unwrap_or(start)
}

/// The sum of two partial results.
#[inline(always)]
pub(crate) fn plus(a: f64, b: f64) -> f64 {
    a + b
}

/// Folds element `i` into partial result `i % LANES`.
fn fold(xs: &[f64], start: f64, step: impl Fn(f64, f64) -> f64) -> [f64; LANES] {
    let mut lanes = [start; LANES];
    let blocks = xs.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks.chain([rest]) {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = step(*lane, x);
        }
    }
    lanes
}

/// The sum of `f` over the elements; 0 for an empty slice.
pub(crate) fn sum(xs: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    fold(xs, 0.0, |total, x| total + f(x)).iter().sum()
}

/// The smallest and the largest element. NaN elements are ignored.
pub(crate) fn range(xs: &[f64]) -> (f64, f64) {
    let least = |a: f64, b: f64| if b < a { b } else { a };
    let most = |a: f64, b: f64| if b > a { b } else { a };
    let low = fold(xs, f64::INFINITY, least).into_iter().fold(f64::INFINITY, least);
    let high = fold(xs, f64::NEG_INFINITY, most).into_iter().fold(f64::NEG_INFINITY, most);
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_results_are_joined() {
        for n in 0..40u64 {
            let numbers: Vec<u64> = (1..=n).collect();
            assert_eq!(fold_in_lanes(&numbers, 0, |a, x| a + x, |a, b| a + b), n * (n + 1) / 2);
            let pairs = (&numbers[..], &numbers[..]);
            let squares = fold_pairs_in_lanes(pairs, 0, |a, x, y| a + x * y, |a, b| a + b);
            assert_eq!(squares, n * (n + 1) * (2 * n + 1) / 6);
        }
    }

    #[test]
    fn every_element_counts_once_for_any_length() {
        for n in 0..40 {
            let xs: Vec<f64> = (1..=n).map(f64::from).collect();
            let n = f64::from(n);
            assert_eq!(sum(&xs, |x| x * x), n * (n + 1.0) * (2.0 * n + 1.0) / 6.0);
            if n > 0.0 {
                assert_eq!(range(&xs), (1.0, n));
            }
        }
    }

    #[test]
    fn nan_makes_the_sum_nan_and_is_ignored_by_the_range() {
        let xs = [2.0, f64::NAN, 1.0];
        assert!(sum(&xs, |x| x).is_nan());
        assert_eq!(range(&xs), (1.0, 2.0));
    }
}
