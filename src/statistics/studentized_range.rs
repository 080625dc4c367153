//! The distribution of the range of independent standard normal variables.
use super::tails::normal_cdf;
use std::f64::consts::TAU;

/// The distance of the points of the trapezoidal rule. The integrand is analytic and falls off as a normal
/// density, so the rule has all digits of f64 at this distance.
const STEP: f64 = 1.0 / 16.0;

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
    // Beyond, the density of the largest is below 10⁻⁴⁰ of itself.
    let end = range / 2.0 + 14.0;
    let steps = ((end + 14.0) / STEP) as usize;
    let sum: f64 = (0..=steps).map(|i| term(-14.0 + i as f64 * STEP)).filter(|t| t.is_finite()).sum();
    (k * sum * STEP / TAU.sqrt()).clamp(0.0, 1.0)
}

/// The range that `count` independent standard normal variables exceed with probability `tail`, by bisection.
pub(super) fn range_quantile(tail: f64, count: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while range_tail(high, count) > tail && high < 1e3 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if range_tail(middle, count) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}
