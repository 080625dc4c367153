//! The power transform of Yeo and Johnson.
use crate::{
    data::scale::{standardize, FittedColumn, Scaling},
    registry::Entry,
    Result,
};

pub(super) const ENTRY: Entry<Scaling> =
    Entry::new("power", "Scaling::Power", "Yeo and Johnson's power, then standardized", |_| {
        Ok(Scaling::Power)
    })
    .with_source("Yeo and Johnson 2000, doi:10.1093/biomet/87.4.954");

/// How exact `λ` is.
const TOLERANCE: f64 = 1.48e-8;
/// The largest number of evaluations of the likelihood.
const MAX_EVALUATIONS: usize = 500;

/// The `λ` that makes the transformed column most likely under a normal distribution, with the mean and the standard
/// deviation of the transformed column. A column that is constant up to rounding has `λ = 1`, which changes nothing.
pub(super) fn fit(column: Vec<f64>) -> Result<FittedColumn> {
    let low = column.iter().copied().fold(f64::INFINITY, f64::min);
    let high = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lambda = match standardize::fit(column.clone())? {
        FittedColumn::Affine { shift: mean, scale: 1. } if high - low <= rounding(mean, column.len()) => 1.,
        _ => most_likely(&column),
    };
    let powers = column.into_iter().map(|x| yeo_johnson(x, lambda)).collect();
    let (shift, scale) = match standardize::fit(powers)? {
        FittedColumn::Affine { shift, scale } => (shift, scale),
        _ => (0., 1.),
    };
    let range = high - low;
    Ok(FittedColumn::Power { lambda, shift, scale, low: low - range, high: high + range })
}

/// The range that rounding alone can give to a constant column of so many rows.
fn rounding(mean: f64, rows: usize) -> f64 {
    2. * rows as f64 * f64::EPSILON * mean.abs()
}

/// ```text
/// ((x + 1)^λ − 1) / λ,  ln(x + 1) for λ = 0                       if x ≥ 0
/// −((1 − x)^(2 − λ) − 1) / (2 − λ),  −ln(1 − x) for λ = 2         if x < 0
/// ```
pub(super) fn yeo_johnson(x: f64, lambda: f64) -> f64 {
    if lambda == 1. {
        return x;
    }
    let power = |log: f64, exponent: f64| match exponent.abs() < f64::EPSILON {
        true => log,
        false => (exponent * log).exp_m1() / exponent,
    };
    match x >= 0. {
        true => power(x.ln_1p(), lambda),
        // NaN comes here too, and stays NaN.
        false => -power((-x).ln_1p(), 2. - lambda),
    }
}

/// The derivative of [`yeo_johnson`]: `(x + 1)^(λ − 1)`, or `(1 − x)^(1 − λ)` for negative `x`.
pub(super) fn slope(x: f64, lambda: f64) -> f64 {
    match x >= 0. {
        true => ((lambda - 1.) * x.ln_1p()).exp(),
        false => ((1. - lambda) * (-x).ln_1p()).exp(),
    }
}

/// The inverse of [`yeo_johnson`]. Its values are bounded above for `λ < 0` and below for `λ > 2`; beyond the bound the
/// inverse is infinite.
pub(super) fn inverse(y: f64, lambda: f64) -> f64 {
    if lambda == 1. {
        return y;
    }
    let power = |y: f64, exponent: f64| match exponent.abs() < f64::EPSILON {
        true => y.exp_m1(),
        false => ((exponent * y).max(-1.).ln_1p() / exponent).exp_m1(),
    };
    match y {
        y if y.is_nan() => y,
        y if y >= 0. => power(y, lambda),
        y => -power(-y, 2. - lambda),
    }
}

/// The `λ` with the largest likelihood. The negative logarithm of the likelihood is convex in `λ` (Marchand et al. 2022,
/// arXiv:2210.01639), so its minimum is found by Brent's method in an interval in which no power of up to 20 times the
/// largest number overflows, as in scipy.
fn most_likely(column: &[f64]) -> f64 {
    let largest = column.iter().fold(0f64, |most, x| most.max(x.abs()));
    let log = (20. * largest).min(f64::MAX).ln_1p();
    let (eps, widest) = (f64::EPSILON.ln(), 1e12);
    let low = ((f64::MIN_POSITIVE.ln() - eps) / 2. / log).max(-widest);
    let high = ((f64::MAX.ln() + eps) / 2. / log).min(widest);
    let negative = column.iter().filter(|x| **x < 0.).count();
    let (low, high) = match negative {
        0 => (low, high),
        all if all == column.len() => (2. - high, 2. - low),
        _ => ((2. - high).max(low), (2. - low).min(high)),
    };
    let logs: f64 = column.iter().map(|x| x.abs().ln_1p().copysign(*x)).sum();
    let n = column.len() as f64;
    // n/2 · ln σ²(λ) − (λ − 1) Σ sign(x) ln(|x| + 1), with the variance of the transformed column.
    let cost = |lambda: f64| {
        let mean = column.iter().map(|x| yeo_johnson(*x, lambda)).sum::<f64>() / n;
        let variance = column.iter().map(|x| (yeo_johnson(*x, lambda) - mean).powi(2)).sum::<f64>() / n;
        let cost = n / 2. * variance.ln() - (lambda - 1.) * logs;
        if cost.is_finite() {
            cost
        } else {
            f64::INFINITY
        }
    };
    minimum(cost, low, high)
}

