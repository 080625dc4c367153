//! The best one-to-one assignment of units.
use crate::{Error, Result};

/// The largest gain in fixed-point numbers. Gains are rounded to 2⁻⁴⁰ of the largest, so the sum of an
/// assignment of `n` units is within `n·2⁻⁴⁰` of the largest gain of the best (`n·10⁻¹²`). Sums of 2²² gains
/// fit into an i64.
const SCALE: f64 = (1u64 << 40) as f64;

/// The column of each row in the assignment with the largest sum of `gains`, `(n, n)` row by row.
pub(crate) fn assign(gains: &[f64], n: usize) -> Result<Vec<u32>> {
    if let Some(odd) = gains.iter().find(|gain| !gain.is_finite()) {
        return Err(Error::invalid("the similarity of two units", "finite", odd));
    }
    let largest = gains.iter().fold(0., |most: f64, gain| most.max(gain.abs()));
    if largest == 0. {
        return Ok((0..n as u32).collect()); // all gains are 0, so no order is better
    }
    let fixed = gains.iter().map(|gain| (gain / largest * SCALE).round() as i64).collect();
    kuhn_munkres(fixed, n)
}

#[cfg(feature = "align")]
fn kuhn_munkres(gains: Vec<i64>, n: usize) -> Result<Vec<u32>> {
    let count = gains.len();
    let gains = pathfinding::matrix::Matrix::from_vec(n, n, gains)
        .map_err(|_| Error::invalid("the similarities", format!("{n} by {n}"), count))?;
    let (_, columns) = pathfinding::kuhn_munkres::kuhn_munkres(&gains);
    Ok(columns.into_iter().map(|column| column as u32).collect())
}

#[cfg(not(feature = "align"))]
fn kuhn_munkres(_: Vec<i64>, _: usize) -> Result<Vec<u32>> {
    Err(Error::invalid("the feature `align` of candle-ensemble", "on for networks to be aligned", "off"))
}

/// The sum of the gains of an assignment.
pub(crate) fn total(gains: &[f64], columns: &[u32]) -> f64 {
    let n = columns.len();
    let pick = |(row, column): (usize, &u32)| gains.get(row * n + *column as usize).copied();
    columns.iter().enumerate().filter_map(pick).sum()
}

#[cfg(all(test, feature = "align"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matrix(n: usize) -> Vec<f64> {
        let gain = |i: usize, j: usize| ((i * 37 + j * 91 + i * j * 17 + i * i * 5) % 101) as f64 / 7. - 5.;
        (0..n * n).map(|k| gain(k / n, k % n)).collect()
    }

    /// tests/reference/assignment.py, scipy 1.17.1.
    const SCIPY: [(usize, f64); 4] =
        [(3, 19.42857142857143), (8, 64.14285714285714), (32, 270.4285714285714), (64, 564.1428571428571)];

    #[test]
    fn the_best_sum_is_that_of_scipy() {
        for (n, best) in SCIPY {
            let found = assign(&matrix(n), n).unwrap();
            assert!((total(&matrix(n), &found) - best).abs() < 1e-9, "{n}");
        }
    }

    #[test]
    fn nan_is_refused_and_equal_gains_change_nothing() {
        assert!(assign(&[0., f64::NAN, 1., 2.], 2).is_err());
        assert_eq!(assign(&[0.; 9], 3).unwrap(), [0, 1, 2]);
        assert_eq!(assign(&[], 0).unwrap(), [] as [u32; 0]);
        assert_eq!(assign(&[0., 1e300, 1e300, 0.], 2).unwrap(), [1, 0]);
        assert_eq!(assign(&[0., 1e-300, 1e-300, 0.], 2).unwrap(), [1, 0]);
    }

    fn best(gains: &[f64], n: usize, row: usize, taken: u32) -> f64 {
        if row == n {
            return 0.;
        }
        let free = (0..n).filter(|column| taken & (1 << column) == 0);
        free.map(|c| gains[row * n + c] + best(gains, n, row + 1, taken | 1 << c)).fold(f64::MIN, f64::max)
    }

    proptest! {
        #[test]
        fn no_assignment_is_better(n in 1usize..7, seed in prop::collection::vec(-1e3f64..1e3, 36)) {
            let gains = &seed[..n * n];
            let found = assign(gains, n).unwrap();
            let mut sorted = found.clone();
            sorted.sort_unstable();
            prop_assert!(sorted.into_iter().eq(0..n as u32));
            prop_assert!((total(gains, &found) - best(gains, n, 0, 0)).abs() < 1e-8);
        }
    }
}

#[cfg(all(test, not(feature = "align")))]
mod without_the_feature {
    #[test]
    fn an_assignment_is_an_error_that_names_the_feature() {
        let e = super::assign(&[1., 0., 0., 1.], 2).unwrap_err().to_string();
        assert!(e.contains("feature `align`") && e.contains("but is off"), "{e}");
    }
}
