//! The losses of distributions and of quantiles: against hand-computed cases, the densities of `distribution::Family`,
//! finite differences, and each other.
use crate::{
    data::Task,
    distribution::{positive, Family, Levels},
    network::Output,
    train::loss::*,
    Error,
};
use candle_core::{Device, Var};
use rand::Rng;
use std::f64::consts::PI;

const CPU: &Device = &Device::Cpu;
const ONE: Task = Task::Regression { outputs: 1 };

fn kinds() -> Vec<Output> {
    let levels = |levels: &[f64]| Output::Quantiles { levels: Levels::new(levels).unwrap() };
    vec![
        Output::Gaussian,
        Output::Laplace,
        Output::StudentT { degrees_of_freedom: 3.5 },
        Output::GaussianMixture { components: 1 },
        Output::GaussianMixture { components: 3 },
        levels(&[0.3]),
        levels(&[0.05, 0.5, 0.9]),
    ]
}

fn loss(kind: Output) -> Loss {
    Loss::default_for(ONE, kind, 2)
}

type Path = fn(Loss, &Tensor, &Tensor, Option<&Tensor>) -> CResult<Tensor>;

const PATHS: [Path; 2] = [
    |loss, output, targets, weights| loss.mean(output, targets, weights),
    |loss, output, targets, weights| {
        let weights = weights.map(|w| normalized(w, output.dims()[0])).transpose()?;
        loss.composed_mean(output, targets, weights)
    },
];

fn value_and_gradient(path: Path, loss: Loss, x: &Tensor, y: &Tensor, w: Option<&Tensor>) -> (f64, Vec<f64>) {
    let x = Var::from_tensor(x).unwrap();
    let value = path(loss, &x, y, w).unwrap();
    let gradients = value.backward().unwrap();
    let gradient = gradients.get(&x).unwrap().flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    (value.to_dtype(DType::F64).unwrap().to_scalar().unwrap(), gradient.to_vec1().unwrap())
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: impl std::fmt::Debug) {
    assert_eq!(got.len(), expected.len(), "{what:?}");
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= tolerance * e.abs().max(1.), "{what:?}: {got:?} against {expected:?}");
    }
}

/// Outputs and targets of 5 rows of 2 values, and weights.
fn batch(kind: Output, seed: u64) -> [Tensor; 3] {
    let mut rng = crate::Seed::from(seed).rng();
    let mut draw = |columns: usize| {
        let numbers: Vec<f64> = (0..5 * columns).map(|_| rng.random_range(-2.0..2.0)).collect();
        Tensor::from_vec(numbers, (5, columns), CPU).unwrap()
    };
    let weights = Tensor::new(&[1f64, 0.5, 0., 2., 3.], CPU).unwrap();
    [draw(2 * kind.numbers_per_value()), draw(2), weights]
}

/// The raw output whose softplus and floor give this scale.
fn raw(scale: f64) -> f64 {
    (scale - 1e-6).exp_m1().ln()
}

#[test]
fn likelihoods_by_hand() {
    // Means 1 and −1, variances 4 and 9, targets 3 and −1.
    let x = Tensor::new(&[[1f64, -1., raw(4.), raw(9.)]], CPU).unwrap();
    let y = Tensor::new(&[[3f64, -1.]], CPU).unwrap();
    for path in PATHS {
        let (value, gradient) = value_and_gradient(path, Loss::GaussianNll, &x, &y, None);
        let by_hand = 0.5 * (0.5 * (8. * PI).ln() + 0.5 + 0.5 * (18. * PI).ln());
        assert_close(&[value], &[by_hand], 1e-12, "gaussian");
        // d/dm = (m − y) / v; d/dv = ½ (1/v − (m − y)² / v²); dv/dt = 1 − e^−softplus(t).
        let slope = |v: f64| 1. - (-(v - 1e-6)).exp();
        let of_variance = |v: f64, d: f64| 0.25 * (1. / v - d * d / (v * v)) * slope(v);
        let by_hand = [-0.25, 0., of_variance(4., 2.), of_variance(9., 0.)];
        assert_close(&gradient, &by_hand, 1e-12, "gaussian gradient");

        let (value, _) = value_and_gradient(path, Loss::LaplaceNll, &x, &y, None);
        assert_close(&[value], &[0.5 * (8f64.ln() + 0.5 + 18f64.ln())], 1e-12, "laplace");

        // One output, two components: the density is the weighted sum.
        let x = Tensor::new(&[[3f64.ln(), 0., 0., 4., raw(1.), raw(9.)]], CPU).unwrap();
        let y = Tensor::new(&[2f64], CPU).unwrap();
        let density = |m: f64, v: f64| (-(2. - m) * (2. - m) / (2. * v)).exp() / (2. * PI * v).sqrt();
        let by_hand = -(0.75 * density(0., 1.) + 0.25 * density(4., 9.)).ln();
        let (value, _) = value_and_gradient(path, Loss::GaussianMixtureNll { components: 2 }, &x, &y, None);
        assert_close(&[value], &[by_hand], 1e-12, "mixture");

        // Excesses 1, 0 and −2 over the quantiles of the levels 0.1, 0.5 and 0.9.
        let levels = Levels::new(&[0.1, 0.5, 0.9]).unwrap();
        let x = Tensor::new(&[[1f64, 2., 4.]], CPU).unwrap();
        let (value, gradient) = value_and_gradient(path, Loss::Pinball { levels }, &x, &y, None);
        assert_close(&[value], &[(0.1 + 0.2) / 3.], 1e-14, "pinball");
        assert_close(&gradient, &[-0.1 / 3., 0., 0.1 / 3.], 1e-14, "pinball gradient");
    }
}

