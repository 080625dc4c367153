//! How a training loss that still falls would go on.
use crate::diagnose::series::Series;

/// The loss has stopped falling when a fifth of the training lowers it by less than this share of its first
/// value.
pub(crate) const STOPPED: f64 = 0.01;
/// How many times the epochs an extrapolation goes at most.
pub(crate) const FARTHEST: f64 = 20.;
/// How many times the root mean squared error of the better curve the other one may have.
const WORSE: f64 = 3.;
/// Numbers of candidates of the parameter of a curve.
const CANDIDATES: usize = 121;
/// Rounds in which the interval around the best candidate is narrowed.
const ROUNDS: usize = 4;

/// After how many epochs in all a training loss would have stopped falling, by two curves that are fitted to
/// the second half of its epochs:
///
/// ```text
/// a + b exp(−t / τ)   and   a + b (t + 1)^(−c),   a ≥ 0, b ≥ 0
/// ```
///
/// by least squares. The first one levels off and the second one goes on, so that the truth is often between
/// them: the smaller and the larger number. A curve does not count if its error is more than [`WORSE`] times
/// that of the other one. A number is infinite beyond [`FARTHEST`] times the epochs. `None` with fewer than
/// five values in the second half, or if neither curve falls.
pub(crate) fn epochs_until_it_stops(loss: &Series) -> Option<(f64, f64)> {
    let ((last, _), (_, first)) = (loss.last()?, loss.first()?);
    let half: Vec<(f64, f64)> = loss.tail(0.5).points().iter().map(|(t, y)| (*t as f64, *y)).collect();
    if half.len() < 5 {
        return None;
    }
    let epochs = (last + 1) as f64;
    // Time constants from a fiftieth of the epochs to fifty times as many, and exponents from 0.02 to 10.
    let curves: [(Basis, (f64, f64)); 2] = [
        (|rate, t| (-rate * t).exp(), (0.02 / epochs, 50. / epochs)),
        (|exponent, t| (t + 1.).powf(-exponent), (0.02, 10.)),
    ];
    let fits: Vec<(Basis, Fit)> =
        curves.into_iter().filter_map(|(basis, ends)| Some((basis, fit(&half, ends, basis)?))).collect();
    let best = fits.iter().map(|(_, fit)| fit.squares).reduce(f64::min)?;
    let good = fits.iter().filter(|(_, fit)| fit.squares <= WORSE * WORSE * best);
    let ends: Vec<f64> = good.map(|(basis, fit)| stop(epochs, STOPPED * first, fit, *basis)).collect();
    let low = ends.iter().copied().reduce(f64::min)?;
    Some((low, ends.iter().copied().fold(low, f64::max)))
}

/// What a curve is at a parameter and an epoch, up to its scale and its limit.
type Basis = fn(f64, f64) -> f64;

/// `a + b basis(parameter, t)`.
struct Fit {
    b: f64,
    parameter: f64,
    squares: f64,
}

/// The number of epochs after the last one at which a fifth of the training still lowers the curve by
/// `least`.
fn stop(epochs: f64, least: f64, fit: &Fit, basis: Basis) -> f64 {
    let value = |t: f64| fit.b * basis(fit.parameter, t);
    let falls = |end: f64| value(0.8 * end) - value(end) > least;
    // In steps of one percent: a slow exponential falls more later than at first.
    let (mut end, mut stop) = (epochs, epochs);
    while end <= FARTHEST * epochs {
        let next = 1.01 * end;
        if falls(end) {
            stop = next;
        }
        end = next;
    }
    if stop > FARTHEST * epochs {
        f64::INFINITY
    } else {
        stop
    }
}

/// Least squares over a parameter between two positive ends, and over `a ≥ 0` and `b ≥ 0`. `None` if the
/// curve does not fall.
fn fit(points: &[(f64, f64)], ends: (f64, f64), basis: Basis) -> Option<Fit> {
    let (mut low, mut high) = (ends.0.ln(), ends.1.ln());
    let mut best: Option<Fit> = None;
    for _ in 0..ROUNDS {
        let step = (high - low) / (CANDIDATES - 1) as f64;
        for i in 0..CANDIDATES {
            let parameter = (low + step * i as f64).exp();
            let found = linear(points, parameter, basis);
            if let Some(found) = found.filter(|f| best.as_ref().is_none_or(|best| f.squares < best.squares)) {
                best = Some(found);
            }
        }
        let centre = best.as_ref()?.parameter.ln();
        (low, high) = ((centre - step).max(ends.0.ln()), (centre + step).min(ends.1.ln()));
    }
    best
}

