//! Families of distributions with a location and a scale.
use crate::{check::require, kernels::float::Real, statistics::t_two_sided, Result};
use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI};

/// A family of distributions that are symmetric about a location `m` and stretched by a scale `s`, with
/// `z = (x − m) / s`.
///
/// | Family | Density | Variance |
/// |---|---|---|
/// | [`Gaussian`](Self::Gaussian) | `exp(−z² / 2) / (s √(2π))` | `s²` |
/// | [`Laplace`](Self::Laplace) | `exp(−\|z\|) / (2 s)` | `2 s²` |
/// | [`StudentT`](Self::StudentT) | `∝ (1 + z² / ν)^(−(ν + 1) / 2) / s` | `s² ν / (ν − 2)` |
///
/// ```
/// use candle_ensemble::distribution::Family;
///
/// let standard = Family::Gaussian.ln_density(0., 0., 1.);
/// assert!((standard + 0.918_938_533_204_672_7).abs() < 1e-15);
/// assert_eq!(Family::Laplace.cdf(1., 1., 2.), 0.5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Family {
    /// The normal distribution. The scale is the standard deviation.
    Gaussian,
    /// The double exponential distribution, with heavier tails. The scale is the mean absolute deviation.
    Laplace,
    /// Student's t distribution, whose tails fall like a power.
    StudentT {
        /// The degrees of freedom `ν`, above 2, so that there is a variance.
        degrees_of_freedom: f64,
    },
}

impl Family {
    /// Checks that the degrees of freedom are above 2.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Gaussian | Self::Laplace => Ok(()),
            Self::StudentT { degrees_of_freedom: nu } => require(
                nu > 2. && nu.is_finite(),
                "the degrees of freedom of Student's t distribution",
                "above 2, where it has a variance, and finite",
                nu,
            ),
        }
    }

    /// The variance for the scale 1.
    #[must_use]
    pub fn unit_variance(self) -> f64 {
        match self {
            Self::Gaussian => 1.,
            Self::Laplace => 2.,
            Self::StudentT { degrees_of_freedom: nu } => nu / (nu - 2.),
        }
    }

    /// The logarithm of the density at `x`.
    #[must_use]
    pub fn ln_density(self, x: f64, location: f64, scale: f64) -> f64 {
        let z = (x - location) / scale;
        let of_unit = match self {
            Self::Gaussian => -0.5 * (z * z + (2. * PI).ln()),
            Self::Laplace => -z.abs() - LN_2,
            Self::StudentT { degrees_of_freedom: nu } => {
                ln_t_normaliser(nu) - (nu + 1.) / 2. * (z * z / nu).ln_1p()
            }
        };
        of_unit - scale.ln()
    }

    /// The probability of a number of at most `x`.
    #[must_use]
    pub fn cdf(self, x: f64, location: f64, scale: f64) -> f64 {
        self.unit_cdf((x - location) / scale)
    }

    fn unit_cdf(self, z: f64) -> f64 {
        let tail = match self {
            Self::Gaussian => return 0.5 * Real::erfc(-z * FRAC_1_SQRT_2),
            Self::Laplace => 0.5 * (-z.abs()).exp(),
            Self::StudentT { degrees_of_freedom: nu } => 0.5 * t_two_sided(z, nu),
        };
        if z < 0. {
            tail
        } else {
            1. - tail
        }
    }

    /// `E |X − x|` of a number `X` of this distribution.
    pub(super) fn mean_distance(self, x: f64, location: f64, scale: f64) -> f64 {
        let z = (x - location) / scale;
        let of_unit = match self {
            Self::Gaussian => {
                z * (1. - Real::erfc(z * FRAC_1_SQRT_2)) + 2. * self.ln_density(z, 0., 1.).exp()
            }
            Self::Laplace => z.abs() + (-z.abs()).exp(),
            Self::StudentT { degrees_of_freedom: nu } => {
                let density = self.ln_density(z, 0., 1.).exp();
                z * (2. * self.unit_cdf(z) - 1.) + 2. * density * (nu + z * z) / (nu - 1.)
            }
        };
        scale * of_unit
    }

    /// `E |X − X'|` of independent numbers of two distributions of this family, given as location and scale; `None` where
    /// there is no closed form.
    pub(super) fn mean_difference(self, one: (f64, f64), other: (f64, f64)) -> Option<f64> {
        let distance = (one.0 - other.0).abs();
        match self {
            // The difference of two normal numbers is normal.
            Self::Gaussian => Some(self.mean_distance(distance, 0., one.1.hypot(other.1))),
            Self::Laplace => Some(laplace_difference(distance, one.1, other.1)),
            Self::StudentT { .. } => None,
        }
    }
}