/// The layout of the columns: means of all values first, then scales.
#[test]
fn likelihoods_are_those_of_the_families() {
    for (kind, family) in [
        (Output::Gaussian, Family::Gaussian),
        (Output::Laplace, Family::Laplace),
        (Output::StudentT { degrees_of_freedom: 3.5 }, Family::StudentT { degrees_of_freedom: 3.5 }),
    ] {
        let [x, y, _] = batch(kind, 1);
        let (rows, targets) = (x.to_vec2::<f64>().unwrap(), y.to_vec2::<f64>().unwrap());
        let each = rows.iter().zip(&targets).flat_map(|(x, y)| {
            [0, 1].map(|k| {
                let scale = positive(x[2 + k]).0;
                let scale = if kind == Output::Gaussian { scale.sqrt() } else { scale };
                -family.ln_density(y[k], x[k], scale)
            })
        });
        let expected = each.sum::<f64>() / 10.;
        for path in PATHS {
            assert_close(&[value_and_gradient(path, loss(kind), &x, &y, None).0], &[expected], 1e-12, kind);
        }
    }
}

#[test]
fn one_component_is_a_gaussian() {
    let [x, y, w] = batch(Output::Gaussian, 3);
    let logits = Tensor::new(&[[0.3f64, -1.]], CPU).unwrap().repeat((5, 1)).unwrap();
    let mixed = Tensor::cat(&[&logits, &x], 1).unwrap();
    let (value, gradient) = value_and_gradient(PATHS[0], Loss::GaussianNll, &x, &y, Some(&w));
    let mixture = Loss::GaussianMixtureNll { components: 1 };
    let (value2, gradient2) = value_and_gradient(PATHS[0], mixture, &mixed, &y, Some(&w));
    assert_close(&[value2], &[value], 1e-13, "value");
    let others: Vec<f64> = gradient2.chunks(6).flat_map(|row| row[2..].to_vec()).collect();
    assert_close(&others, &gradient, 1e-13, "gradient");
    assert!(gradient2.chunks(6).all(|row| row[..2].iter().all(|g| g.abs() < 1e-15)));
}

#[test]
fn gradients_equal_finite_differences_and_both_paths_agree() {
    const H: f64 = 1e-6;
    for kind in kinds() {
        for seed in 0..4 {
            let [x, y, w] = batch(kind, seed);
            for w in [None, Some(&w)] {
                let (value, gradient) = value_and_gradient(PATHS[0], loss(kind), &x, &y, w);
                let (value2, gradient2) = value_and_gradient(PATHS[1], loss(kind), &x, &y, w);
                assert_close(&[value2], &[value], 1e-12, kind);
                assert_close(&gradient2, &gradient, 1e-11, kind);
                let numbers: Vec<f64> = x.flatten_all().unwrap().to_vec1().unwrap();
                let at = |i: usize, by: f64| {
                    let mut numbers = numbers.clone();
                    numbers[i] += by;
                    let moved = Tensor::from_vec(numbers, x.shape(), CPU).unwrap();
                    loss(kind).mean(&moved, &y, w).unwrap().to_scalar::<f64>().unwrap()
                };
                for (i, g) in gradient.iter().enumerate() {
                    let slope = (at(i, H) - at(i, -H)) / (2. * H);
                    assert!((slope - g).abs() < 1e-7, "{kind:?} {i}: {slope} against {g}");
                }
            }
        }
    }
}

