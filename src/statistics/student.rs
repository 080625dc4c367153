//! Student's t interval and the paired t test.
use super::{
    inputs::check_differences,
    interval::check_level,
    tails::{t_quantile, t_two_sided},
};
use crate::{
    statistics::{Interval, Summary, TestResult},
    Result,
};

/// Computes Student's t interval for the mean of independent differences.
///
/// ```text
/// mean ± t sd / sqrt(n)
/// ```
///
/// `t` is the quantile of Student's distribution with `n − 1` degrees of freedom. There is one difference for
/// each repetition, in which both predictors have the same data.
///
/// Use it for a few independent repetitions, such as seeds. It is exact for normal differences, and close for
/// others unless they are few and skewed. For folds and repeated splits of one data set it is far too narrow;
/// use [`corrected_t_interval`](crate::statistics::corrected_t_interval). Equal differences give an interval
/// of width 0.
///
/// # Errors
/// When there are fewer than 2 differences, one is NaN or infinite, or the level is not between 0 and 1.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::t_interval;
///
/// let gain = t_interval(&[0.02, 0.03, 0.01, 0.02], 0.95)?;
/// assert!((gain.estimate - 0.02).abs() < 1e-15);
/// assert!(!gain.contains(0.0));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Student 1908, doi:10.1093/biomet/6.1.1.
pub fn t_interval(differences: &[f64], level: f64) -> Result<Interval> {
    interval(differences, level, 0.0)
}

/// Tests whether the mean of independent differences is 0, by Student's paired t test.
///
/// ```text
/// t = mean / (sd / sqrt(n)),  p = P(|T| ≥ |t|) with n − 1 degrees of freedom
/// ```
///
/// **Setting**: independent repetitions, such as seeds on a fixed split, or many independent test rows. There
/// is one difference for each repetition, in which both predictors have the same data.
///
/// **Assumes** that the differences are independent of each other, and that their mean is close to normally
/// distributed: the differences are normal, or many. Folds and repeated splits of one data set are not
/// independent; use [`corrected_t_test`](crate::statistics::corrected_t_test). For a few skewed differences
/// use [`sign_flip_test`](crate::statistics::sign_flip_test).
///
/// The effect is the mean difference, and the statistic is `t`. Cost: `O(n)`.
///
/// # Errors
/// When there are fewer than 2 differences, or one is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::paired_t_test;
///
/// let gains = [0.012, -0.004, 0.021, 0.008, 0.015, 0.003, -0.001, 0.019, 0.007, 0.011];
/// let test = paired_t_test(&gains)?;
/// assert!((test.p_value - 0.0066).abs() < 1e-4);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Student 1908, doi:10.1093/biomet/6.1.1.
pub fn paired_t_test(differences: &[f64]) -> Result<TestResult> {
    test(differences, 0.0)
}

/// The interval `mean ± t sd sqrt(1/n + extra)`.
pub(super) fn interval(differences: &[f64], level: f64, extra: f64) -> Result<Interval> {
    check_level(level)?;
    let (mean, error, freedom) = mean_and_error(differences, extra)?;
    let half = t_quantile(freedom, level)? * error;
    Ok(Interval { estimate: mean, low: mean - half, high: mean + half, level })
}

/// The test of `mean / (sd sqrt(1/n + extra))`.
pub(super) fn test(differences: &[f64], extra: f64) -> Result<TestResult> {
    let (mean, error, freedom) = mean_and_error(differences, extra)?;
    Ok(TestResult::of_ratio(mean, error, |t| t_two_sided(t, freedom)))
}

/// The mean, its standard error `sd sqrt(1/n + extra)`, and the degrees of freedom.
fn mean_and_error(differences: &[f64], extra: f64) -> Result<(f64, f64, f64)> {
    check_differences(differences)?;
    let Summary { n, mean, sd } = Summary::of(differences)?;
    let error = sd.unwrap_or_default() * (1.0 / n as f64 + extra).sqrt();
    Ok((mean, error, (n - 1) as f64))
}
