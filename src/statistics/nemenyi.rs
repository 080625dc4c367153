//! Nemenyi's test of all pairs of methods over several data sets.
use super::{
    interval::check_level,
    studentized_range::{range_quantile, range_tail},
};
use crate::{Error, Result};

/// Computes Nemenyi's critical difference: two methods differ when their average ranks differ by at least so
/// much.
///
/// ```text
/// CD = q sqrt(k (k + 1) / (12 N)),  P(range of k standard normal variables > q) = alpha
/// ```
///
/// **Setting**: all pairs of `k` methods, from their average ranks over `N` data sets, after
/// [`friedman_test`](crate::statistics::friedman_test). The probability of one false difference or more among
/// all pairs is about `alpha`.
///
/// **Assumes** that the data sets are independent, and that the average ranks are close to normal, which holds
/// for about ten data sets or more. It depends on how many methods are compared. For comparisons with one
/// control, Holm's procedure finds more ([`RankTest::control`](crate::statistics::RankTest::control)).
///
/// The quantile is integrated numerically to at least nine digits, for any number of methods; papers divide it
/// by `√2`.
///
/// # Errors
/// When there are fewer than 2 methods, no data sets, or `alpha` is not between 0 and 1.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::nemenyi_critical_difference;
///
/// // The example of Demšar 2006: four methods, 14 data sets.
/// let difference = nemenyi_critical_difference(4, 14, 0.05)?;
/// assert!((difference - 1.25).abs() < 0.01);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Nemenyi 1963, "Distribution-free multiple comparisons"; Demšar 2006,
/// <https://www.jmlr.org/papers/v7/demsar06a.html>.
pub fn nemenyi_critical_difference(methods: usize, datasets: usize, alpha: f64) -> Result<f64> {
    check_level(alpha)?;
    Ok(range_quantile(alpha, methods) * unit(methods, datasets)?)
}

/// Computes Nemenyi's p-value of a difference of average ranks, adjusted for all pairs of methods.
///
/// ```text
/// p = P(range of k standard normal variables > |difference| / sqrt(k (k + 1) / (12 N)))
/// ```
///
/// The setting and the assumptions are those of [`nemenyi_critical_difference`].
///
/// # Errors
/// When there are fewer than 2 methods, no data sets, or the difference is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{nemenyi_critical_difference, nemenyi_p_value};
///
/// let critical = nemenyi_critical_difference(5, 30, 0.1)?;
/// assert!((nemenyi_p_value(critical, 5, 30)? - 0.1).abs() < 1e-10);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn nemenyi_p_value(rank_difference: f64, methods: usize, datasets: usize) -> Result<f64> {
    crate::check::require(rank_difference.is_finite(), "rank difference", "finite", rank_difference)?;
    Ok(range_tail(rank_difference.abs() / unit(methods, datasets)?, methods))
}

/// The standard error of an average rank, with the covariance of two ranks taken into account.
fn unit(methods: usize, datasets: usize) -> Result<f64> {
    if methods < 2 {
        return Err(Error::invalid("number of methods", "at least 2", methods));
    }
    if datasets == 0 {
        return Err(Error::invalid("number of data sets", "at least 1", datasets));
    }
    let (k, n) = (methods as f64, datasets as f64);
    Ok((k * (k + 1.0) / (12.0 * n)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::close;

    /// Table 5 (a) of Demšar 2006: quantiles divided by `√2`, for two to ten methods.
    #[test]
    fn critical_values_are_those_of_demsar() {
        let table = [
            (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
            (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
        ];
        for (alpha, values) in table {
            for (methods, expected) in (2..).zip(values) {
                let error = ((methods * (methods + 1)) as f64 / (6.0 * 20.0)).sqrt();
                let value = nemenyi_critical_difference(methods, 20, alpha).unwrap() / error;
                // The paper's table is rounded, and two of its values are off by one in the last place.
                assert!((value - expected).abs() < 1.6e-3, "{methods} {alpha} {value}");
            }
        }
    }

    #[test]
    fn a_critical_difference_has_its_level_as_p_value() {
        for (methods, datasets, alpha) in [(2, 2, 0.05), (5, 30, 0.1), (60, 7, 0.01)] {
            let critical = nemenyi_critical_difference(methods, datasets, alpha).unwrap();
            close(nemenyi_p_value(-critical, methods, datasets).unwrap(), alpha, 1e-10);
        }
        assert_eq!(nemenyi_p_value(0.0, 4, 10).unwrap(), 1.0);
        assert!(nemenyi_p_value(f64::NAN, 4, 10).is_err() && nemenyi_p_value(1.0, 1, 10).is_err());
        assert!(nemenyi_critical_difference(4, 0, 0.05).is_err());
        assert!(nemenyi_critical_difference(4, 9, 1.0).is_err());
    }
}
