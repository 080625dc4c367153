//! The mean absolute difference of two independent numbers of a mixture.
use crate::distribution::{cell::Part, Family};

/// `E |X − X'|`: in closed form over all pairs of components where the family has one, else as the integral
/// `2 ∫ F (1 − F) dx`.
pub(super) fn of(family: Family, parts: &[Part]) -> f64 {
    let mut total = 0.;
    for (i, (w, m, s)) in parts.iter().enumerate() {
        for (j, (v, n, t)) in parts.iter().enumerate().skip(i) {
            let Some(difference) = family.mean_difference((*m, *s), (*n, *t)) else {
                return 2. * integral(family, parts);
            };
            // A pair of two components occurs in both orders.
            total += if i == j { 1. } else { 2. } * w * v * difference;
        }
    }
    total
}

/// Powers of two of the scale between which the integrand is smooth on each side of a component.
const PANELS: i32 = 12;

/// `∫ F (1 − F) dx` by Gauss and Legendre's rule on panels that double in width away from each component. Beyond the last
/// panel `F (1 − F)` is the tail itself, whose integral is known.
fn integral(family: Family, parts: &[Part]) -> f64 {
    let mut knots = vec![];
    for (_, m, s) in parts {
        knots.push(*m);
        for power in -1..=PANELS {
            let reach = s * 2f64.powi(power);
            knots.extend([m - reach, m + reach]);
        }
    }
    knots.sort_unstable_by(f64::total_cmp);
    knots.dedup();
    let cdf = |x: f64| parts.iter().map(|(w, m, s)| w * family.cdf(x, *m, *s)).sum::<f64>();
    let panels = knots.windows(2).map(|ends| match ends {
        [from, to] => {
            let (half, middle) = (0.5 * (to - from), 0.5 * (from + to));
            let at = |node: f64| {
                let p = cdf(middle + half * node);
                p * (1. - p)
            };
            half * NODES.iter().map(|(node, weight)| weight * (at(*node) + at(-node))).sum::<f64>()
        }
        _ => 0.,
    });
    let inner: f64 = panels.sum();
    let ends = knots.first().zip(knots.last());
    let Some((low, high)) = ends else { return 0. };
    // E max(X − x, 0) = (E |X − x| + m − x) / 2, and with the signs changed below.
    let beyond = |x: f64, sign: f64| {
        let of = |(w, m, s): &Part| w * 0.5 * (family.mean_distance(x, *m, *s) + sign * (m - x));
        parts.iter().map(of).sum::<f64>()
    };
    inner + beyond(*low, -1.) + beyond(*high, 1.)
}

/// The positive nodes of the rule of ten nodes on [−1, 1], with their weights.
const NODES: [(f64, f64); 5] = [
    (0.148_874_338_981_631_21, 0.295_524_224_714_752_87),
    (0.433_395_394_129_247_2, 0.269_266_719_309_996_36),
    (0.679_409_568_299_024_4, 0.219_086_362_515_982_04),
    (0.865_063_366_688_984_5, 0.149_451_349_150_580_6),
    (0.973_906_528_517_171_7, 0.066_671_344_308_688_14),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// `E |X − X'|` of a single t distribution is `4 √ν / (ν − 1) · B(½, ν − ½) / B(½, ν/2)²` (Jordan, Krüger and Lerch
    /// 2019, doi:10.18637/jss.v090.i12), times the scale.
    #[test]
    fn the_integral_of_one_t_distribution_is_its_closed_form() {
        use statrs::function::beta::beta;
        for nu in [2.1f64, 3., 5., 30.] {
            let family = Family::StudentT { degrees_of_freedom: nu };
            let closed = 4. * nu.sqrt() / (nu - 1.) * beta(0.5, nu - 0.5) / beta(0.5, nu / 2.).powi(2);
            let got = of(family, &[(1., 3., 0.5)]);
            assert!((got - 0.5 * closed).abs() < 1e-8 * closed, "{nu}: {got} against {}", 0.5 * closed);
        }
    }

    /// The closed forms of pairs, against the integral.
    #[test]
    fn pairs_and_integral_agree() {
        let parts = [(0.2, 0., 1.), (0.5, 3., 0.1), (0.3, -1., 2.)];
        for family in [Family::Gaussian, Family::Laplace] {
            let (pairs, whole) = (of(family, &parts), 2. * integral(family, &parts));
            assert!((pairs - whole).abs() < 1e-7 * whole, "{family:?}: {pairs} against {whole}");
        }
    }

    #[test]
    fn student_t_with_many_degrees_of_freedom_is_nearly_gaussian() {
        let parts = [(0.5, 0., 1.), (0.5, 1., 0.5)];
        let t = of(Family::StudentT { degrees_of_freedom: 1e7 }, &parts);
        let gaussian = of(Family::Gaussian, &parts);
        assert!((t - gaussian).abs() < 1e-6, "{t} against {gaussian}");
    }
}
