//! Distributions given by quantiles. The quantile function is linear between the levels and constant beyond them, so the
//! distribution function is linear between the quantiles and jumps at the outer ones.

/// Mean and variance of one distribution.
pub(super) fn moments(levels: &[f64], values: &[f64]) -> (f64, f64) {
    let (Some((first, last)), Some((low, high))) =
        (levels.first().zip(levels.last()), values.first().zip(values.last()))
    else {
        return (f64::NAN, f64::NAN);
    };
    let pieces = || levels.windows(2).zip(values.windows(2)).map(piece);
    let mean = first * low + (1. - last) * high + pieces().map(|(p, a, b)| p * 0.5 * (a + b)).sum::<f64>();
    // The mean of the square of a line from a to b is (a² + a b + b²) / 3.
    let squares = pieces().map(|(p, a, b)| {
        let (a, b) = (a - mean, b - mean);
        p * (a * a + a * b + b * b) / 3.
    });
    let outer = first * (low - mean).powi(2) + (1. - last) * (high - mean).powi(2);
    (mean, outer + squares.sum::<f64>())
}

/// The probability of a piece, and the quantiles at its ends.
fn piece((levels, values): (&[f64], &[f64])) -> (f64, f64, f64) {
    match (levels, values) {
        ([p, q], [a, b]) => (q - p, *a, *b),
        _ => (0., 0., 0.),
    }
}

/// The distribution function of one distribution at `x`, and its limit from the left.
fn both_cdfs(levels: &[f64], values: &[f64], x: f64) -> (f64, f64) {
    let at_most = values.partition_point(|v| *v <= x);
    let below = values.partition_point(|v| *v < x);
    let level = |i: usize| levels.get(i).copied().unwrap_or(1.);
    let value = |i: usize| values.get(i).copied().unwrap_or(f64::INFINITY);
    if at_most == below {
        // Between two quantiles.
        return match at_most {
            0 => (0., 0.),
            n if n == values.len() => (1., 1.),
            n => {
                let share = (x - value(n - 1)) / (value(n) - value(n - 1));
                let p = level(n - 1) + share * (level(n) - level(n - 1));
                (p, p)
            }
        };
    }
    let right = if at_most == values.len() { 1. } else { level(at_most - 1) };
    let left = if below == 0 { 0. } else { level(below) };
    (right, left)
}

/// The distribution function of a mixture at `x`.
pub(super) fn cdf(levels: &[f64], weights: &[f64], values: &[f64], x: f64) -> f64 {
    mixed(levels, weights, values, x).0
}

/// The distribution function of a mixture at `x`, and its limit from the left.
fn mixed(levels: &[f64], weights: &[f64], values: &[f64], x: f64) -> (f64, f64) {
    let members = values.chunks(levels.len().max(1)).zip(weights);
    members.fold((0., 0.), |(right, left), (values, weight)| {
        let (r, l) = both_cdfs(levels, values, x);
        (right + weight * r, left + weight * l)
    })
}

/// The least `x` at which the distribution function of a mixture reaches `p`.
pub(super) fn quantile(levels: &[f64], weights: &[f64], values: &[f64], p: f64) -> f64 {
    let mut knots = values.to_vec();
    knots.sort_unstable_by(f64::total_cmp);
    knots.dedup();
    let first = knots.partition_point(|x| cdf(levels, weights, values, *x) < p);
    // Rounding may leave the sum of the weights below 1.
    let Some(to) = knots.get(first).or(knots.last()).copied() else { return f64::NAN };
    let before = first.checked_sub(1).and_then(|before| knots.get(before).copied());
    let Some(from) = before.filter(|from| *from < to) else { return to };
    let (at_from, at_to) = (cdf(levels, weights, values, from), mixed(levels, weights, values, to).1);
    match at_to > p {
        true => from + (to - from) * (p - at_from) / (at_to - at_from),
        false => to,
    }
}

/// The continuous ranked probability score `∫ (F(x) − [y ≤ x])² dx` of a mixture, exactly: between neighbouring quantiles
/// of all members `F` is linear.
pub(super) fn crps(levels: &[f64], weights: &[f64], values: &[f64], y: f64) -> f64 {
    let mut knots = [values, &[y]].concat();
    knots.sort_unstable_by(f64::total_cmp);
    knots.dedup();
    let panels = knots.windows(2).map(|ends| match ends {
        [from, to] => {
            let step = if *from >= y { 1. } else { 0. };
            let (a, _) = mixed(levels, weights, values, *from);
            let (_, b) = mixed(levels, weights, values, *to);
            let (a, b) = (a - step, b - step);
            (to - from) * (a * a + a * b + b * b) / 3.
        }
        _ => 0.,
    });
    panels.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, by_hand: f64) {
        assert!((got - by_hand).abs() < 1e-12, "{got} against {by_hand}");
    }

    /// The levels 1/4 and 3/4 at 0 and 1: a quarter of the probability at each end, half of it uniform between.
    #[test]
    fn moments_and_distribution_function_by_hand() {
        let (levels, values) = ([0.25, 0.75], [0., 1.]);
        let (mean, variance) = moments(&levels, &values);
        close(mean, 0.5);
        close(variance, 0.5 * 0.25 + 0.5 / 12.);
        for (x, p) in [(-0.1, 0.), (0., 0.25), (0.5, 0.5), (0.9, 0.7), (1., 1.), (2., 1.)] {
            close(cdf(&levels, &[1.], &values, x), p);
        }
        close(both_cdfs(&levels, &values, 0.).1, 0.);
        close(both_cdfs(&levels, &values, 1.).1, 0.75);
        // Equal quantiles are a jump.
        assert_eq!(both_cdfs(&[0.2, 0.4, 0.6], &[1., 1., 1.], 1.), (1., 0.));
        assert_eq!(both_cdfs(&[0.2, 0.4, 0.6], &[0., 1., 1.], 1.), (1., 0.4));
    }

    /// The median of two uniform distributions on [0, 1] and [2, 3] is where their distribution function reaches 1/2.
    #[test]
    fn quantiles_by_hand() {
        let levels = [0.25, 0.75];
        for (p, x) in [(0.1, 0.), (0.25, 0.), (0.5, 0.5), (0.6, 0.7), (0.75, 1.), (0.9, 1.)] {
            close(quantile(&levels, &[1.], &[0., 1.], p), x);
        }
        let mixture = |p| quantile(&levels, &[0.5, 0.5], &[0., 1., 2., 3.], p);
        for (p, x) in [(0.5, 1.), (0.51, 2.), (0.625, 2.), (0.75, 2.5), (0.25, 0.5)] {
            close(mixture(p), x);
        }
    }

    /// For y = 0.5, ∫₀^½ (¼ + x/2)² dx twice, which is 2 · ((1/2)³ − (1/4)³) / (3 · 1/2) by the power rule.
    #[test]
    fn crps_by_hand() {
        let (levels, values) = ([0.25, 0.75], [0., 1.]);
        close(crps(&levels, &[1.], &values, 0.5), 2. * (0.125 - 0.015_625) / 1.5);
        // Beyond the quantiles the distance is added.
        let at_end = crps(&levels, &[1.], &values, 1.);
        close(crps(&levels, &[1.], &values, 3.), at_end + 2.);
        // A point: the absolute error. Two points with half of the probability each: E |X − y| − E |X − X'| / 2.
        close(crps(&[0.5], &[1.], &[2.], -1.), 3.);
        close(crps(&[0.5], &[0.5, 0.5], &[0., 1.], 0.25), 0.5 - 0.25);
    }
}