/// `E |X − X'|` for Laplace numbers with these scales and distance of locations. The density of the difference is
/// `(b² f_b − c² f_c) / (b² − c²)`, with the Laplace densities `f`.
fn laplace_difference(distance: f64, b: f64, c: f64) -> f64 {
    const NEARLY_EQUAL: f64 = 1e-5;
    if (b - c).abs() <= NEARLY_EQUAL * b.max(c) {
        // The limit; halfway between the squares it is wrong by a square of their difference.
        let scale = (0.5 * (b * b + c * c)).sqrt();
        return distance + 0.5 * (3. * scale + distance) * (-distance / scale).exp();
    }
    let squared = |scale: f64| scale * scale * (distance + scale * (-distance / scale).exp());
    (squared(b) - squared(c)) / ((b - c) * (b + c))
}

/// The logarithm of the factor of Student's density for the scale 1.
pub(crate) fn ln_t_normaliser(nu: f64) -> f64 {
    ln_gamma((nu + 1.) / 2.) - ln_gamma(nu / 2.) - 0.5 * (nu * PI).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: [Family; 5] = [
        Family::Gaussian,
        Family::Laplace,
        Family::StudentT { degrees_of_freedom: 2.5 },
        Family::StudentT { degrees_of_freedom: 5. },
        Family::StudentT { degrees_of_freedom: 800. },
    ];

    /// The midpoint rule after `x = sinh u`, whose integrands are analytic and fall off quickly.
    fn integral(f: impl Fn(f64) -> f64) -> f64 {
        let (from, to, steps) = (-18., 18., 24_000);
        let width = (to - from) / f64::from(steps);
        let at = |i: i32| from + (f64::from(i) + 0.5) * width;
        (0..steps).map(|i| f(at(i).sinh()) * at(i).cosh() * width).sum()
    }

    fn close(got: f64, expected: f64, what: impl std::fmt::Debug) {
        assert!((got - expected).abs() < 1e-5 * expected.abs().max(1.), "{what:?}: {got} against {expected}");
    }

    #[test]
    fn densities_and_moments_are_integrals() {
        for family in FAMILIES {
            let density = |x: f64| family.ln_density(x, 0.3, 0.7).exp();
            close(integral(density), 1., family);
            assert_eq!(family.cdf(0.3, 0.3, 0.7), 0.5);
            close(integral(|x| density(x) * x), 0.3, family);
            if family.unit_variance() < 4. {
                let variance = integral(|x| density(x) * (x - 0.3).powi(2));
                close(variance, 0.49 * family.unit_variance(), family);
            }
            for x in [-2., 0.25, 0.3, 1.9] {
                let slope = (family.cdf(x + 1e-5, 0.3, 0.7) - family.cdf(x - 1e-5, 0.3, 0.7)) / 2e-5;
                close(slope, density(x), (family, x));
                let distance = integral(|t| density(t) * (t - x).abs());
                close(family.mean_distance(x, 0.3, 0.7), distance, (family, x));
            }
        }
    }

    #[test]
    fn values_of_references() {
        // Closed forms for five degrees of freedom, computed with Python's `math`, and tables of the normal distribution.
        let t = Family::StudentT { degrees_of_freedom: 5. };
        assert!((t.ln_density(1.5, 0., 1.) - -2.083_310_258_352_174_3).abs() < 1e-13);
        assert!((t.cdf(1.5, 0., 1.) - 0.903_048_159_878_763_2).abs() < 1e-13);
        assert!((Family::Laplace.ln_density(1.5, 0., 1.) - (-1.5 - 2f64.ln())).abs() < 1e-15);
        assert!((Family::Gaussian.cdf(-1.5, 0., 1.) - 0.066_807_201_268_858_07).abs() < 1e-15);
    }

    #[test]
    fn mean_differences_are_integrals_of_mean_distances() {
        for family in [Family::Gaussian, Family::Laplace] {
            for (one, other) in [
                ((0., 1.), (0., 1.)),
                ((0.5, 1.), (-1., 0.3)),
                ((0., 0.5), (2., 0.5)),
                ((0., 0.5), (0.1, 0.5 + 4e-6)),
                ((0., 0.5), (0.1, 0.5 + 6e-6)),
            ] {
                let by_integral = integral(|x| {
                    family.ln_density(x, one.0, one.1).exp() * family.mean_distance(x, other.0, other.1)
                });
                close(family.mean_difference(one, other).unwrap(), by_integral, (family, one, other));
            }
        }
    }

    #[test]
    fn too_few_degrees_of_freedom_are_refused() {
        let of = |degrees_of_freedom| Family::StudentT { degrees_of_freedom }.check();
        assert!(of(2.1).is_ok());
        for nu in [2., 0., -1., f64::NAN, f64::INFINITY] {
            assert!(of(nu).unwrap_err().to_string().contains("above 2, where it has a variance"));
        }
    }
}