/// Where a function with one minimum is least between `a` and `b`: golden-section steps, and parabolic ones where they
/// help (Brent 1973, "Algorithms for minimization without derivatives", chapter 5).
fn minimum(f: impl Fn(f64) -> f64, mut a: f64, mut b: f64) -> f64 {
    let golden = 0.5 * (3. - 5f64.sqrt());
    let mut best = a + golden * (b - a);
    let (mut second, mut third) = (best, best);
    let (mut step, mut before) = (0f64, 0f64);
    let mut at_best = f(best);
    let (mut at_second, mut at_third) = (at_best, at_best);
    for _ in 0..MAX_EVALUATIONS {
        let middle = f64::midpoint(a, b);
        let tolerance = f64::EPSILON.sqrt() * best.abs() + TOLERANCE / 3.;
        if (best - middle).abs() <= 2. * tolerance - 0.5 * (b - a) {
            break;
        }
        let mut parabolic = None;
        if before.abs() > tolerance {
            let r = (best - second) * (at_best - at_third);
            let q = (best - third) * (at_best - at_second);
            let (p, q) = ((best - third) * q - (best - second) * r, 2. * (q - r));
            let (p, q) = if q > 0. { (-p, q) } else { (p, -q) };
            let last = std::mem::replace(&mut before, step);
            if p.abs() < (0.5 * q * last).abs() && p > q * (a - best) && p < q * (b - best) {
                let next = best + p / q;
                let near_end = next - a < 2. * tolerance || b - next < 2. * tolerance;
                parabolic = Some(if near_end { tolerance.copysign(middle - best) } else { p / q });
            }
        }
        step = parabolic.unwrap_or_else(|| {
            before = if best >= middle { a - best } else { b - best };
            golden * before
        });
        let next = best + step.abs().max(tolerance).copysign(step);
        let at_next = f(next);
        if at_next <= at_best {
            if next >= best {
                a = best;
            } else {
                b = best;
            }
            (third, at_third, second, at_second, best, at_best) =
                (second, at_second, best, at_best, next, at_next);
        } else {
            if next < best {
                a = next;
            } else {
                b = next;
            }
            if at_next <= at_second || second == best {
                (third, at_third, second, at_second) = (second, at_second, next, at_next);
            } else if at_next <= at_third || third == best || third == second {
                (third, at_third) = (next, at_next);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_undoes_the_power_for_every_lambda() {
        for lambda in [-2., -0.5, 0., 1e-17, 0.3, 1., 2., 2.5] {
            for x in [-3., -0.7, -1e-9, 0., 1e-9, 0.4, 5.] {
                let back = inverse(yeo_johnson(x, lambda), lambda);
                assert!((back - x).abs() < 1e-9 * (1. + f64::abs(x)), "{lambda} {x} {back}");
                let (h, at) = (1e-6, slope(x, lambda));
                let numeric = (yeo_johnson(x + h, lambda) - yeo_johnson(x - h, lambda)) / (2. * h);
                assert!((numeric - at).abs() < 1e-5 * at.abs(), "{lambda} {x}: {numeric} {at}");
            }
        }
    }

    #[test]
    fn a_convex_function_is_least_at_its_vertex() {
        for vertex in [-30., -1.3, 0., 1.9, 17.] {
            let found = minimum(|x| (x - vertex) * (x - vertex), -100., 80.);
            assert!((found - vertex).abs() < 1e-7 * (1. + f64::abs(vertex)), "{vertex} {found}");
            let found = minimum(|x| (x - vertex).cosh().ln(), -100., 80.);
            assert!((found - vertex).abs() < 1e-7 * (1. + f64::abs(vertex)), "{vertex} {found}");
            let walls = |x: f64| if (x - vertex).abs() > 9. { f64::INFINITY } else { (x - vertex).abs() };
            assert!((minimum(walls, vertex - 20., vertex + 12.) - vertex).abs() < 1e-6, "{vertex}");
        }
    }
}
