use super::*;
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;

fn table(numbers: &[f64]) -> Tensor {
    Tensor::new(numbers, CPU).unwrap().unsqueeze(1).unwrap()
}

/// Members `(location, scale)` of one cell.
fn of(family: Family, members: &[(f64, f64)]) -> Mixture {
    let tensor = |f: fn(&(f64, f64)) -> f64| {
        let numbers = members.iter().map(f).collect::<Vec<_>>();
        Tensor::from_vec(numbers, (members.len(), 1, 1), CPU).unwrap()
    };
    Mixture::new(family, &tensor(|m| m.0), &tensor(|m| m.1)).unwrap()
}

fn one(x: Result<Tensor>) -> f64 {
    x.unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()[0]
}

fn score(mixture: &Mixture, score: Score, y: f64) -> f64 {
    mixture.score(score, &table(&[y]), None).unwrap()
}

fn close(got: f64, expected: f64, tolerance: f64, what: impl std::fmt::Debug) {
    assert!(
        (got - expected).abs() <= tolerance * expected.abs().max(1.),
        "{what:?}: {got} against {expected}"
    );
}

/// `∫ (F(x) − [y ≤ x])² dx` by the midpoint rule: the definition of the CRPS.
fn crps_by_definition(mixture: &Mixture, y: f64) -> f64 {
    let (low, high, steps) = (-60., 60., 60_000);
    let width = (high - low) / f64::from(steps);
    let cell = mixture.cell(0);
    let at = |i: i32| {
        let x = low + (f64::from(i) + 0.5) * width;
        let step = if x >= y { 1. } else { 0. };
        (cell.cdf(x) - step).powi(2)
    };
    (0..steps).map(at).sum::<f64>() * width
}

/// N(0, 1): CRPS(0) = (√2 − 1) / √π, and at y = 1 the formula of ALGORITHMS with Φ(1) and φ(1) from tables.
#[test]
fn a_gaussian_by_hand() {
    let standard = of(Family::Gaussian, &[(0., 1.)]);
    let root_pi = std::f64::consts::PI.sqrt();
    close(score(&standard, Score::Crps, 0.), (2f64.sqrt() - 1.) / root_pi, 1e-14, "crps at 0");
    let (cdf, density) = (0.841_344_746_068_542_9, 0.241_970_724_519_143_37);
    close(
        score(&standard, Score::Crps, 1.),
        (2. * cdf - 1.) + 2. * density - 1. / root_pi,
        1e-14,
        "crps at 1",
    );
    close(score(&standard, Score::Nll, 2.), 0.5 * (2. * std::f64::consts::PI).ln() + 2., 1e-14, "nll");
    let (low, high) = standard.interval(0.95).unwrap();
    close(one(Ok(high)), 1.959_963_984_540_054, 1e-14, "upper");
    close(one(Ok(low)), -1.959_963_984_540_054, 1e-14, "lower");
    // Inside, the score is the width; outside, 2 / α times the distance is added.
    let width = 2. * 1.959_963_984_540_054;
    close(score(&standard, Score::Interval { level: 0.95 }, 1.), width, 1e-12, "inside");
    let outside = width + 40. * (3. - 1.959_963_984_540_054);
    close(score(&standard, Score::Interval { level: 0.95 }, 3.), outside, 1e-10, "outside");
    assert_eq!(score(&standard, Score::Coverage { level: 0.95 }, 1.9), 1.);
    assert_eq!(score(&standard, Score::Coverage { level: 0.95 }, 2.), 0.);
    close(score(&standard, Score::Pinball { level: 0.975 }, 0.), 0.025 * 0.5 * width, 1e-13, "pinball");
    // The scale and the shift of the targets.
    close(
        score(&of(Family::Gaussian, &[(5., 3.)]), Score::Crps, 5.),
        3. * (2f64.sqrt() - 1.) / root_pi,
        1e-14,
        "scaled",
    );
}

/// Laplace(0, 1): CRPS(0) = 1 − 3/4, its quantiles are logarithms.
#[test]
fn a_laplace_distribution_by_hand() {
    let standard = of(Family::Laplace, &[(0., 1.)]);
    close(score(&standard, Score::Crps, 0.), 0.25, 1e-14, "crps");
    close(one(standard.quantile(0.9)), -(0.2f64).ln(), 1e-13, "quantile");
    close(score(&standard, Score::Nll, -3.), 3. + 2f64.ln(), 1e-14, "nll");
    assert_eq!(one(standard.variance()), 2.);
}

