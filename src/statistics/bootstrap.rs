//! The percentile bootstrap of any statistic.
use super::interval::check_level;
use crate::{statistics::Interval, Error, Result, Seed};
use rand::Rng;

/// Computes the percentile bootstrap interval for any statistic of a set of rows, as
/// [`bootstrap_interval`](crate::statistics::bootstrap_interval) does for the mean.
///
/// `statistic` gets row numbers below `rows`: first all of them in order, for the estimate, and then `rows`
/// numbers drawn with replacement for each resample. It must return a finite number for any of them. Its
/// error ends the bootstrap.
///
/// Use it where the statistic is not a function of means, such as a median or a ranking metric. Otherwise use
/// [`bootstrap_means`](crate::statistics::bootstrap_means), whose cost does not grow with resamples times
/// rows, as it does here: there is one call for each resample.
///
/// # Errors
/// When there are fewer than 2 rows, the level is not between 0 and 1, there are fewer resamples than
/// `2 / (1 − level)`, or the statistic fails, is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::bootstrap_statistic;
///
/// // Difference of two root mean squared errors from the squared errors of each row.
/// let (first, second) = ([0.1, 0.2, 0.1, 0.4], [0.2, 0.3, 0.1, 0.9]);
/// let rmse = |squares: &[f64], rows: &[u32]| {
///     (rows.iter().map(|&row| squares[row as usize]).sum::<f64>() / rows.len() as f64).sqrt()
/// };
/// let difference = |rows: &[u32]| Ok(rmse(&second, rows) - rmse(&first, rows));
/// let gain = bootstrap_statistic(4, 0.9, 1000, 1, difference)?;
/// assert!(gain.contains(gain.estimate));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Efron 1979, doi:10.1214/aos/1176344552.
pub fn bootstrap_statistic(
    rows: usize,
    level: f64,
    resamples: usize,
    seed: impl Into<Seed>,
    mut statistic: impl FnMut(&[u32]) -> Result<f64>,
) -> Result<Interval> {
    check_level(level)?;
    let seed = seed.into();
    check_resamples(level, resamples)?;
    let count = match u32::try_from(rows) {
        Ok(count) if count >= 2 => count,
        _ => return Err(Error::invalid("number of rows", "2 to 4294967295", rows)),
    };
    let mut finite = |rows: &[u32]| statistic(rows).and_then(finite);
    let mut drawn: Vec<u32> = (0..count).collect();
    let estimate = finite(&drawn)?;
    let mut values = Vec::with_capacity(resamples);
    for resample in 0..resamples {
        let mut rng = seed.nth("bootstrap", resample as u64).rng();
        drawn.fill_with(|| rng.random_range(0..count));
        values.push(finite(&drawn)?);
    }
    percentiles(estimate, values, level)
}

/// Checks that one resample or more is expected beyond each end of the interval.
pub(super) fn check_resamples(level: f64, resamples: usize) -> Result<()> {
    let least = (2.0 / (1.0 - level)).ceil();
    // The factor keeps the rounding of `1 - level` from requiring a 41st resample at 95 %.
    if (resamples as f64) < 2.0 / (1.0 - level) * (1.0 - 1e-9) {
        return Err(Error::invalid("resamples", format!("at least {least} at level {level}"), resamples));
    }
    Ok(())
}

/// The interval between the quantiles of the values that resamples gave.
pub(super) fn percentiles(estimate: f64, mut values: Vec<f64>, level: f64) -> Result<Interval> {
    finite(estimate)?;
    values.iter().try_for_each(|value| finite(*value).map(drop))?;
    values.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Ok(Interval { estimate, low: quantile(&values, tail), high: quantile(&values, 1.0 - tail), level })
}

fn finite(statistic: f64) -> Result<f64> {
    if statistic.is_finite() {
        return Ok(statistic);
    }
    Err(Error::invalid("statistic", "finite", statistic))
}

/// The quantile of sorted values, interpolated linearly between the two nearest (Hyndman and Fan 1996, type
/// 7, which is numpy's default).
pub(crate) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = p * (sorted.len() - 1) as f64;
    let below = place as usize;
    let (a, b) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
    a + (place - below as f64) * (b - a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (p, expected) in [(0.0, 1.0), (0.1, 1.4), (0.5, 4.0), (0.875, 12.0), (1.0, 16.0)] {
            assert_eq!(quantile(&sorted, p), expected);
        }
    }

    #[test]
    fn bad_inputs_are_errors_that_name_them() {
        let broken = bootstrap_statistic(5, 0.9, 100, 1, |_| Ok(f64::NAN));
        assert_eq!(broken.unwrap_err().to_string(), "statistic must be finite, but is NaN");
        assert!(bootstrap_statistic(1, 0.9, 100, 1, |_| Ok(0.0)).is_err());
        assert!(bootstrap_statistic(5, 0.95, 39, 1, |_| Ok(0.0)).is_err());
        assert!(bootstrap_statistic(5, 0.95, 40, 1, |_| Ok(0.0)).is_ok());
        assert!(bootstrap_statistic(5, 1.0, 40, 1, |_| Ok(0.0)).is_err());
    }

    #[test]
    fn resamples_have_all_rows() {
        let mut calls = 0;
        let check = |rows: &[u32]| {
            assert!(rows.len() == 7 && rows.iter().all(|&row| row < 7));
            calls += 1;
            Ok(0.0)
        };
        bootstrap_statistic(7, 0.5, 20, Seed::from(1), check).unwrap();
        assert_eq!(calls, 21);
    }

    /// The distribution of the bootstrap's mean is known: here (n = 2, values 0 and 1) 0, 1/2 and 1 with
    /// probability 1/4, 1/2 and 1/4.
    #[test]
    fn resampled_means_have_their_known_distribution() {
        let mut counts = [0u32; 3];
        let count = |rows: &[u32]| {
            counts[(rows[0] + rows[1]) as usize] += 1;
            Ok(0.0)
        };
        bootstrap_statistic(2, 0.9, 4000, Seed::from(3), count).unwrap();
        // Four standard deviations; the first call, rows 0 and 1, counts once in the middle.
        for (count, p) in counts.into_iter().zip([0.25, 0.5, 0.25]) {
            let expected = 4000.0 * p;
            assert!((f64::from(count) - expected).abs() < 4.0 * (expected * (1.0 - p)).sqrt() + 1.0);
        }
    }
}
