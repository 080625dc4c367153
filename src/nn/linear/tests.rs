use super::*;
use crate::nn::{
    backward, embedding,
    testing::{asked, assert_near, assert_slopes, flat, followers, gradients, numbers, Activate, Make},
};
use candle_core::{DType, Device, Var};
use proptest::prelude::*;

/// A layer of ours and one of candle's with the same variables.
struct Pair {
    weight: Var,
    bias: Option<Var>,
    ours: Linear,
    theirs: candle_nn::Linear,
}

fn pair(inputs: usize, outputs: usize, bias: bool, dtype: DType) -> Pair {
    let weight = Var::from_tensor(&numbers((outputs, inputs), 1, dtype)).unwrap();
    let bias = bias.then(|| Var::from_tensor(&numbers(outputs, 2, dtype)).unwrap());
    let b = bias.as_ref().map(|bias| bias.as_tensor().clone());
    let ours = Linear::new(weight.as_tensor().clone(), b.clone());
    let theirs = candle_nn::Linear::new(weight.as_tensor().clone(), b);
    Pair { weight, bias, ours, theirs }
}

fn compare(dims: &[usize], outputs: usize, bias: bool, dtype: DType, view: impl Fn(&Tensor) -> Tensor) {
    let tolerance = if dtype == DType::F64 { 1e-11 } else { 1e-4 };
    let x = Var::from_tensor(&numbers(dims, 3, dtype)).unwrap();
    let inputs = *view(&x).dims().last().unwrap();
    let pair = pair(inputs, outputs, bias, dtype);
    let vars: Vec<&Var> = [Some(&x), Some(&pair.weight), pair.bias.as_ref()].into_iter().flatten().collect();
    for (then, activate) in followers() {
        let what = format!("{then:?} {dims:?} {outputs} {bias} {dtype:?}");
        let ours = pair.ours.with(then, &view(&x)).unwrap();
        let theirs = activate(&pair.theirs.forward(&view(&x).contiguous().unwrap()).unwrap()).unwrap();
        assert_near(&ours, &theirs, tolerance, &what);
        let expected = gradients(&theirs, &vars, Tensor::backward);
        for got in [gradients(&ours, &vars, Tensor::backward), gradients(&ours, &vars, backward)] {
            for (got, expected) in got.iter().zip(&expected) {
                assert_near(got, expected, tolerance, &what);
            }
        }
        // Without a gradient of the inputs.
        let ours = pair.ours.with(then, &view(&x.as_detached_tensor())).unwrap();
        for (got, expected) in gradients(&ours, &vars[1..], backward).iter().zip(&expected[1..]) {
            assert_near(got, expected, tolerance, &what);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn outputs_and_gradients_are_those_of_candles_layer(
        dims in prop::collection::vec(1usize..7, 0..3),
        inputs in 1usize..40,
        outputs in 1usize..40,
        bias in any::<bool>(),
    ) {
        let dims = [&dims[..], &[2, inputs]].concat();
        for dtype in [DType::F32, DType::F64] {
            compare(&dims, outputs, bias, dtype, Tensor::clone);
        }
    }
}

#[test]
fn one_row_and_views_that_are_not_contiguous_are_inputs_too() {
    for dtype in [DType::F32, DType::F64] {
        for bias in [false, true] {
            compare(&[1, 5], 3, bias, dtype, Tensor::clone);
            compare(&[5, 7], 3, bias, dtype, |x| x.t().unwrap());
            compare(&[4, 5, 7], 3, bias, dtype, |x| x.transpose(0, 2).unwrap());
            compare(&[6, 9], 3, bias, dtype, |x| x.narrow(1, 2, 4).unwrap());
        }
        let pair = pair(5, 3, true, dtype);
        let row = numbers(5, 4, dtype);
        let y = pair.ours.forward(&row).unwrap();
        let expected = pair.theirs.forward(&row.unsqueeze(0).unwrap()).unwrap().squeeze(0).unwrap();
        assert_near(&y, &expected, 1e-6, "a row");
    }
}

/// With zero rows outputs are empty and gradients 0.
#[test]
fn no_rows_are_no_error() {
    for bias in [false, true] {
        let pair = pair(5, 3, bias, DType::F32);
        let y = pair.ours.with(Then::CandlesRelu, &numbers((2, 0, 5), 1, DType::F32)).unwrap();
        assert_eq!(y.dims(), [2, 0, 3]);
        let gradients = backward(&y.sum_all().unwrap()).unwrap();
        assert_eq!(flat(gradients.get(&pair.weight).unwrap()), [0.; 15]);
        assert!(pair.bias.iter().all(|bias| flat(gradients.get(bias).unwrap()) == [0.; 3]));
    }
    // Inputs of zero elements leave the bias.
    let layer = Linear::new(numbers((2, 0), 1, DType::F32), Some(numbers(2, 2, DType::F32)));
    let y = layer.forward(&numbers((3, 0), 1, DType::F32)).unwrap();
    assert_eq!(flat(&y), flat(&numbers(2, 2, DType::F32)).repeat(3));
}

/// Central differences of `Σ upstream · y`, with an error in the square of the step.
#[test]
fn gradients_are_those_of_finite_differences() {
    for (dtype, step, tolerance) in [(DType::F64, 1e-5, 1e-7), (DType::F32, 5e-3, 2e-2)] {
        for (then, _) in
            followers().into_iter().chain([(Then::Ours(Activation::Exponential), Tensor::exp as Activate)])
        {
            let x = Var::from_tensor(&numbers((3, 4), 3, dtype)).unwrap();
            let pair = pair(4, 2, true, dtype);
            let vars = [&x, &pair.weight, pair.bias.as_ref().unwrap()];
            let y = || pair.ours.with(then, x.as_tensor()).unwrap();
            assert_slopes(&vars, y, (step, tolerance), &format!("{then:?} {dtype:?}"));
        }
    }
}

#[test]
fn a_layer_in_two_places_has_the_sum_of_their_gradients() {
    let pair = pair(4, 4, true, DType::F64);
    let vars = [&pair.weight, pair.bias.as_ref().unwrap()];
    let x = numbers((3, 4), 1, DType::F64);
    let y = pair.ours.forward_then(Activation::Tanh, &x).unwrap();
    let ours = pair.ours.forward_then(Activation::Tanh, &y).unwrap();
    let y = pair.theirs.forward(&x).unwrap().tanh().unwrap();
    let theirs = pair.theirs.forward(&y).unwrap().tanh().unwrap();
    let expected = gradients(&theirs, &vars, Tensor::backward);
    for got in [gradients(&ours, &vars, Tensor::backward), gradients(&ours, &vars, backward)] {
        got.iter().zip(&expected).for_each(|(got, expected)| assert_near(got, expected, 1e-11, "shared"));
    }
    // One use by the layer, one by an operation of candle's.
    let ours = (pair.ours.forward(&x).unwrap() + x.matmul(&pair.weight.sqr().unwrap()).unwrap()).unwrap();
    let theirs = (pair.theirs.forward(&x).unwrap() + x.matmul(&pair.weight.sqr().unwrap()).unwrap()).unwrap();
    let expected = gradients(&theirs, &vars, Tensor::backward);
    let got = gradients(&ours, &vars, backward);
    got.iter().zip(&expected).for_each(|(got, expected)| assert_near(got, expected, 1e-11, "shared"));
}

#[test]
fn weights_that_are_computed_get_gradients() {
    let source = Var::from_tensor(&numbers((3, 5), 1, DType::F64)).unwrap();
    let layer = |scaled: Tensor| Linear::new(scaled, None).forward(&numbers((2, 3), 2, DType::F64)).unwrap();
    let ours = layer((source.t().unwrap() * 2.).unwrap());
    let theirs = numbers((2, 3), 2, DType::F64).matmul(&(source.as_tensor() * 2.).unwrap()).unwrap();
    let expected = gradients(&theirs, &[&source], Tensor::backward);
    assert_near(&gradients(&ours, &[&source], backward)[0], &expected[0], 1e-12, "computed");
}

/// Where the sum is exactly 0, the derivative is that of the activation on its own.
#[test]
fn the_derivative_at_zero_is_that_of_the_activation() {
    let x = Var::from_tensor(&Tensor::new(&[[0f32], [-0.], [-1.], [1.]], &Device::Cpu).unwrap()).unwrap();
    let layer = Linear::new(Tensor::new(&[[1f32]], &Device::Cpu).unwrap(), None);
    let gradient = |y: Tensor| flat(y.sum_all().unwrap().backward().unwrap().get(&x).unwrap());
    let relu = layer.with(Then::CandlesRelu, &x).unwrap();
    assert_eq!(flat(&relu), [0., 0., 0., 1.]);
    assert_eq!(gradient(relu), [1., 1., 0., 1.]);
    assert_eq!(gradient(x.relu().unwrap()), [1., 1., 0., 1.]);
    for activation in
        [Activation::Relu, Activation::LeakyRelu { slope: 0. }, Activation::LeakyRelu { slope: 0.5 }]
    {
        let alone = gradient(activation.forward(&x).unwrap());
        assert_eq!(gradient(layer.forward_then(activation, &x).unwrap()), alone, "{activation:?}");
    }
}

#[test]
fn every_activation_follows_the_layer_as_it_would_alone() {
    let pair = pair(6, 5, true, DType::F32);
    let x = numbers((4, 6), 5, DType::F32);
    for name in Activation::registry().names() {
        let activation = Activation::registry().parse(name).unwrap();
        let together = pair.ours.forward_then(activation, &x).unwrap();
        let apart = activation.forward(&pair.ours.forward(&x).unwrap()).unwrap();
        assert_eq!(flat(&together), flat(&apart), "{name}");
        let vars = [&pair.weight, pair.bias.as_ref().unwrap()];
        let (together, apart) = (gradients(&together, &vars, backward), gradients(&apart, &vars, backward));
        together.iter().zip(&apart).for_each(|(a, b)| assert_near(a, b, 1e-5, name));
    }
    assert!(pair.ours.forward_then(Activation::LeakyRelu { slope: 2. }, &x).is_err());
}

#[test]
fn half_precision_is_computed_by_candle() {
    for dtype in [DType::F16, DType::BF16] {
        compare_forward(dtype, &[3, 5]);
        compare_forward(dtype, &[2, 3, 5]);
    }
}

fn compare_forward(dtype: DType, dims: &[usize]) {
    let pair = pair(5, 4, true, dtype);
    let x = numbers(dims, 1, dtype);
    let got = pair.ours.with(Then::CandlesRelu, &x).unwrap();
    assert_eq!(got.dtype(), dtype);
    assert_near(&got, &pair.theirs.forward(&x).unwrap().relu().unwrap(), 1e-2, "half precision");
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let layer = pair(5, 3, true, DType::F32).ours;
    for dims in [&[2, 4][..], &[4], &[]] {
        let e = layer.forward(&numbers(dims, 1, DType::F32)).unwrap_err().to_string();
        assert!(e.contains("the shape of the inputs of Linear must be (…, 5)"), "{e}");
    }
    let layer = Linear::new(numbers((3, 5), 1, DType::F32), Some(numbers(2, 1, DType::F32)));
    let e = layer.forward(&numbers((2, 5), 1, DType::F32)).unwrap_err().to_string();
    assert!(e.contains("the shape of the bias of Linear must be (3,)"), "{e}");
    // Types that differ are candle's error.
    assert!(pair(5, 3, true, DType::F32).ours.forward(&numbers((2, 5), 1, DType::F64)).is_err());
}

#[test]
fn variables_are_those_of_candles_layers() {
    let pairs: [(Make<'_>, Make<'_>); 5] = [
        (&|vb| drop(linear(5, 3, vb)), &|vb| drop(candle_nn::linear(5, 3, vb))),
        (&|vb| drop(linear_no_bias(5, 3, vb)), &|vb| drop(candle_nn::linear_no_bias(5, 3, vb))),
        (&|vb| drop(linear_b(5, 3, true, vb)), &|vb| drop(candle_nn::linear_b(5, 3, true, vb))),
        (&|vb| drop(linear_b(5, 3, false, vb)), &|vb| drop(candle_nn::linear_b(5, 3, false, vb))),
        (&|vb| drop(embedding(5, 3, vb)), &|vb| drop(candle_nn::embedding(5, 3, vb))),
    ];
    for (ours, theirs) in pairs {
        assert_eq!(asked(ours), asked(theirs));
    }
}