#[test]
fn a_mixture_by_hand() {
    let mixture = of(Family::Gaussian, &[(0., 1.), (4., 3.)]).with_weights(&[3., 1.]).unwrap();
    assert_eq!(mixture.weights(), [0.75, 0.25]);
    assert_eq!((mixture.members(), mixture.rows(), mixture.outputs()), (2, 1, 1));
    assert_eq!(one(mixture.mean()), 1.);
    assert_eq!(one(mixture.aleatoric()), 0.75 + 0.25 * 9.);
    assert_eq!(one(mixture.epistemic()), 0.75 + 0.25 * 9.);
    assert_eq!(one(mixture.variance()), 6.);
    let density = |x: f64, m: f64, s: f64| {
        (-(x - m) * (x - m) / (2. * s * s)).exp() / (s * (2. * std::f64::consts::PI).sqrt())
    };
    let nll = -(0.75 * density(2., 0., 1.) + 0.25 * density(2., 4., 3.)).ln();
    close(score(&mixture, Score::Nll, 2.), nll, 1e-14, "nll");
    // Far out the sum of the densities would be 0.
    close(
        score(&mixture, Score::Nll, 1e3),
        -(0.25f64.ln() - 3f64.ln() - 0.5 * (2. * std::f64::consts::PI).ln() - 332f64.powi(2) / 2.),
        1e-12,
        "far",
    );
    let matched = mixture.moment_matched().unwrap();
    assert_eq!((one(matched.mean()), matched.members()), (1., 1));
    close(one(matched.variance()), 6., 1e-14, "matched");
    let second = mixture.member(1).unwrap();
    assert_eq!((one(second.mean()), one(second.variance()), one(second.epistemic())), (4., 9., 0.));
    assert!(mixture.member(2).is_err());
}

/// One member that is a mixture and two members with the same weights are the same distribution; only the division of
/// the variance differs.
#[test]
fn components_and_members_are_the_same_mixture() {
    let members = of(Family::StudentT { degrees_of_freedom: 4. }, &[(0., 1.), (4., 3.)])
        .with_weights(&[3., 1.])
        .unwrap();
    let tensor = |numbers: [f64; 2]| Tensor::new(&numbers, CPU).unwrap().reshape((1, 1, 1, 2)).unwrap();
    let family = Family::StudentT { degrees_of_freedom: 4. };
    let components =
        Mixture::of_components(family, &tensor([3., 1.]), &tensor([0., 4.]), &tensor([1., 3.])).unwrap();
    close(one(components.variance()), one(members.variance()), 1e-14, "variance");
    assert_eq!(one(components.epistemic()), 0.);
    for y in [-2., 1.5] {
        for s in [Score::Nll, Score::Crps, Score::Pinball { level: 0.2 }] {
            close(score(&components, s, y), score(&members, s, y), 1e-13, (s, y));
        }
    }
}

#[test]
fn crps_is_its_definition_for_every_kind() {
    let levels = Levels::new(&[0.1, 0.4, 0.7]).unwrap();
    let quantiles =
        Tensor::new(&[[-1f64, 0.5, 2.], [0.25, 0., 3.]], CPU).unwrap().reshape((2, 1, 1, 3)).unwrap();
    let members = [(0., 1.), (3., 0.4), (-1., 2.)];
    for mixture in [
        of(Family::Gaussian, &members),
        of(Family::Laplace, &members),
        of(Family::StudentT { degrees_of_freedom: 6. }, &members),
        Mixture::of_quantiles(levels, &quantiles).unwrap(),
    ] {
        let mixture =
            if mixture.members() == 3 { mixture.with_weights(&[1., 2., 5.]).unwrap() } else { mixture };
        for y in [-2., 0.3, 2.9] {
            close(score(&mixture, Score::Crps, y), crps_by_definition(&mixture, y), 2e-3, (&mixture, y));
        }
    }
}

#[test]
fn quantiles_have_moments_and_a_distribution_function_but_no_density() {
    let levels = Levels::new(&[0.25, 0.75]).unwrap();
    // The second member's quantiles are crossed.
    let quantiles = Tensor::new(&[[0f64, 1.], [3., 2.]], CPU).unwrap().reshape((2, 1, 1, 2)).unwrap();
    let mixture = Mixture::of_quantiles(levels, &quantiles).unwrap();
    close(one(mixture.mean()), 1.5, 1e-15, "mean");
    close(one(mixture.epistemic()), 1., 1e-15, "epistemic");
    close(one(mixture.aleatoric()), 0.125 + 0.5 / 12., 1e-15, "aleatoric");
    let member = mixture.member(0).unwrap();
    close(one(member.quantile(0.5)), 0.5, 1e-14, "median");
    assert_eq!((one(member.quantile(0.1)), one(member.quantile(0.9))), (0., 1.));
    close(one(mixture.cdf(&table(&[1.]))), 0.5, 1e-15, "cdf");
    let e = mixture.score(Score::Nll, &table(&[1.]), None).unwrap_err().to_string();
    assert!(e.contains("Score::Crps, Score::Pinball or Score::Interval for quantiles"), "{e}");
    assert!(mixture.score(Score::Crps, &table(&[1.]), None).is_ok());
}

