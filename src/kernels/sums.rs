//! Sums and extremes over a slice in eight interleaved parts: one running total would make every addition wait
//! for the one before it, and the compiler may not reorder them itself.

const LANES: usize = 8;

/// Folds every element into its lane; the elements left over go to the first lanes.
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

/// Sum of `f` over the elements; 0 for none.
pub(crate) fn sum(xs: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    fold(xs, 0.0, |total, x| total + f(x)).iter().sum()
}

/// Smallest and largest element; a NaN is passed over.
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
    fn every_element_counts_once_whatever_the_length() {
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
    fn nan_shows_in_the_sum_and_not_in_the_range() {
        let xs = [2.0, f64::NAN, 1.0];
        assert!(sum(&xs, |x| x).is_nan());
        assert_eq!(range(&xs), (1.0, 2.0));
    }
}
