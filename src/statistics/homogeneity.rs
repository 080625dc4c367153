//! Pearson's chi-squared test of the homogeneity of two samples of classes.
use super::tails::chi_square_tail;
use crate::{statistics::TestResult, Error, Result};

/// Tests whether two samples have the same shares of classes, by Pearson's chi-squared test.
///
/// ```text
/// χ² = Σ_s Σ_c (n_sc − n_s n_c / n)² / (n_s n_c / n),   chi-square with C − 1 degrees of freedom
/// ```
///
/// `a` and `b` hold the number of rows of each class. A class that occurs in neither is left out.
///
/// **Setting**: two independent samples, such as training rows and test rows. There is no continuity
/// correction.
///
/// **Assumes** that the expected numbers `n_s n_c / n` are about 5 or more; with fewer rows the p-value is
/// rough. It is far too large for samples that were stratified by class, whose shares are equal by
/// construction.
///
/// The effect is Cramér's `V = √(χ² / n)`, from 0 to 1. The statistic is `χ²`; it is `None`, with a p-value
/// of 1, where there is one class.
///
/// # Errors
/// When the numbers of classes differ, or a sample has no rows.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::homogeneity_test;
///
/// let test = homogeneity_test(&[30, 20, 50], &[10, 25, 15])?;
/// assert!(test.p_value < 0.001);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Pearson 1900, doi:10.1080/14786440009463897.
pub fn homogeneity_test(a: &[u64], b: &[u64]) -> Result<TestResult> {
    if a.len() != b.len() {
        return Err(Error::invalid("number of classes of the second sample", a.len().to_string(), b.len()));
    }
    let totals = [a, b].map(|sample| sample.iter().map(|n| *n as f64).sum::<f64>());
    if totals.contains(&0.) {
        return Err(Error::invalid("number of rows of a sample", "at least 1", 0));
    }
    let n = totals[0] + totals[1];
    let (mut statistic, mut classes) = (0., 0usize);
    for (in_a, in_b) in a.iter().zip(b) {
        let of_class = *in_a as f64 + *in_b as f64;
        if of_class > 0. {
            classes += 1;
            for (count, total) in [(*in_a, totals[0]), (*in_b, totals[1])] {
                let expected = total * of_class / n;
                statistic += (count as f64 - expected).powi(2) / expected;
            }
        }
    }
    if classes < 2 {
        return Ok(TestResult { effect: 0., statistic: None, p_value: 1. });
    }
    let p_value = chi_square_tail(statistic, (classes - 1) as f64);
    Ok(TestResult { effect: (statistic / n).sqrt(), statistic: Some(statistic), p_value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::close;

    /// `scipy.stats.chi2_contingency(…, correction=False)`; see tests/reference/split_check.py.
    #[test]
    fn agrees_with_scipy() {
        for (a, b, statistic, p) in [
            (&[30, 20, 50][..], &[10, 25, 15][..], 14.326923076923077, 0.0007743693990582862),
            (&[8, 2], &[1, 9], 9.8989898989899, 0.0016536951637003395),
            (&[5, 0, 5], &[7, 0, 3], 0.8333333333333333, 0.3613104285261787),
        ] {
            let test = homogeneity_test(a, b).unwrap();
            close(test.statistic.unwrap(), statistic, 1e-12);
            close(test.p_value, p, 1e-11);
        }
    }

    #[test]
    fn the_effect_is_between_none_and_all() {
        assert_eq!(homogeneity_test(&[6, 2], &[3, 1]).unwrap().effect, 0.);
        close(homogeneity_test(&[6, 0], &[0, 9]).unwrap().effect, 1., 1e-12);
        let one = homogeneity_test(&[6, 0], &[9, 0]).unwrap();
        assert_eq!((one.statistic, one.p_value), (None, 1.));
    }

    #[test]
    fn samples_that_do_not_fit_are_errors() {
        assert!(homogeneity_test(&[1, 2], &[1]).unwrap_err().to_string().contains("must be 2, but is 1"));
        assert!(homogeneity_test(&[0, 0], &[1, 2]).unwrap_err().to_string().contains("at least 1"));
    }
}
