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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        corrected_t_interval, corrected_t_test,
        testing::{close, count, normal, within_binomial_error},
    };
    use rand_chacha::ChaCha8Rng;

    const GAINS: [f64; 10] = [0.012, -0.004, 0.021, 0.008, 0.015, 0.003, -0.001, 0.019, 0.007, 0.011];

    /// `scipy.stats.t.interval(level, 9, loc=mean, scale=sem)` of scipy 1.17.1; the last with the scale of
    /// Nadeau and Bengio. See tests/reference/metrics.py.
    #[test]
    fn intervals_agree_with_scipy() {
        for (level, low, high) in [
            (0.5, 0.007281199654454965, 0.010918800345545036),
            (0.9, 0.004355498278015607, 0.013844501721984391),
            (0.95, 0.0032450369133868694, 0.014954963086613132),
            (0.999, -0.003274059225984895, 0.021474059225985102),
        ] {
            let interval = t_interval(&GAINS, level).unwrap();
            close(interval.low, low, 1e-10);
            close(interval.high, high, 1e-10);
            close(interval.estimate, 0.0091, 1e-14);
            assert_eq!(interval.level, level);
        }
        let corrected = corrected_t_interval(&GAINS, 100, 900, 0.95).unwrap();
        close(corrected.low, 0.0005929358624307945, 1e-10);
        close(corrected.high, 0.017607064137569205, 1e-10);
    }

    /// `scipy.stats.ttest_1samp`, and its t distribution with the scale of Nadeau and Bengio.
    #[test]
    fn tests_agree_with_scipy() {
        for (test, t, p) in [
            (paired_t_test(&GAINS).unwrap(), 3.515928260680402, 0.006557249556517212),
            (corrected_t_test(&GAINS, 100, 900).unwrap(), 2.4198277864807265, 0.03862153735580478),
        ] {
            close(test.effect, 0.0091, 1e-14);
            close(test.statistic.unwrap(), t, 1e-13);
            close(test.p_value, p, 1e-12);
        }
    }

    /// An interval contains 0 where the test's p-value is above its complement.
    #[test]
    fn the_test_is_at_the_edge_of_its_interval() {
        let p = corrected_t_test(&GAINS, 1, 4).unwrap().p_value;
        let interval = corrected_t_interval(&GAINS, 1, 4, 1.0 - p).unwrap();
        assert!(interval.low.abs() < 1e-12, "{interval:?}");
    }

    #[test]
    fn equal_differences_are_certain() {
        for interval in
            [t_interval(&[0.1; 7], 0.95).unwrap(), corrected_t_interval(&[0.1; 7], 10, 60, 0.95).unwrap()]
        {
            assert_eq!((interval.low, interval.estimate, interval.high), (0.1, 0.1, 0.1));
        }
        for (difference, p_value) in [(0.1, 0.0), (-0.1, 0.0), (0.0, 1.0)] {
            let test = paired_t_test(&[difference; 7]).unwrap();
            assert_eq!(test, TestResult { effect: difference, statistic: None, p_value });
            let json = serde_json::to_string(&test).unwrap();
            assert_eq!(serde_json::from_str::<TestResult>(&json).unwrap(), test);
        }
    }

    #[test]
    fn bad_inputs_are_errors_that_name_them() {
        fn message<T: std::fmt::Debug>(r: Result<T>) -> String {
            r.unwrap_err().to_string()
        }
        for level in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
            let expected = format!("level must be above 0 and below 1, but is {level}");
            assert_eq!(message(t_interval(&GAINS, level)), expected);
            assert_eq!(message(corrected_t_interval(&GAINS, 1, 9, level)), expected);
        }
        for few in [&[][..], &[1.0]] {
            let expected = format!("number of differences must be at least 2, but is {}", few.len());
            assert_eq!(message(t_interval(few, 0.9)), expected);
            assert_eq!(message(paired_t_test(few)), expected);
        }
        let nan = [1.0, f64::NAN];
        assert_eq!(message(t_interval(&nan, 0.9)), "difference 1 must be finite, but is NaN");
        assert_eq!(message(corrected_t_test(&nan, 1, 9)), "difference 1 must be finite, but is NaN");
        for (test, train, what) in [(0, 9, "test_rows"), (1, 0, "train_rows")] {
            let expected = format!("{what} must be at least 1, but is 0");
            assert_eq!(message(corrected_t_interval(&GAINS, test, train, 0.9)), expected);
            assert_eq!(message(corrected_t_test(&GAINS, test, train)), expected);
        }
        // An extreme level gives an interval or an error.
        for level in [f64::MIN_POSITIVE, 1e-300, 1.0 - f64::EPSILON / 2.0] {
            for d in [&GAINS[..], &GAINS[..2], &GAINS[..3], &GAINS.repeat(60)] {
                assert!(t_interval(d, level).map_or(true, |i| i.low <= i.estimate && i.estimate <= i.high));
            }
        }
    }

    #[test]
    fn t_intervals_of_normal_differences_have_their_level() {
        for n in [2, 5, 20] {
            let draw = |rng: &mut ChaCha8Rng| (0..n).map(|_| 3.0 + 2.0 * normal(rng)).collect::<Vec<_>>();
            let covered = count(4000, |rng| t_interval(&draw(rng), 0.95).unwrap().contains(3.0));
            within_binomial_error(covered, 4000.0, 0.95);
        }
    }

    /// With the correlation that Nadeau and Bengio assume, test / (test + train), their interval is exact for
    /// normal differences, and the naive interval is far too narrow.
    #[test]
    fn corrected_intervals_of_correlated_differences_have_their_level() {
        let (n, test, train) = (10, 100, 900);
        let shared = (test as f64 / (test + train) as f64).sqrt();
        let own = (1.0 - shared * shared).sqrt();
        let draw = |rng: &mut ChaCha8Rng| {
            let common = shared * normal(rng);
            (0..n).map(|_| 3.0 + common + own * normal(rng)).collect::<Vec<_>>()
        };
        let corrected =
            count(4000, |rng| corrected_t_interval(&draw(rng), test, train, 0.95).unwrap().contains(3.0));
        within_binomial_error(corrected, 4000.0, 0.95);
        let naive = count(4000, |rng| t_interval(&draw(rng), 0.95).unwrap().contains(3.0));
        // The naive error is too small by √(.19 / .09): scipy's 2 t.cdf(t.ppf(.975, 9) / 1.453, 9) − 1.
        within_binomial_error(naive, 4000.0, 0.8460855099);
    }
}
