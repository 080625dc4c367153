//! The Hodges-Lehmann estimate of a difference.
use super::inputs::check_finite;
use crate::{Error, Result};

/// Computes the Hodges-Lehmann estimate of the centre of differences.
///
/// ```text
/// median of (d_i + d_j) / 2 over i ≤ j
/// ```
///
/// It is the estimate that belongs to [`wilcoxon_test`](crate::statistics::wilcoxon_test). For symmetric
/// differences it estimates their mean, and a few extreme ones hardly change it. Cost: `O(n log n)`; the pairs
/// are counted, not listed.
///
/// # Errors
/// When there are no differences, or one is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::hodges_lehmann;
///
/// assert_eq!(hodges_lehmann(&[1.0, 2.0, 9.0])?, 3.5); // of 1, 1.5, 2, 5, 5.5 and 9
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Hodges and Lehmann 1963, doi:10.1214/aoms/1177704172.
pub fn hodges_lehmann(differences: &[f64]) -> Result<f64> {
    check_finite("difference", differences)?;
    if differences.is_empty() {
        return Err(Error::invalid("number of differences", "at least 1", 0));
    }
    // Halves do not overflow when they are added.
    let mut halves: Vec<f64> = differences.iter().map(|d| d / 2.0).collect();
    halves.sort_unstable_by(f64::total_cmp);
    let n = halves.len() as u64;
    let pairs = n * (n + 1) / 2;
    let lower = nth_pair(&halves, pairs.div_ceil(2));
    // The next place, where the number of pairs is even: the same number, or the one above.
    let (up_to, above) = pairs_up_to(&halves, lower);
    let upper = if up_to > pairs / 2 { lower } else { above };
    Ok(lower / 2.0 + upper / 2.0)
}

/// The pair sum of sorted values at a place, from 1, in the order of all pairs `i ≤ j`: the least number that
/// so many pairs do not exceed, by bisection over all numbers.
fn nth_pair(sorted: &[f64], place: u64) -> f64 {
    let ends = (sorted.first().copied().unwrap_or_default(), sorted.last().copied().unwrap_or_default());
    let (mut low, mut high) = (to_order(ends.0 + ends.0), to_order(ends.1 + ends.1));
    while low < high {
        let middle = ((i128::from(low) + i128::from(high)).div_euclid(2)) as i64;
        if pairs_up_to(sorted, from_order(middle)).0 >= place {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    from_order(low)
}

/// How many pairs `i ≤ j` of sorted values have a sum of at most `limit`, and the least sum above it.
fn pairs_up_to(sorted: &[f64], limit: f64) -> (u64, f64) {
    let (mut count, mut end, mut above) = (0, sorted.len(), f64::INFINITY);
    for (i, x) in sorted.iter().enumerate() {
        while end > i && sorted[end - 1] + x > limit {
            end -= 1;
        }
        above = sorted.get(end.max(i)).map_or(above, |next| above.min(next + x));
        if end <= i {
            break;
        }
        count += (end - i) as u64;
    }
    (count, above)
}

/// Integers in the order of the numbers, without a gap.
fn to_order(x: f64) -> i64 {
    // -0 and 0 are one place.
    let bits = (x + 0.0).to_bits() as i64;
    if bits < 0 {
        i64::MIN - bits
    } else {
        bits
    }
}

fn from_order(place: i64) -> f64 {
    f64::from_bits(if place < 0 { i64::MIN - place } else { place } as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_listing(x: &[f64]) -> f64 {
        let mut means: Vec<f64> =
            (0..x.len()).flat_map(|i| (i..x.len()).map(move |j| x[i] / 2.0 + x[j] / 2.0)).collect();
        means.sort_by(f64::total_cmp);
        means[(means.len() - 1) / 2] / 2.0 + means[means.len() / 2] / 2.0
    }

    proptest! {
        #[test]
        fn counting_pairs_is_listing_them(
            x in proptest::collection::vec(prop_oneof![-5.0..5.0, (-3..3i8).prop_map(f64::from)], 1..40)
        ) {
            prop_assert_eq!(hodges_lehmann(&x).unwrap(), by_listing(&x));
        }
    }

    #[test]
    fn extremes_and_errors() {
        for x in [&[f64::MAX, f64::MAX][..], &[-f64::MAX, f64::MAX, 1.0], &[0.0, -0.0], &[5e-324, -5e-324]] {
            assert_eq!(hodges_lehmann(x).unwrap(), by_listing(x), "{x:?}");
        }
        assert!(hodges_lehmann(&[]).is_err() && hodges_lehmann(&[f64::NAN]).is_err());
    }
}