#[test]
fn precisions_weights_nan_and_extreme_outputs() {
    for kind in kinds() {
        let [x, y, w] = batch(kind, 9);
        let (value, gradient) = value_and_gradient(PATHS[0], loss(kind), &x, &y, Some(&w));
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F16, 3e-2)] {
            let low = x.to_dtype(dtype).unwrap();
            let (v, g) = value_and_gradient(PATHS[0], loss(kind), &low, &y, Some(&w));
            assert_close(&[v], &[value], tolerance, (kind, dtype));
            assert_close(&g, &gradient, tolerance, (kind, dtype));
        }
        let none = w.zeros_like().unwrap();
        for path in PATHS {
            let (value, gradient) = value_and_gradient(path, loss(kind), &x, &y, Some(&none));
            assert!(value == 0. && gradient.iter().all(|g| *g == 0.), "{kind:?}");
            assert!(value_and_gradient(path, loss(kind), &(&x * f64::NAN).unwrap(), &y, None).0.is_nan());
            // The least variance is that of the floor.
            for size in [-300., 300.] {
                let far = x.ones_like().unwrap().affine(size, 0.).unwrap();
                let (value, gradient) = value_and_gradient(path, loss(kind), &far, &y, None);
                assert!(
                    value.is_finite() && gradient.iter().all(|g| g.is_finite()),
                    "{kind:?} {size}: {value}"
                );
            }
        }
    }
}

#[test]
fn each_loss_goes_with_its_output_alone() {
    for kind in kinds() {
        assert!(loss(kind).check_fit(ONE, kind).is_ok(), "{kind:?}");
        for other in kinds().into_iter().filter(|other| *other != kind) {
            assert!(loss(kind).check_fit(ONE, other).is_err(), "{kind:?} {other:?}");
        }
        let one_level = loss(kind).check_fit(ONE, Output::Logits).is_ok();
        assert_eq!(one_level, matches!(kind, Output::Quantiles { .. }) && kind.numbers_per_value() == 1);
        let classes = Task::Classification { classes: 2 };
        assert!(loss(kind).check_fit(classes, Output::Logits).is_err());
        assert!(kind.check(classes).is_err() && kind.check(ONE).is_ok());
        for values in [Loss::MeanSquared, Loss::Huber { delta: 1. }, Loss::Hinge] {
            let e = values.check_fit(ONE, kind).unwrap_err().to_string();
            assert!(e.contains("that of the distribution that the network outputs"), "{e}");
        }
    }
    let e = Loss::GaussianNll.check_fit(ONE, Output::Logits).unwrap_err().to_string();
    assert_eq!(e, "the loss must be used with Output::Gaussian, but is GaussianNll for one value");
}

#[test]
fn invalid_input_is_named() {
    let refused = |loss: Loss, x: (usize, usize), y: (usize, usize), words: &str| {
        let zeros = |shape| Tensor::zeros(shape, DType::F64, CPU).unwrap();
        for path in PATHS {
            let e = Error::from(path(loss, &zeros(x), &zeros(y), None).unwrap_err()).to_string();
            assert!(e.contains(words), "{e}");
        }
    };
    refused(Loss::GaussianNll, (3, 2), (3, 2), "[3, 4]: 2 for each of the 2 targets of a row");
    refused(Loss::GaussianMixtureNll { components: 2 }, (3, 2), (3, 1), "[3, 6]");
    refused(Loss::LaplaceNll, (2, 2), (3, 1), "[3, 2]");
    for (loss, words) in [
        (Loss::StudentTNll { degrees_of_freedom: 2. }, "above 2"),
        (Loss::GaussianMixtureNll { components: 0 }, "components must be at least 1"),
    ] {
        assert!(loss.check().unwrap_err().to_string().contains(words));
    }
    for text in ["pinball:0.9,0.1", "pinball:1", "student-t-nll:1", "gaussian-mixture-nll:-1"] {
        let parsed = Loss::registry().parse(text);
        assert!(parsed.map_or(true, |loss| loss.check().is_err()), "{text}");
    }
    let levels = Levels::new(&[0.1, 0.9]).unwrap();
    assert_eq!(Loss::registry().parse("pinball:0.1,0.9").unwrap(), Loss::Pinball { levels });
}

#[test]
fn they_survive_serde() {
    for kind in kinds() {
        let json = serde_json::to_string(&(kind, loss(kind))).unwrap();
        assert_eq!(serde_json::from_str::<(Output, Loss)>(&json).unwrap(), (kind, loss(kind)));
        let bytes = crate::codec::encode(&loss(kind)).unwrap();
        assert_eq!(crate::codec::decode::<Loss>(&bytes).unwrap(), loss(kind));
    }
}