/// The cells of rows and outputs are not mixed up, and rows count by their weights.
/// `1e12 ± 1e-6` are one number of f64. The quantiles are near it, and are found.
#[test]
fn quantiles_of_a_scale_that_vanishes_beside_its_location() {
    for location in [1e12, -1e12] {
        let point = of(Family::Gaussian, &[(location, 1e-6)]);
        for p in [1e-6, 0.05, 0.5, 0.95] {
            close(one(point.quantile(p)), location, 1e-15, p);
        }
    }
}

#[test]
fn rows_outputs_and_weights() {
    let locations = Tensor::arange(0f64, 12., CPU).unwrap().reshape((2, 3, 2)).unwrap();
    let scales = locations.affine(0.5, 1.).unwrap();
    let mixture = Mixture::new(Family::Gaussian, &locations, &scales).unwrap();
    assert_eq!(mixture.mean().unwrap().to_vec2::<f64>().unwrap(), [[3., 4.], [5., 6.], [7., 8.]]);
    assert_eq!(mixture.epistemic().unwrap().to_vec2::<f64>().unwrap(), [[9.; 2]; 3]);
    let targets = Tensor::new(&[[1f64, 4.], [0., 6.], [7., 9.]], CPU).unwrap();
    let cells = mixture.scores(Score::Crps, &targets).unwrap().to_vec2::<f64>().unwrap();
    for (row, of_row) in cells.iter().enumerate() {
        for (output, got) in of_row.iter().enumerate() {
            let part = |x: &Tensor| x.to_vec3::<f64>().unwrap();
            let (m, s) = (part(&locations), part(&scales));
            let alone = of(Family::Gaussian, &[0, 1].map(|k: usize| (m[k][row][output], s[k][row][output])));
            let y = targets.to_vec2::<f64>().unwrap()[row][output];
            close(*got, score(&alone, Score::Crps, y), 1e-15, (row, output));
        }
    }
    let weighted = mixture.score(Score::Crps, &targets, Some(&[0., 1., 3.])).unwrap();
    let by_hand = (cells[1].iter().sum::<f64>() + 3. * cells[2].iter().sum::<f64>()) / 8.;
    close(weighted, by_hand, 1e-14, "weights");
}

#[test]
fn what_does_not_fit_is_named() {
    let ones = Tensor::ones((2, 3, 1), DType::F64, CPU).unwrap();
    let refused = |made: Result<Mixture>, words: &str| {
        let e = made.unwrap_err().to_string();
        assert!(e.contains(words), "{e}");
    };
    let gaussian = |m: &Tensor, s: &Tensor| Mixture::new(Family::Gaussian, m, s);
    refused(
        gaussian(&ones, &ones.narrow(1, 0, 2).unwrap()),
        "the shape of the scales must be that of the locations",
    );
    refused(
        gaussian(&ones, &ones.zeros_like().unwrap()),
        "a scale of row 0 must be positive and finite, but is 0",
    );
    refused(gaussian(&(&ones * f64::NAN).unwrap(), &ones), "a location of row 0 must be finite, but is NaN");
    refused(
        gaussian(&ones.narrow(0, 0, 1).unwrap().squeeze(0).unwrap(), &ones),
        "the shape of the locations",
    );
    let t = Family::StudentT { degrees_of_freedom: 1. };
    refused(Mixture::new(t, &ones, &ones), "above 2");
    let mixture = gaussian(&ones, &ones).unwrap();
    refused(mixture.clone().with_weights(&[1.]), "the number of weights must be 2");
    refused(mixture.clone().with_weights(&[1., -1.]), "at least 0");
    let shape = |x: &Tensor| mixture.score(Score::Crps, x, None).unwrap_err().to_string();
    assert!(shape(&Tensor::zeros(2, DType::F64, CPU).unwrap()).contains("of shape [3, 1]"));
    assert!(shape(&Tensor::new(&[0f64, f64::NAN, 0.], CPU).unwrap())
        .contains("the targets, row 1, column 0 must be finite"));
    let good = Tensor::zeros(3, DType::F64, CPU).unwrap();
    assert!(mixture.score(Score::Pinball { level: 1. }, &good, None).is_err());
    assert!(mixture.score(Score::Crps, &good, Some(&[1., 1.])).is_err());
    assert!(mixture.quantile(0.).is_err() && mixture.interval(1.).is_err());
    for text in ["pinball:0", "interval:1", "coverage:2", "nll:1"] {
        assert!(Score::registry().parse(text).is_err(), "{text}");
    }
}

