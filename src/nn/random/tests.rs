use super::*;
use crate::{
    weights::{fresh, InitScheme, Vars},
    Error,
};
use candle_core::{Module, ModuleT};
use candle_nn::linear;

type Layer = Box<dyn ModuleT>;
type Make = fn(VarBuilder<'_>) -> Result<Layer>;

fn boxed(layer: Result<impl ModuleT + 'static>) -> Result<Layer> {
    Ok(Box::new(layer?))
}

/// Every layer with randomness, and the shape of its inputs.
const LAYERS: &[(&str, &[usize], Make)] = &[
    ("dropout", &[6, 8], |vb| boxed(Dropout::new(0.4, vb))),
    ("spatial 1", &[3, 8, 2], |vb| boxed(SpatialDropout1d::new(0.4, vb))),
    ("spatial 2", &[3, 8, 2, 2], |vb| boxed(SpatialDropout2d::new(0.4, vb))),
    ("gaussian", &[6, 8], |vb| boxed(GaussianDropout::new(0.4, vb))),
    ("alpha", &[6, 8], |vb| boxed(AlphaDropout::new(0.4, vb))),
    ("drop connect", &[6, 8], |vb| boxed(DropConnect::new(8, 8, 0.4, vb))),
    ("noise", &[6, 8], |vb| boxed(GaussianNoise::new(0.4, vb))),
];

fn layer(make: Make, seed: u64, name: &str, dtype: DType) -> (Vars, Layer) {
    let (vars, vb) = fresh(Seed::from(seed), InitScheme::default(), dtype, &Device::Cpu);
    let layer = make(vb.pp(name)).unwrap();
    (vars, layer)
}

fn input(shape: &[usize], dtype: DType) -> Tensor {
    let n: usize = shape.iter().product();
    let numbers = (0..n).map(|i| ((7 * i + 3) % 11) as f64 / 4. - 1.);
    Tensor::from_iter(numbers, &Device::Cpu).unwrap().reshape(shape).unwrap().to_dtype(dtype).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A large output in training, for inputs of one value.
fn sample(layer: &dyn ModuleT, shape: &[usize], value: f64) -> Vec<f64> {
    let x = Tensor::full(value, shape, &Device::Cpu).unwrap();
    numbers(&layer.forward_t(&x, true).unwrap())
}

/// Mean, variance and fourth moment over the square of the variance.
fn moments(x: &[f64]) -> [f64; 3] {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let central = |power| x.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n;
    [mean, central(2), central(4) / central(2).powi(2)]
}

#[test]
fn draws_depend_on_seed_name_and_step_only() {
    for &(what, shape, make) in LAYERS {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            let x = input(shape, dtype);
            let passes = |seed, name| {
                let (vars, layer) = layer(make, seed, name, dtype);
                // The weights of DropConnect are drawn, too.
                for (name, var) in vars.named().into_iter().filter(|(_, var)| var.dtype().is_float()) {
                    let ones = var.ones_like().unwrap();
                    assert!(what == "drop connect", "{name}");
                    var.set(&ones).unwrap();
                }
                let y = layer.forward_t(&x, true).unwrap();
                assert_eq!((y.dtype(), y.dims()), (dtype, shape), "{what}");
                [y, layer.forward_t(&x, true).unwrap()].map(|y| numbers(&y))
            };
            let [first, second] = passes(1, "a");
            assert_eq!([first.clone(), second.clone()], passes(1, "a"), "{what}");
            assert_ne!(first, second, "{what}");
            assert_ne!(first, passes(2, "a")[0], "{what}");
            assert_ne!(first, passes(1, "b")[0], "{what}");
        }
    }
}

#[test]
fn evaluation_draws_nothing_and_draws_continue_from_the_variables() {
    for &(what, shape, make) in LAYERS {
        let x = input(shape, DType::F32);
        let (vars, first) = layer(make, 1, "a", DType::F32);
        first.forward_t(&x, true).unwrap();
        let kept = vars.snapshot().unwrap();
        assert_eq!(kept["a.step"].to_scalar::<u32>().unwrap(), 1, "{what}");
        let evaluated = first.forward_t(&x, false).unwrap();
        if what != "drop connect" {
            assert_eq!(numbers(&evaluated), numbers(&x), "{what}");
        }
        assert_eq!(vars.snapshot().unwrap()["a.step"].to_scalar::<u32>().unwrap(), 1, "{what}");
        let expected = numbers(&first.forward_t(&x, true).unwrap());
        let (vars, second) = layer(make, 2, "a", DType::F32);
        vars.load(&kept).unwrap();
        assert_eq!(numbers(&second.forward_t(&x, true).unwrap()), expected, "{what}");
    }
}

/// As dropout drew its masks from the first release on: stored trainings are resumed with the same masks.
#[test]
fn the_masks_of_dropout_never_change() {
    let make: Make = |vb| boxed(Dropout::new(0.3, vb));
    let (vars, dropout) = layer(make, 5, "a", DType::F32);
    let parts = vars.snapshot().unwrap()["a.seed"].to_vec1::<u32>().unwrap();
    for step in 0..3 {
        let mut seed = Seed::from(0);
        for part in &parts {
            seed = seed.child(&format!("dropout/{part}"));
        }
        let mut rng = seed.child(&format!("step/{step}")).rng();
        let limit = (0.3 * 4_294_967_296.) as u32;
        let kept = f64::from((1. / 0.7f64) as f32);
        let expected: Vec<f64> =
            (0..50).map(|_| if rng.random::<u32>() < limit { 0. } else { kept }).collect();
        assert_eq!(sample(&*dropout, &[50], 1.), expected);
    }
}

/// 200 000 draws each, within 5 standard deviations of the estimates. The seed is fixed.
#[test]
fn noise_has_the_moments_of_its_distribution() {
    let n = 200_000;
    let within = |got: f64, expected: f64, deviation: f64, what: &str| {
        assert!((got - expected).abs() < 5. * deviation / f64::from(n).sqrt(), "{what}: {got} {expected}");
    };
    for p in [0.1f64, 0.5] {
        let (_, vb) = fresh(7, InitScheme::default(), DType::F64, &Device::Cpu);
        let layer = GaussianDropout::new(p, vb).unwrap();
        let variance = p / (1. - p);
        let [mean, var, fourth] = moments(&sample(&layer, &[n as usize], 2.));
        within(mean, 2., 2. * variance.sqrt(), "mean");
        within(var, 4. * variance, 4. * variance * 2f64.sqrt(), "variance");
        within(fourth, 3., 24f64.sqrt(), "fourth moment");
    }
    for sigma in [0.1, 2.] {
        let (_, vb) = fresh(8, InitScheme::default(), DType::F64, &Device::Cpu);
        let layer = GaussianNoise::new(sigma, vb).unwrap();
        let [mean, var, fourth] = moments(&sample(&layer, &[n as usize], 3.));
        within(mean, 3., sigma, "mean");
        within(var, sigma * sigma, sigma * sigma * 2f64.sqrt(), "variance");
        within(fourth, 3., 24f64.sqrt(), "fourth moment");
    }
}

#[test]
fn whole_channels_are_dropped() {
    let (rows, channels) = (500, 40);
    for (rank, make) in [
        (3, (|vb| boxed(SpatialDropout1d::new(0.3, vb))) as Make),
        (4, |vb| boxed(SpatialDropout2d::new(0.3, vb))),
    ] {
        let (_, spatial) = layer(make, 3, "a", DType::F64);
        let shape: &[usize] = if rank == 3 { &[rows, channels, 6] } else { &[rows, channels, 2, 3] };
        let y = sample(&*spatial, shape, 7.);
        let kept = f64::from((1. / 0.7) as f32) * 7.;
        let channels = || y.chunks_exact(6);
        assert!(channels().all(|c| c == [0.; 6] || c == [kept; 6]));
        let dropped = channels().filter(|c| c[0] == 0.).count() as f64 / 20_000.;
        assert!((dropped - 0.3).abs() < 5. * (0.21f64 / 20_000.).sqrt(), "{dropped}");
        for wrong in [2, 7 - rank] {
            let e = Error::from(spatial.forward_t(&input(&vec![2; wrong], DType::F32), false).unwrap_err());
            assert!(e.to_string().contains("the shape of the inputs of SpatialDropout"), "{e}");
        }
    }
}

/// The three values are PyTorch's; see tests/reference/layers.py.
#[test]
fn alpha_dropout_is_that_of_pytorch_and_keeps_mean_and_variance() {
    let (_, alpha) = layer(|vb| boxed(AlphaDropout::new(0.2, vb)), 1, "a", DType::F64);
    let n = 100_000;
    for (value, kept) in [(0., 0.3090399621), (1., 1.187943546)] {
        let y = sample(&*alpha, &[n], value);
        let is = |y: &f64, expected: f64| (y - expected).abs() < 1e-9;
        assert!(y.iter().all(|y| is(y, -1.236159849) || is(y, kept)));
        let dropped = y.iter().filter(|y| **y < 0.).count() as f64 / n as f64;
        assert!((dropped - 0.2).abs() < 5. * (0.16 / n as f64).sqrt(), "{dropped}");
    }
    // Standard normal inputs: the mean of 10⁵ outputs has a deviation of 0.003, their variance one below 0.006.
    let (_, vb) = fresh(2, InitScheme::default(), DType::F64, &Device::Cpu);
    let noise = sample(&GaussianNoise::new(1., vb).unwrap(), &[n], 0.);
    let x = Tensor::new(noise, &Device::Cpu).unwrap();
    let [mean, var, _] = moments(&numbers(&alpha.forward_t(&x, true).unwrap()));
    assert!(mean.abs() < 0.015 && (var - 1.).abs() < 0.03, "{mean} {var}");
}

#[test]
fn drop_connect_is_linear_and_its_mean_over_masks_is_the_evaluation() {
    let (vars, vb) = fresh(3, InitScheme::default(), DType::F64, &Device::Cpu);
    let layer = DropConnect::new(8, 5, 0.3, vb.pp("a")).unwrap();
    let plain = linear(8, 5, vb.pp("a")).unwrap();
    let x = input(&[6, 8], DType::F64);
    let evaluated = layer.forward_t(&x, false).unwrap();
    assert_eq!(numbers(&evaluated), numbers(&plain.forward(&x).unwrap()));
    assert_eq!(vars.named().len(), 4);
    // The inputs are the unit vectors, so the outputs are the dropped weights and the biases.
    let (weight, bias) = (layer.linear().weight(), layer.linear().bias().unwrap());
    let unit = Tensor::eye(8, DType::F64, &Device::Cpu).unwrap();
    let (mut dropped, mut mean, passes) = (0, vec![0.; 40], 2000);
    for _ in 0..passes {
        let y = layer.forward_t(&unit, true).unwrap().broadcast_sub(bias).unwrap();
        let (y, weight) = (numbers(&y), numbers(&weight.t().unwrap()));
        for ((y, w), mean) in y.iter().zip(&weight).zip(&mut mean) {
            let ratio = y / w;
            assert!(ratio.abs() < 1e-9 || (ratio * 0.7 - 1.).abs() < 1e-6, "{ratio}");
            dropped += usize::from(ratio.abs() < 1e-9);
            *mean += ratio / f64::from(passes);
        }
    }
    let share = dropped as f64 / f64::from(40 * passes);
    assert!((share - 0.3).abs() < 5. * (0.21 / f64::from(40 * passes)).sqrt(), "{share}");
    // Each mean has a deviation of √(0.3/0.7/2000) = 0.0146.
    assert!(mean.iter().all(|mean| (mean - 1.).abs() < 0.075), "{mean:?}");
    // Dropped weights get no gradient.
    let y = layer.forward_t(&unit, true).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    let y = numbers(&y.broadcast_sub(bias).unwrap().t().unwrap());
    for (y, gradient) in y.iter().zip(numbers(gradients.get(weight).unwrap())) {
        let expected = if y.abs() < 1e-12 { 0. } else { 1. / 0.7 };
        assert!((gradient - expected).abs() < 1e-6, "{y} {gradient}");
    }
    // A layer without biases.
    let no_bias = candle_nn::linear_no_bias(8, 5, vb.pp("b")).unwrap();
    let layer = DropConnect::of(no_bias, 0.3, vb.pp("b")).unwrap();
    assert_eq!(layer.forward_t(&x, true).unwrap().dims(), [6, 5]);
}

#[test]
fn gradients_are_those_of_the_factors() {
    for (make, multiplies) in [
        ((|vb| boxed(GaussianNoise::new(0.4, vb))) as Make, false),
        (|vb| boxed(GaussianDropout::new(0.4, vb)), true),
        (|vb| boxed(SpatialDropout1d::new(0.4, vb)), true),
    ] {
        let (_, layer) = layer(make, 1, "a", DType::F64);
        let x = Var::ones((3, 5, 2), DType::F64, &Device::Cpu).unwrap();
        let y = layer.forward_t(&x, true).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let expected = if multiplies { numbers(&y) } else { vec![1.; 30] };
        assert_eq!(numbers(gradients.get(&x).unwrap()), expected);
    }
}

#[test]
fn nothing_is_drawn_for_probability_0() {
    let x = input(&[2, 3, 4], DType::F32);
    for make in [
        (|vb| boxed(GaussianDropout::new(0., vb))) as Make,
        |vb| boxed(GaussianNoise::new(0., vb)),
        |vb| boxed(AlphaDropout::new(0., vb)),
        |vb| boxed(SpatialDropout1d::new(0., vb)),
    ] {
        let (_, layer) = layer(make, 1, "a", DType::F32);
        assert_eq!(numbers(&layer.forward_t(&x, true).unwrap()), numbers(&x));
    }
}

#[test]
fn bad_parameters_are_named() {
    let e = |make: Make| {
        let (_, vb) = fresh(1, InitScheme::default(), DType::F32, &Device::Cpu);
        Error::from(make(vb).map(drop).unwrap_err()).to_string()
    };
    let must = "must be from 0 to less than 1";
    for (error, name) in [
        (e(|vb| boxed(SpatialDropout1d::new(1., vb))), "SpatialDropout1d"),
        (e(|vb| boxed(SpatialDropout2d::new(-0.1, vb))), "SpatialDropout2d"),
        (e(|vb| boxed(GaussianDropout::new(1., vb))), "GaussianDropout"),
        (e(|vb| boxed(AlphaDropout::new(f64::NAN, vb))), "AlphaDropout"),
        (e(|vb| boxed(DropConnect::new(2, 2, 2., vb))), "DropConnect"),
    ] {
        assert!(error.starts_with(&format!("the probability of {name} {must}")), "{error}");
    }
    let error = e(|vb| boxed(GaussianNoise::new(-1., vb)));
    assert!(
        error.starts_with("the standard deviation of GaussianNoise must be 0 or more, and finite"),
        "{error}"
    );
}
