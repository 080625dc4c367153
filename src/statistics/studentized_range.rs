//! The distribution of the range of independent standard normal variables.
use super::tails::normal_cdf;
use std::f64::consts::TAU;

/// The distance of the points of the trapezoidal rule. The integrand is analytic and falls off as a normal
/// density, so the rule has an error far below that of the normal distribution function, 10⁻¹⁰.
const STEP: f64 = 1.0 / 8.0;

/// `P(max − min > range)` for `count` independent standard normal variables: the tail of the studentized range
/// with infinite degrees of freedom.
///
/// ```text
/// k ∫ φ(z) (Φ(z)^(k−1) − (Φ(z) − Φ(z − q))^(k−1)) dz
/// ```
///
/// The variable z is the largest; the difference is computed so that small tails keep their digits.
pub(super) fn range_tail(range: f64, count: usize) -> f64 {
    if range <= 0.0 {
        return 1.0;
    }
    let (k, others) = (count as f64, count as f64 - 1.0);
    let term = |z: f64| {
        let (below, far) = (normal_cdf(z), normal_cdf(z - range));
        // All of the others are below z, and one or more are below z − range.
        let one_far = -(others * (-far / below).ln_1p()).exp_m1();
        (-z * z / 2.0).exp() * below.powf(others) * one_far
    };
    // Beyond these ends the integrand is below 10⁻¹⁸ of its peak, which is at range / 2 or below.
    let (start, end) = (-9.0, range / 2.0 + 9.0);
    let steps = ((end - start) / STEP) as usize;
    let sum: f64 = (0..=steps).map(|i| term(start + i as f64 * STEP)).filter(|t| t.is_finite()).sum();
    (k * sum * STEP / TAU.sqrt()).clamp(0.0, 1.0)
}

/// The range that `count` independent standard normal variables exceed with probability `tail`.
///
/// It is the zero of the difference of logarithms, which is nearly a parabola, by regula falsi in the Illinois
/// form: the value at an end that stays is halved.
pub(super) fn range_quantile(tail: f64, count: usize) -> f64 {
    let excess = |range: f64| (range_tail(range, count).max(f64::MIN_POSITIVE) / tail).ln();
    let (mut low, mut at_low) = (0.0, -tail.ln());
    let (mut high, mut at_high) = (4.0, excess(4.0));
    while at_high > 0.0 && high < 1e3 {
        (low, at_low) = (high, at_high);
        high *= 1.5;
        at_high = excess(high);
    }
    let mut kept_low = None;
    for _ in 0..100 {
        let middle = (low * at_high - high * at_low) / (at_high - at_low);
        let at_middle = excess(middle);
        if at_middle.abs() < 1e-13 || high - low < 1e-13 * high {
            return middle;
        }
        if at_middle > 0.0 {
            (low, at_low) = (middle, at_middle);
            if kept_low == Some(false) {
                at_high /= 2.0;
            }
            kept_low = Some(false);
        } else {
            (high, at_high) = (middle, at_middle);
            if kept_low == Some(true) {
                at_low /= 2.0;
            }
            kept_low = Some(true);
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::close;

    /// The same integral by adaptive quadrature in 40 digits (mpmath): `tests/reference/statistics.py`.
    #[test]
    fn tails_agree_with_adaptive_quadrature() {
        for (count, tails) in [
            (2, [0.7236736098317631, 0.033894853524689274, 0.0004069520174449589, 1.537459794428035e-12]),
            (3, [0.933421945135287, 0.085542571654958, 0.0011839912309870209, 4.612226530358799e-12]),
            (10, [0.9999985866194843, 0.5121840739708066, 0.014857437887783707, 6.916748848248415e-11]),
            (50, [1.0, 0.9968571890576053, 0.21014537871762118, 1.8805222519551327e-09]),
            (100, [1.0, 0.9999966401783993, 0.47854770644698746, 7.5876256015377e-09]),
            (1000, [1.0, 1.0, 0.9999819133929037, 7.506635079250979e-07]),
        ] {
            for (range, tail) in [0.5, 3.0, 5.0, 10.0].into_iter().zip(tails) {
                close(range_tail(range, count), tail, 1e-9);
            }
        }
        assert_eq!(range_tail(0.0, 5), 1.0);
        assert_eq!(range_tail(1e3, 5), 0.0);
    }

    #[test]
    fn quantiles_agree_with_adaptive_quadrature() {
        for (count, quantiles) in [
            (2, [2.326174307353348, 2.771807648699356, 3.6427727354368993]),
            (5, [3.4782805507030674, 3.857655510378623, 4.602821042201575]),
            (10, [4.129346398236873, 4.474124221725905, 5.156634960089622]),
            (50, [5.356686875267443, 5.646026026380533, 6.228392608582209]),
            (100, [5.812496242333556, 6.0846375371731725, 6.635541907441485]),
        ] {
            for (tail, expected) in [0.1, 0.05, 0.01].into_iter().zip(quantiles) {
                close(range_quantile(tail, count), expected, 1e-9);
            }
        }
    }
}
