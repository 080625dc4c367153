use super::*;
use crate::{Result, Seed};
use candle_core::{backprop::GradStore, Device, Tensor, Var};
use proptest::prelude::*;

fn tensor(numbers: &[f64], dims: &[usize]) -> Tensor {
    Tensor::from_slice(numbers, dims, &Device::Cpu).unwrap()
}

fn flat(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// The gradients of `Σ (w · x − y)²` of linear rows by their inputs.
fn gradients(x: &Var, (w, y): (&Tensor, &Tensor)) -> Result<GradStore> {
    let loss = (x.broadcast_mul(w)?.sum(1)? - y)?.sqr()?.sum_all()?;
    Ok(loss.backward()?)
}

/// The inputs `x` after the moves of a method, for a linear model with squared errors.
fn moved(method: Adversarial, x: &Tensor, model: (&Tensor, &Tensor), range: &Tensor, seed: u64) -> Vec<f64> {
    let inputs = Var::from_tensor(x).unwrap();
    let clean = gradients(&inputs, model).unwrap();
    let moves = Moves::new(method, range).unwrap();
    let moved = moves.moved(&inputs, &clean, Seed::from(seed), |x| gradients(x, model)).unwrap();
    flat(moved.only().unwrap())
}

/// `f = 2 x₀ − x₁` with the target 0 and ranges 1 and 10. From (1, 1), where `f = 1`, the gradient has the signs (+, −), so
/// each step adds 0.04 and −0.4 until the box ends at 0.1 and −1.
#[test]
fn steps_by_hand_end_at_the_box() {
    let (x, w, y) = (tensor(&[1., 1.], &[1, 2]), tensor(&[2., -1.], &[1, 2]), tensor(&[0.], &[1]));
    let range = tensor(&[1., 10.], &[1, 2]);
    let method = ProjectedGradient::new(0.1).step_size(0.04).random_start(false);
    for (steps, by) in [(1, 0.04), (2, 0.08), (3, 0.1), (9, 0.1)] {
        let got = moved(method.steps(steps).into(), &x, (&w, &y), &range, 1);
        assert!((got[0] - (1. + by)).abs() < 1e-12 && (got[1] - (1. - 10. * by)).abs() < 1e-12, "{got:?}");
    }
    // Limits of the inputs hold after each step.
    let got = moved(method.steps(9).limits(0.5, 1.05).into(), &x, (&w, &y), &range, 1);
    assert!((got[0] - 1.05).abs() < 1e-12 && (got[1] - 0.5).abs() < 1e-12, "{got:?}");
}

/// From (0.01, 0) `f = 2 x₀ − x₁` with the target 0 can grow in both directions: a step beyond the target turns back.
#[test]
fn each_step_has_a_gradient_of_its_own() {
    let (w, y) = (tensor(&[1.], &[1, 1]), tensor(&[0.05], &[1]));
    let range = tensor(&[1.], &[1, 1]);
    // x = 0 is below the target 0.05, so the loss grows to the left.
    let left = ProjectedGradient::new(0.1).steps(3).step_size(0.03).random_start(false);
    assert!((moved(left.into(), &tensor(&[0.], &[1, 1]), (&w, &y), &range, 1)[0] + 0.09).abs() < 1e-12);
    // A random start may be above the target, and then the loss grows to the right.
    let random = ProjectedGradient::new(0.1).steps(4).step_size(0.06);
    let ends: Vec<f64> = (0..20)
        .map(|seed| moved(random.into(), &tensor(&[0.], &[1, 1]), (&w, &y), &range, seed)[0])
        .collect();
    assert!(ends.contains(&0.1) && ends.contains(&-0.1), "{ends:?}");
}

proptest! {
    #[test]
    fn one_step_of_the_size_of_the_radius_is_the_fast_gradient_sign(
        numbers in prop::collection::vec(-3f64..3., 12),
        ranges in prop::collection::vec(0f64..4., 3),
        epsilon in 0.001f64..0.5,
    ) {
        let (x, w) = (tensor(&numbers[..9], &[3, 3]), tensor(&numbers[9..], &[1, 3]));
        let (y, range) = (tensor(&numbers[..3], &[3]), tensor(&ranges, &[1, 3]));
        let one = ProjectedGradient::new(epsilon).steps(1).step_size(epsilon).random_start(false);
        let by_sign = moved(Adversarial::fast_gradient_sign(epsilon), &x, (&w, &y), &range, 1);
        prop_assert_eq!(moved(one.into(), &x, (&w, &y), &range, 2), by_sign);
    }

    #[test]
    fn moved_inputs_stay_in_the_box_and_in_their_limits(
        numbers in prop::collection::vec(-3f64..3., 12),
        ranges in prop::collection::vec(0f64..4., 3),
        (radius, steps, size) in (0.001f64..0.5, 1usize..6, 0.001f64..1.),
        random: bool,
        limited: bool,
        seed: u64,
    ) {
        let (x, w) = (tensor(&numbers[..9], &[3, 3]), tensor(&numbers[9..], &[1, 3]));
        let (y, range) = (tensor(&numbers[..3], &[3]), tensor(&ranges, &[1, 3]));
        let mut method = ProjectedGradient::new(radius).steps(steps).step_size(size).random_start(random);
        if limited {
            method = method.limits(-3., 3.);
        }
        let got = moved(method.into(), &x, (&w, &y), &range, seed);
        prop_assert_eq!(&got, &moved(method.into(), &x, (&w, &y), &range, seed));
        for (at, (x, got)) in numbers.iter().zip(&got).enumerate() {
            prop_assert!((x - got).abs() <= radius * ranges[at % 3] + 1e-12);
            prop_assert!(!limited || (-3. ..=3.).contains(got));
        }
    }

    #[test]
    fn a_method_is_read_as_it_is_written(
        (radius, steps) in (0.001f64..2., 1usize..20),
        size in prop::option::of(0.001f64..1.),
        random: bool,
        share in 0.01f64..=1.,
        limits in prop::option::of(-1f64..0.),
    ) {
        let mut method = ProjectedGradient::new(radius).steps(steps).random_start(random).share(share);
        method.step_size = size;
        method.limits = limits.map(|low| (low, 1.));
        for method in [method.into(), Adversarial::fast_gradient_sign(radius)] {
            prop_assert_eq!(Adversarial::registry().parse(&method.to_string()).unwrap(), method);
        }
    }
}

#[test]
fn gradients_are_mixed_by_their_shares() {
    let w = Var::new(&[1f64], &Device::Cpu).unwrap();
    let of = |factor: f64| (w.as_tensor() * factor).unwrap().sum_all().unwrap().backward().unwrap();
    let variables = [("w".to_string(), w.clone())];
    for (share, expected) in [(1., 5.), (0.5, 4.), (0.25, 3.5)] {
        let method = ProjectedGradient::new(0.1).share(share).into();
        let moves = Moves::new(method, &tensor(&[1.], &[1, 1])).unwrap();
        let mut gradients = of(3.);
        moves.mix(&mut gradients, &of(5.), &variables).unwrap();
        assert_eq!(flat(gradients.get(&w).unwrap()), [expected]);
    }
}

#[test]
fn bad_parameters_are_named() {
    let error = |method: ProjectedGradient| method.check().unwrap_err().to_string();
    assert!(error(ProjectedGradient::new(0.)).contains("ProjectedGradient::radius"));
    assert!(error(ProjectedGradient::new(0.1).steps(0)).contains("steps must be at least 1"));
    assert!(error(ProjectedGradient::new(0.1).step_size(-1.)).contains("step_size"));
    assert!(error(ProjectedGradient::new(0.1).share(0.)).contains("share must be above 0"));
    let limits = error(ProjectedGradient::new(0.1).limits(1., 1.));
    assert!(limits.ends_with("must be from a number to a larger one, but is from 1 to 1"), "{limits}");
    let e = Adversarial::registry().parse("pgd:0.1:low=0").unwrap_err().to_string();
    assert!(e.contains("given both"), "{e}");
    assert!(Adversarial::registry().parse("fgsm:-1").is_err());
}