/// `a` and `b` for one value of the parameter.
fn linear(points: &[(f64, f64)], parameter: f64, basis: Basis) -> Option<Fit> {
    let n = points.len() as f64;
    let of = || points.iter().map(|(t, y)| (basis(parameter, *t), *y));
    let (x_mean, y_mean) = of().fold((0., 0.), |(x, y), (u, v)| (x + u / n, y + v / n));
    let spread: f64 = of().map(|(x, _)| (x - x_mean).powi(2)).sum();
    let mut b = of().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>() / spread;
    let mut a = y_mean - b * x_mean;
    if a < 0. {
        a = 0.;
        b = of().map(|(x, y)| x * y).sum::<f64>() / of().map(|(x, _)| x * x).sum::<f64>();
    }
    let squares = of().map(|(x, y)| (y - a - b * x).powi(2)).sum::<f64>();
    (b > 0. && b.is_finite() && squares.is_finite()).then_some(Fit { b, parameter, squares })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(of: impl Fn(f64) -> f64, epochs: usize) -> Series {
        Series::of(&(0..epochs).map(|t| of(t as f64)).collect::<Vec<_>>())
    }

    /// Where a function that falls from `from` on is zero.
    fn root(of: impl Fn(f64) -> f64, mut from: f64) -> f64 {
        let mut to = 1e6;
        for _ in 0..100 {
            let middle = 0.5 * (from + to);
            if of(middle) > 0. {
                from = middle;
            } else {
                to = middle;
            }
        }
        from
    }

    /// `b (exp(−0.8 T / τ) − exp(−T / τ)) = 0.01 (a + b)` has one solution behind the top.
    #[test]
    fn an_exponential_stops_where_its_formula_says() {
        for (a, b, tau) in [(0.2, 1., 40.), (0., 3., 25.), (1., 2., 60.)] {
            let (low, _) = epochs_until_it_stops(&series(|t: f64| a + b * (-t / tau).exp(), 50)).unwrap();
            let excess = |t: f64| b * ((-0.8 * t / tau).exp() - (-t / tau).exp()) - 0.01 * (a + b);
            let expected = root(excess, 1.116 * tau);
            assert!((low / expected - 1.).abs() < 0.02, "{low} {expected}");
        }
    }

    /// `b ((0.8 T + 1)^(−c) − (T + 1)^(−c)) = 0.01 (a + b)`.
    #[test]
    fn a_power_law_stops_where_its_formula_says() {
        let (a, b, c) = (0.1, 1., 0.6);
        let (_, high) = epochs_until_it_stops(&series(|t: f64| a + b * (t + 1.).powf(-c), 40)).unwrap();
        let excess = |t: f64| b * ((0.8 * t + 1.).powf(-c) - (t + 1.).powf(-c)) - 0.01 * (a + b);
        let expected = root(excess, 20.);
        assert!((high / expected - 1.).abs() < 0.03, "{high} {expected}");
    }

    #[test]
    fn what_does_not_fall_or_is_too_short_has_no_extrapolation() {
        assert_eq!(epochs_until_it_stops(&series(|t| 1. + t, 40)), None);
        assert_eq!(epochs_until_it_stops(&series(|t| 1. - 0.1 * t, 6)), None);
        // A straight line goes on for longer than can be said.
        let (_, high) = epochs_until_it_stops(&series(|t| 1. - 0.001 * t, 100)).unwrap();
        assert_eq!(high, f64::INFINITY);
    }

    #[test]
    fn a_loss_in_other_units_stops_at_the_same_epoch() {
        let curve = |t: f64| 0.3 + (-t / 30.).exp() + 0.01 * (7. * t).sin();
        let (low, high) = epochs_until_it_stops(&series(curve, 40)).unwrap();
        let (scaled_low, scaled_high) = epochs_until_it_stops(&series(|t| 1024. * curve(t), 40)).unwrap();
        assert_eq!((low, high), (scaled_low, scaled_high));
    }
}
