//! How well a spread and a score are known, and how many runs or rows would tell them.
use crate::{statistics::Interval, Error, Result};
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// The level of all intervals of findings.
pub(crate) const LEVEL: f64 = 0.95;
/// The quantile of the standard normal distribution for an interval of the [`LEVEL`].
const NORMAL: f64 = 1.959963984540054;
/// How well the standard deviation from run to run should be known: ± 25 %.
pub(crate) const SPREAD_WITHIN: f64 = 0.25;

/// The interval of the standard deviation of normal values, from that of `n` of them.
///
/// ```text
/// sd √((n − 1) / χ²_(1 − α/2)),  sd √((n − 1) / χ²_(α/2))   with n − 1 degrees of freedom
/// ```
pub(crate) fn sd_interval(sd: f64, n: usize, level: f64) -> Result<Interval> {
    if n < 2 {
        return Err(Error::invalid("the number of values of a standard deviation", "at least 2", n));
    }
    let freedom = (n - 1) as f64;
    let distribution = ChiSquared::new(freedom)
        .map_err(|e| Error::invalid("degrees of freedom of a standard deviation", "positive", e))?;
    let end = |share: f64| sd * (freedom / distribution.inverse_cdf(share)).sqrt();
    Ok(Interval { estimate: sd, low: end(0.5 + 0.5 * level), high: end(0.5 - 0.5 * level), level })
}

/// The smallest number of runs whose 95 % interval of the standard deviation lies within `± within` of it.
pub(crate) fn runs_for_sd(within: f64) -> Result<usize> {
    crate::check::positive("the share by which a standard deviation may be wrong", within)?;
    let mut runs = 2;
    loop {
        let interval = sd_interval(1., runs, LEVEL)?;
        if interval.high <= 1. + within && interval.low >= 1. - within {
            return Ok(runs);
        }
        runs += 1;
    }
}

/// Half of the width of the 95 % interval of an accuracy on some rows: `1.96 √(p (1 − p) / rows)`.
pub(crate) fn accuracy_half_width(accuracy: f64, rows: usize) -> f64 {
    NORMAL * (accuracy * (1. - accuracy) / rows as f64).sqrt()
}

/// The number of rows at which the 95 % interval of an accuracy is `± half`: `p (1 − p) (1.96 / half)²`.
pub(crate) fn rows_for_accuracy(accuracy: f64, half: f64) -> f64 {
    (accuracy * (1. - accuracy) * (NORMAL / half).powi(2)).ceil()
}

/// Half of the width of the 95 % interval of a root mean squared error of normal errors on some rows, as a
/// share of it: `1.96 / √(2 rows)`.
pub(crate) fn rmse_half_width(rows: usize) -> f64 {
    NORMAL / (2. * rows as f64).sqrt()
}

/// The number of rows at which the 95 % interval of a root mean squared error is `± half` of it: `½ (1.96 /
/// half)²`.
pub(crate) fn rows_for_rmse(half: f64) -> f64 {
    (0.5 * (NORMAL / half).powi(2)).ceil()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: [(usize, f64, f64); 4] = [
        (2, 0.446149184920709, 31.910159349644),
        (3, 0.520658266698817, 6.28473469648538),
        (5, 0.599133139134141, 2.87355563407822),
        (50, 0.83533401031017, 1.2461333601018),
    ];

    /// `numpy.sqrt((n - 1) / scipy.stats.chi2.ppf([.975, .025], n - 1))`, see `tests/reference/diagnosis.py`.
    #[test]
    fn intervals_of_standard_deviations_agree_with_scipy() {
        for (n, low, high) in REFERENCE {
            let interval = sd_interval(2., n, 0.95).unwrap();
            for (found, expected) in [(interval.low, 2. * low), (interval.high, 2. * high)] {
                assert!((found / expected - 1.).abs() < 1e-9, "{n}: {found} {expected}");
            }
        }
        assert!(sd_interval(1., 1, 0.95).is_err());
    }

    #[test]
    fn numbers_of_runs_agree_with_scipy() {
        for (within, runs) in [(0.25, 49), (0.5, 18), (1., 9)] {
            assert_eq!(runs_for_sd(within).unwrap(), runs);
        }
        assert!(runs_for_sd(0.).is_err());
    }

    /// The closed forms: 1.96² · 0.9 · 0.1 / 0.02² = 864.3 and 1.96² / (2 · 0.05²) = 768.3.
    #[test]
    fn numbers_of_rows_are_those_at_which_the_interval_is_narrow_enough() {
        assert_eq!((rows_for_accuracy(0.9, 0.02), rows_for_rmse(0.05)), (865., 769.));
        assert!(accuracy_half_width(0.9, 865) <= 0.02 && accuracy_half_width(0.9, 864) > 0.02);
        assert!(rmse_half_width(769) <= 0.05 && rmse_half_width(768) > 0.05);
    }
}
