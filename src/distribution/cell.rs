//! The distribution of a single number: the mixture of what the members predict for it.
use crate::distribution::{mean_difference, quantile_function, Family};

/// The mixture for one row and output.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    /// Distributions of a family: each member has the same number of components.
    Parts {
        family: Family,
        /// The weights of the members.
        weights: &'a [f64],
        /// The shares of the components, member by member; empty where each member is a single one.
        shares: &'a [f64],
        locations: &'a [f64],
        scales: &'a [f64],
    },
    /// Quantile functions, which are linear between the levels and constant beyond them.
    Quantiles {
        levels: &'a [f64],
        weights: &'a [f64],
        /// The quantiles in increasing order, member by member.
        values: &'a [f64],
    },
}

/// A component: its weight in the mixture, its location and its scale.
pub(super) type Part = (f64, f64, f64);

impl<'a> Cell<'a> {
    /// Mean and variance of each member, with the weight of the member.
    pub(super) fn moments(&self) -> Vec<(f64, f64, f64)> {
        match *self {
            Self::Parts { family, weights, shares, locations, scales } => {
                let count = (locations.len() / weights.len().max(1)).max(1);
                let members = locations.chunks(count).zip(scales.chunks(count)).zip(weights).enumerate();
                let moments = members.map(|(member, ((locations, scales), weight))| {
                    let share = |i: usize| shares.get(member * count + i).copied().unwrap_or(1.);
                    let sum = |f: &dyn Fn(f64, f64) -> f64| {
                        let parts = locations.iter().zip(scales).enumerate();
                        parts.map(|(i, (m, s))| share(i) * f(*m, *s)).sum::<f64>()
                    };
                    let mean = sum(&|m, _| m);
                    let unit = family.unit_variance();
                    (*weight, mean, sum(&|m, s| unit * s * s + (m - mean) * (m - mean)))
                });
                moments.collect()
            }
            Self::Quantiles { levels, weights, values } => {
                let members = values.chunks(levels.len().max(1)).zip(weights);
                let moments = members.map(|(values, weight)| {
                    let (mean, variance) = quantile_function::moments(levels, values);
                    (*weight, mean, variance)
                });
                moments.collect()
            }
        }
    }

    /// The components of all members; none for quantiles.
    pub(super) fn parts(self) -> impl Iterator<Item = Part> + use<'a> {
        let (weights, shares, locations, scales) = match self {
            Self::Parts { weights, shares, locations, scales, .. } => (weights, shares, locations, scales),
            Self::Quantiles { weights, .. } => (weights, &[][..], &[][..], &[][..]),
        };
        let count = (locations.len() / weights.len().max(1)).max(1);
        let weight = move |i: usize| {
            weights.get(i / count).copied().unwrap_or(0.) * shares.get(i).copied().unwrap_or(1.)
        };
        let parts = locations.iter().zip(scales).enumerate();
        parts.map(move |(i, (location, scale))| (weight(i), *location, *scale))
    }

    /// The probability of a number of at most `x`.
    pub(super) fn cdf(&self, x: f64) -> f64 {
        match *self {
            Self::Parts { family, .. } => {
                self.parts().map(|(w, m, s)| w * family.cdf(x, m, s)).sum::<f64>().min(1.)
            }
            Self::Quantiles { levels, weights, values } => {
                quantile_function::cdf(levels, weights, values, x).min(1.)
            }
        }
    }

    /// The logarithm of the density at `x`; NaN for quantiles, which have none.
    pub(super) fn ln_density(&self, x: f64) -> f64 {
        let Self::Parts { family, .. } = *self else { return f64::NAN };
        // The sum of exponentials, relative to the greatest so far.
        let (mut greatest, mut sum) = (f64::NEG_INFINITY, 0.);
        for (w, m, s) in self.parts() {
            let term = w.ln() + family.ln_density(x, m, s);
            if term > greatest {
                sum = sum * (greatest - term).exp() + 1.;
                greatest = term;
            } else if term > f64::NEG_INFINITY {
                sum += (term - greatest).exp();
            }
        }
        greatest + sum.ln()
    }

    /// The least `x` whose [`cdf`](Self::cdf) is at least `p`, which is between 0 and 1.
    pub(super) fn quantile(&self, p: f64) -> f64 {
        if let Self::Quantiles { levels, weights, values } = *self {
            return quantile_function::quantile(levels, weights, values, p);
        }
        let (mut low, mut high) = self.bracket(p);
        let mut x = 0.5 * (low + high);
        // Newton's step where it stays within the bracket, else the middle of the bracket.
        for _ in 0..MOST_STEPS {
            let excess = self.cdf(x) - p;
            if excess < 0. {
                low = x;
            } else {
                high = x;
            }
            let newton = x - excess / self.ln_density(x).exp();
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            let resolution = 2. * f64::EPSILON * low.abs().max(high.abs());
            if high - low <= resolution || (next - x).abs() <= 0.25 * resolution {
                break;
            }
            x = next;
        }
        x
    }

    /// Numbers between which the quantile lies.
    fn bracket(&self, p: f64) -> (f64, f64) {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut add = |x: f64| (low, high) = (low.min(x), high.max(x));
        self.parts().for_each(|(_, m, s)| [m - s, m + s].into_iter().for_each(&mut add));
        // A scale may vanish beside its location, and a step must move the bounds all the same.
        let width = (high - low).max(4. * f64::EPSILON * low.abs().max(high.abs()));
        let mut reach = width;
        while self.cdf(low) >= p && reach.is_finite() {
            low -= reach;
            reach *= 2.;
        }
        let mut reach = width;
        while self.cdf(high) < p && reach.is_finite() {
            high += reach;
            reach *= 2.;
        }
        (low, high)
    }

    /// The continuous ranked probability score of the number `y`.
    pub(super) fn crps(&self, y: f64) -> f64 {
        match *self {
            Self::Parts { family, .. } => {
                let parts: Vec<Part> = self.parts().collect();
                let to_target: f64 = parts.iter().map(|(w, m, s)| w * family.mean_distance(y, *m, *s)).sum();
                to_target - 0.5 * mean_difference::of(family, &parts)
            }
            Self::Quantiles { levels, weights, values } => {
                quantile_function::crps(levels, weights, values, y)
            }
        }
    }
}

/// More than bisection needs from any bracket of numbers of ordinary size.
const MOST_STEPS: usize = 200;
