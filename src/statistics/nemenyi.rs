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
/// The quantile is integrated numerically to at least ten digits, for any number of methods; papers divide it
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
