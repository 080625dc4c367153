//! Tests for five repetitions of two-fold cross-validation.
use super::{
    inputs::check_finite,
    tails::{f_tail, t_two_sided},
};
use crate::{statistics::TestResult, Result};

/// Tests whether two predictors have equal scores, by the paired t test of five repetitions of two-fold
/// cross-validation.
///
/// ```text
/// t = d_11 / sqrt(1/5 Σ_i s_i²),  s_i² = (d_i1 − d_i2)² / 2,  5 degrees of freedom
/// ```
///
/// `d_ij` is the difference on fold `j` of repetition `i`. Each repetition splits all rows at random into two
/// halves; both predictors train on one half and are tested on the other, and then the other way round.
///
/// **Setting**: one data set of which no test rows are set apart, and predictors that are cheap enough to
/// train ten times.
///
/// **Assumes** that the differences are close to normal, and that the two of a repetition are independent: the
/// halves share no rows. It answers for training on half of the rows. Its numerator is the one difference
/// `d_11`, so the result depends on the order of the folds; [`five_by_two_f_test`] does not, and finds more.
///
/// The effect is the mean of the ten differences, and the statistic is `t`.
///
/// # Errors
/// When a difference is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::five_by_two_t_test;
///
/// let differences = [[0.02, 0.03], [0.01, 0.02], [0.03, 0.02], [0.02, 0.02], [0.01, 0.03]];
/// assert!(five_by_two_t_test(&differences)?.p_value < 0.1);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Dietterich 1998, doi:10.1162/089976698300017197.
pub fn five_by_two_t_test(differences: &[[f64; 2]; 5]) -> Result<TestResult> {
    let (mean, variance) = mean_and_variance(differences)?;
    let [[first, _], ..] = *differences;
    let test = TestResult::of_ratio(first, (variance / 5.0).sqrt(), |t| t_two_sided(t, 5.0));
    Ok(TestResult { effect: mean, ..test })
}

/// Tests whether two predictors have equal scores, by the combined F test of five repetitions of two-fold
/// cross-validation.
///
/// ```text
/// F = Σ_i Σ_j d_ij² / (2 Σ_i s_i²),  s_i² = (d_i1 − d_i2)² / 2,  10 and 5 degrees of freedom
/// ```
///
/// The setting and the assumptions are those of [`five_by_two_t_test`]. Prefer this test: it uses all ten
/// differences, does not depend on the order of the folds, and finds differences more often. Without a
/// difference it rejects less often than the level says.
///
/// The effect is the mean of the ten differences, and the statistic is `F`.
///
/// # Errors
/// When a difference is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::five_by_two_f_test;
///
/// let differences = [[0.02, 0.03], [0.01, 0.02], [0.03, 0.02], [0.02, 0.02], [0.01, 0.03]];
/// let test = five_by_two_f_test(&differences)?;
/// assert!((test.effect - 0.021).abs() < 1e-15 && test.p_value < 0.05);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Alpaydın 1999, doi:10.1162/089976699300016007.
pub fn five_by_two_f_test(differences: &[[f64; 2]; 5]) -> Result<TestResult> {
    let (mean, variance) = mean_and_variance(differences)?;
    let squares: f64 = differences.as_flattened().iter().map(|d| d * d).sum();
    let test = TestResult::of_ratio(squares, 2.0 * variance, |f| f_tail(f, (10.0, 5.0)));
    Ok(TestResult { effect: mean, ..test })
}

/// The mean of the ten differences, and `Σ s_i²`.
fn mean_and_variance(differences: &[[f64; 2]; 5]) -> Result<(f64, f64)> {
    check_finite("difference", differences.as_flattened())?;
    let mean = differences.as_flattened().iter().sum::<f64>() / 10.0;
    Ok((mean, differences.iter().map(|[a, b]| (a - b) * (a - b) / 2.0).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::{close, draws};

    /// mlxtend's `paired_ttest_5x2cv` and `combined_ftest_5x2cv`: `tests/reference/statistics.py`.
    #[test]
    fn tests_agree_with_mlxtend() {
        let mut draw = draws(5);
        let differences: [[f64; 2]; 5] =
            std::array::from_fn(|_| std::array::from_fn(|_| draw() * 0.1 - 0.02));
        let t = five_by_two_t_test(&differences).unwrap();
        close(t.statistic.unwrap(), 0.09849924847589032, 1e-10);
        close(t.p_value, 0.9253628239806986, 1e-10);
        let f = five_by_two_f_test(&differences).unwrap();
        close(f.statistic.unwrap(), 1.0509510090095093, 1e-10);
        close(f.p_value, 0.5102742799800474, 1e-10);
        let mean = differences.as_flattened().iter().sum::<f64>() / 10.0;
        assert_eq!((t.effect, f.effect), (mean, mean));
    }

    #[test]
    fn folds_that_do_not_vary_are_certain() {
        for (difference, p_value) in [(0.25, 0.0), (0.0, 1.0)] {
            let expected = TestResult { effect: difference, statistic: None, p_value };
            assert_eq!(five_by_two_t_test(&[[difference; 2]; 5]).unwrap(), expected);
            assert_eq!(five_by_two_f_test(&[[difference; 2]; 5]).unwrap(), expected);
        }
        let mut bad = [[0.0; 2]; 5];
        bad[1][1] = f64::INFINITY;
        let error = five_by_two_t_test(&bad).unwrap_err();
        assert_eq!(error.to_string(), "difference 3 must be finite, but is inf");
    }
}
