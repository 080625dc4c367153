//! The Kolmogorov–Smirnov test of two samples.
use super::inputs::check_finite;
use crate::{statistics::TestResult, Error, Result};

/// The largest product of the numbers of values for which the p-value is exact.
const EXACT: usize = 100_000;

/// Tests whether two samples come from the same continuous distribution, by the two-sample Kolmogorov–Smirnov
/// test.
///
/// ```text
/// D = max over x of |F_a(x) − F_b(x)|,   F(x) = share of the values that are at most x
/// ```
///
/// **Setting**: two independent samples, such as one feature of the training rows and of the test rows. It
/// sees differences of any kind, in the mean, in the spread or in the shape, and needs more values than a
/// test for one kind.
///
/// The p-value is exact, by counting paths, where the product of the numbers of values is at most 100 000,
/// and otherwise that of Kolmogorov's limit, which is accurate to a few percent there. With ties both are too
/// large, so differences of features with few distinct values are found less often.
///
/// The effect and the statistic are `D`. Cost: `O(n log n)`, and `O(n m)` for the exact p-value.
///
/// # Errors
/// When a sample is empty, or a value is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::kolmogorov_smirnov_test;
///
/// let (a, b): (Vec<f64>, Vec<f64>) = ((0..30).map(f64::from).collect(), (10..40).map(f64::from).collect());
/// let test = kolmogorov_smirnov_test(&a, &b)?;
/// assert!((test.effect - 1. / 3.).abs() < 1e-12 && test.p_value > 0.05);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Smirnov 1939; Hodges 1958, doi:10.1007/BF02589501, for the exact p-value.
pub fn kolmogorov_smirnov_test(a: &[f64], b: &[f64]) -> Result<TestResult> {
    for (name, sample) in [("first", a), ("second", b)] {
        if sample.is_empty() {
            return Err(Error::invalid(format!("number of values of the {name} sample"), "at least 1", 0));
        }
        check_finite(&format!("value of the {name} sample, number"), sample)?;
    }
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    // The exact p-value takes a row of the longer sample's length.
    if a.len() > b.len() {
        std::mem::swap(&mut a, &mut b);
    }
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let d = largest_distance(&a, &b);
    let (m, n) = (a.len() as f64, b.len() as f64);
    let p_value = match a.len().saturating_mul(b.len()) {
        0..=EXACT => exact(d, a.len(), b.len()),
        _ => limit(d * (m * n / (m + n)).sqrt()),
    };
    Ok(TestResult { effect: d, statistic: Some(d), p_value })
}

/// The largest distance of the distribution functions of two sorted samples.
fn largest_distance(a: &[f64], b: &[f64]) -> f64 {
    let (mut i, mut j, mut largest) = (0, 0, 0f64);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let at = x.min(*y);
        i += a.iter().skip(i).take_while(|x| **x <= at).count();
        j += b.iter().skip(j).take_while(|y| **y <= at).count();
        largest = largest.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    largest
}

/// `P(D ≥ d)` for samples of `m ≤ n` distinct values: one minus the share of lattice paths from (0, 0) to (m,
/// n) that stay closer than `d` to the diagonal.
fn exact(d: f64, m: usize, n: usize) -> f64 {
    let (rows, columns) = (m as f64, n as f64);
    // Between two possible values of D, so that rounding does not matter.
    let bound = (0.5 + (d * rows * columns - 1e-7).floor()) / (rows * columns);
    let is_inside = |i: usize, j: usize| (i as f64 / rows - j as f64 / columns).abs() <= bound;
    let mut shares: Vec<f64> = (0..=n).map(|j| f64::from(is_inside(0, j))).collect();
    for i in 1..=m {
        // The share of paths among those of one row less.
        let w = i as f64 / (i + n) as f64;
        let mut before = 0.;
        for (j, share) in shares.iter_mut().enumerate() {
            before = if is_inside(i, j) { w * *share + before } else { 0. };
            *share = before;
        }
    }
    (1. - shares.last().copied().unwrap_or(1.)).clamp(0., 1.)
}

/// `P(K ≥ λ)` for Kolmogorov's distribution: `2 Σ_k (−1)^(k−1) exp(−2 k² λ²)`.
fn limit(lambda: f64) -> f64 {
    // Below it the probability is 1 to the last digit, and the series converges slowly.
    if lambda < 0.2 {
        return 1.;
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2. } else { -2. };
        sign * (-2. * f64::from(k * k) * lambda * lambda).exp()
    };
    (1..=60).map(term).sum::<f64>().clamp(0., 1.)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::{close, count, draws, normal, within_binomial_error};

    fn sample(seed: u64, n: usize, power: f64) -> Vec<f64> {
        let mut draw = draws(seed);
        (0..n).map(|_| draw().powf(power)).collect()
    }

    fn tenths(sample: Vec<f64>) -> Vec<f64> {
        sample.into_iter().map(|x| (10. * x).floor()).collect()
    }

    /// `scipy.stats.ks_2samp`; see tests/reference/split_check.py.
    #[test]
    fn exact_p_values_agree_with_scipy() {
        for (a, b, d, p) in [
            (sample(1, 20, 1.), sample(2, 15, 2.), 0.43333333333333335, 0.061088545034759786),
            (sample(3, 12, 1.), sample(4, 12, 1.), 0.25, 0.8689816711757754),
            (tenths(sample(5, 30, 1.)), tenths(sample(6, 25, 1.5)), 0.06, 0.9999999174282994),
            (sample(7, 300, 1.), sample(8, 200, 1.2), 0.12, 0.05956426587666751),
        ] {
            for (a, b) in [(&a, &b), (&b, &a)] {
                let test = kolmogorov_smirnov_test(a, b).unwrap();
                close(test.effect, d, 1e-12);
                close(test.p_value, p, 1e-9);
            }
        }
    }

    #[test]
    fn large_samples_have_kolmogorovs_limit() {
        let test = kolmogorov_smirnov_test(&sample(9, 1000, 1.), &sample(10, 700, 1.1)).unwrap();
        close(test.effect, 0.08814285714285715, 1e-12);
        close(test.p_value, 0.003329319741018904, 1e-9);
        // The exact p-value of scipy is 7 % smaller.
        close(exact(test.effect, 700, 1000), 0.0031038877944707093, 1e-9);
    }

    #[test]
    fn equal_samples_and_separate_ones() {
        let same = kolmogorov_smirnov_test(&[1., 2., 2.], &[2., 1., 2.]).unwrap();
        assert_eq!((same.effect, same.p_value), (0., 1.));
        // One order in 20 has all of the first below all of the second, and one the reverse.
        let apart = kolmogorov_smirnov_test(&[1., 2., 3.], &[4., 5., 6.]).unwrap();
        assert_eq!(apart.effect, 1.);
        close(apart.p_value, 0.1, 1e-12);
    }

    #[test]
    fn errors_of_the_first_kind_are_as_often_as_promised() {
        let rejected = count(2000, |rng| {
            let mut draw = |n: usize| (0..n).map(|_| normal(rng)).collect::<Vec<_>>();
            kolmogorov_smirnov_test(&draw(500), &draw(400)).unwrap().p_value <= 0.05
        });
        within_binomial_error(rejected, 2000., 0.05);
    }

    #[test]
    fn bad_samples_are_errors() {
        let e = kolmogorov_smirnov_test(&[], &[1.]).unwrap_err().to_string();
        assert_eq!(e, "number of values of the first sample must be at least 1, but is 0");
        assert!(kolmogorov_smirnov_test(&[1.], &[1., f64::NAN])
            .unwrap_err()
            .to_string()
            .contains("second sample"));
    }
}
