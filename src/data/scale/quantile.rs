//! To the uniform or the standard normal distribution.
use crate::{
    check,
    data::scale::{FittedColumn, Scaling},
    registry::{Argument, Entry},
    statistics::quantile,
    Result,
};
use statrs::{
    distribution::{ContinuousCDF, Normal},
    function::erf::erfc,
};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

pub(super) const ENTRY: Entry<Scaling> =
    Entry::new("quantile", "Scaling::Quantile", "To the uniform or the normal distribution", |arguments| {
        Ok(Scaling::Quantile { quantiles: arguments.get("quantiles")?, normal: arguments.get("normal")? })
    })
    .with_arguments(&[
        Argument::new("quantiles", "1000", "The number of quantiles"),
        Argument::new("normal", "false", "Whether the result is normal rather than uniform"),
    ]);

/// How close to 0 and 1 a probability may come before it is turned into a normal number, as in scikit-learn.
const CLIPPED: f64 = 1e-7;

pub(super) fn check(quantiles: usize) -> Result<()> {
    check::require(quantiles >= 2, "Scaling::Quantile::quantiles", "at least 2", quantiles as f64)
}

/// At most `most` quantiles of the column; no more than there are rows.
pub(super) fn fit(mut column: Vec<f64>, most: usize, normal: bool) -> FittedColumn {
    column.sort_unstable_by(f64::total_cmp);
    let count = most.min(column.len());
    let quantiles = (0..count).map(|i| quantile(&column, place(i, count)));
    // The interpolation between equal numbers may round to a smaller one.
    let mut last = f64::NEG_INFINITY;
    let quantiles = quantiles.map(|q| {
        last = last.max(q);
        last
    });
    FittedColumn::Quantile { quantiles: quantiles.collect(), normal }
}

/// The probability of quantile `i` of `count`.
fn place(i: usize, count: usize) -> f64 {
    if count < 2 {
        0.
    } else {
        i as f64 / (count - 1) as f64
    }
}

pub(super) fn transform(x: f64, quantiles: &[f64], normal: bool) -> f64 {
    let p = rank(quantiles, x);
    if normal && !p.is_nan() {
        let end = CLIPPED - f64::EPSILON;
        normal_quantile(p.clamp(end, 1. - end))
    } else {
        p
    }
}

pub(super) fn inverse(z: f64, quantiles: &[f64], normal: bool) -> f64 {
    if z.is_nan() {
        return z;
    }
    let p = if normal { normal_cdf(z) } else { z };
    let Some(last) = quantiles.len().checked_sub(1) else { return f64::NAN };
    // A normal number is never infinite: its ends stand for the ends of the column.
    let end = if normal { CLIPPED } else { 0. };
    match p {
        p if p <= end => quantiles[0],
        p if p >= 1. - end => quantiles[last],
        p => quantile(quantiles, p),
    }
}

/// The derivative of [`transform`]; 0 beyond the ends, where it is constant, and at a value that several quantiles have.
pub(super) fn slope(x: f64, quantiles: &[f64], normal: bool) -> f64 {
    let up_to = quantiles.partition_point(|q| *q <= x);
    let (Some(low), Some(high)) = (up_to.checked_sub(1).and_then(|i| quantiles.get(i)), quantiles.get(up_to))
    else {
        return 0.;
    };
    let steepness = (place(up_to, quantiles.len()) - place(up_to - 1, quantiles.len())) / (high - low);
    match (normal, rank(quantiles, x)) {
        (false, _) => steepness,
        (true, p) if p <= CLIPPED || p >= 1. - CLIPPED => 0.,
        (true, p) => steepness / normal_density(normal_quantile(p)),
    }
}

/// The derivative of [`inverse`].
pub(super) fn inverse_slope(z: f64, quantiles: &[f64], normal: bool) -> f64 {
    let (p, density) = if normal { (normal_cdf(z), normal_density(z)) } else { (z, 1.) };
    let end = if normal { CLIPPED } else { 0. };
    let steps = quantiles.len().saturating_sub(1);
    if steps == 0 || p <= end || p >= 1. - end || p.is_nan() {
        return 0.;
    }
    let below = ((p * steps as f64) as usize).min(steps - 1);
    (quantiles[below + 1] - quantiles[below]) * steps as f64 * density
}

/// The share of a column below `x`, by linear interpolation between its quantiles. Where several quantiles equal `x`, the
/// mean of their ranks; 0 and 1 at both ends, as in scikit-learn.
fn rank(quantiles: &[f64], x: f64) -> f64 {
    let count = quantiles.len();
    match (quantiles.first(), quantiles.last()) {
        _ if x.is_nan() => return x,
        (Some(first), _) if x <= *first => return 0.,
        (_, Some(last)) if x >= *last => return 1.,
        (None, _) => return f64::NAN,
        _ => {}
    }
    let (below, up_to) = (quantiles.partition_point(|q| *q < x), quantiles.partition_point(|q| *q <= x));
    if up_to > below {
        return f64::midpoint(place(below, count), place(up_to - 1, count));
    }
    let (low, high) = (quantiles[below - 1], quantiles[below]);
    let (from, to) = (place(below - 1, count), place(below, count));
    from + (to - from) * ((x - low) / (high - low))
}

fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z * FRAC_1_SQRT_2)
}

fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2. * PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_interpolate_and_share_the_middle_of_ties() {
        let quantiles = [0., 1., 1., 1., 4.];
        for (x, p) in [(-1., 0.), (0., 0.), (0.5, 0.125), (1., 0.5), (2.5, 0.875), (4., 1.), (9., 1.)] {
            assert_eq!(rank(&quantiles, x), p, "{x}");
        }
        assert_eq!(rank(&[3.], 3.), 0.);
        assert!(rank(&quantiles, f64::NAN).is_nan());
    }

    #[test]
    fn slopes_are_the_derivatives() {
        let quantiles = [-2., -1., 0.5, 4., 4.5];
        for normal in [false, true] {
            for x in [-1.7, -0.2, 0.9, 4.3] {
                let h = 1e-6;
                let by = |x| transform(x, &quantiles, normal);
                let numeric = (by(x + h) - by(x - h)) / (2. * h);
                assert!((numeric - slope(x, &quantiles, normal)).abs() < 1e-6, "{x}");
                let z = by(x);
                let back = |z| inverse(z, &quantiles, normal);
                let numeric = (back(z + h) - back(z - h)) / (2. * h);
                assert!((numeric - inverse_slope(z, &quantiles, normal)).abs() < 1e-5, "{x}");
            }
            assert_eq!((slope(-3., &quantiles, normal), slope(5., &quantiles, normal)), (0., 0.));
            assert_eq!(inverse_slope(if normal { 9. } else { 1.5 }, &quantiles, normal), 0.);
        }
    }
}