/// Rows of mixtures of every kind, against mixtures of the same numbers in another order.
#[test]
fn rows_are_selected_with_all_their_numbers() {
    let numbers = |rows: &[u32], from: f64| {
        let numbers = (0..2).flat_map(|member: u32| {
            rows.iter().flat_map(move |row| (0..6).map(move |i| from + f64::from(row * 12 + member * 6 + i)))
        });
        Tensor::from_iter(numbers, CPU).unwrap().reshape((2, rows.len(), 2, 3)).unwrap()
    };
    let levels = Levels::new(&[0.2, 0.5, 0.9]).unwrap();
    let components = |rows: &[u32]| {
        let [shares, locations, scales] = [0.5, 1., 2.].map(|from| numbers(rows, from));
        Mixture::of_components(Family::Laplace, &shares, &locations, &scales).unwrap()
    };
    let located = |rows: &[u32]| {
        let [locations, scales] = [1., 2.].map(|from| numbers(rows, from).sum(3).unwrap());
        Mixture::new(Family::Gaussian, &locations, &scales).unwrap()
    };
    let quantiles = |rows: &[u32]| Mixture::of_quantiles(levels, &numbers(rows, 1.)).unwrap();
    type Kind<'k> = &'k dyn Fn(&[u32]) -> Mixture;
    let kinds: [Kind<'_>; 3] = [&components, &located, &quantiles];
    for kind in kinds {
        let all = kind(&[0, 1, 2, 3]).with_weights(&[3., 1.]).unwrap();
        let some = all.select_rows(&[2, 0, 2]).unwrap();
        assert_eq!(some, kind(&[2, 0, 2]).with_weights(&[3., 1.]).unwrap());
        assert!(all.select_rows(&[4]).unwrap_err().to_string().contains("must be below 4, but is 4"));
        assert!(all.select_rows(&[]).is_err());
    }
}

fn family() -> impl Strategy<Value = Family> {
    let t = (2.1..40f64).prop_map(|degrees_of_freedom| Family::StudentT { degrees_of_freedom });
    prop_oneof![Just(Family::Gaussian), Just(Family::Laplace), t]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The quantile inverts the distribution function, from far left to far right, also for members of unlike scales.
    #[test]
    fn quantiles_invert_the_distribution_function(
        family in family(),
        members in prop::collection::vec((-50f64..50., -3f64..3.), 1..6),
        p in prop_oneof![1e-6..1e-3, 0.001..0.999, 0.999..0.999_999],
    ) {
        let members: Vec<_> = members.into_iter().map(|(m, s)| (m, 10f64.powf(s))).collect();
        let mixture = of(family, &members);
        let q = one(mixture.quantile(p));
        prop_assert!((mixture.cell(0).cdf(q) - p).abs() < 1e-9, "{q}: {} for {p}", mixture.cell(0).cdf(q));
    }

    /// The scores are proper: no shifted or stretched distribution has a lower expected score, here over the quantiles of the
    /// true one.
    #[test]
    fn the_true_distribution_has_the_least_expected_score(
        family in family(), shift in 0.05..1f64, stretch in prop_oneof![0.4..0.8f64, 1.25..2.5],
    ) {
        let (truth, other) = (of(family, &[(0., 1.)]), of(family, &[(shift, stretch)]));
        let draws: Vec<f64> = (0..400).map(|i| truth.cell(0).quantile((f64::from(i) + 0.5) / 400.)).collect();
        for s in [Score::Nll, Score::Crps, Score::Pinball { level: 0.3 }, Score::Interval { level: 0.8 }] {
            let expected = |mixture: &Mixture| draws.iter().map(|y| s.of(&mixture.cell(0), *y)).sum::<f64>();
            // The draws are a grid, so their best quantile is beside the true one by less than a step.
            prop_assert!(expected(&truth) < expected(&other) + 0.05, "{s:?}");
        }
    }

    /// The law of total variance, and that the CRPS is never above the mean CRPS of the members.
    #[test]
    fn variances_add_up_and_mixing_does_not_harm(
        family in family(), members in prop::collection::vec((-3f64..3., 0.2f64..3.), 2..5), y in -4f64..4.,
    ) {
        let mixture = of(family, &members);
        let (aleatoric, epistemic) = (one(mixture.aleatoric()), one(mixture.epistemic()));
        prop_assert!((one(mixture.variance()) - aleatoric - epistemic).abs() < 1e-12);
        prop_assert!(epistemic >= 0.);
        for s in [Score::Nll, Score::Crps] {
            let each = members.iter().map(|member| score(&of(family, &[*member]), s, y)).sum::<f64>();
            prop_assert!(score(&mixture, s, y) <= each / members.len() as f64 + 1e-9, "{s:?}");
        }
    }
}
