//! Numbers of tests/reference/layers.py (PyTorch 2.15).
use super::*;
use crate::Error;
use candle_core::{DType, Device, Var};
use candle_nn::ModuleT;

const X: [f64; 7] = [-4., -1.5, -0.25, 0., 0.25, 1.5, 4.];

type Case = (&'static str, [f64; 7], [f64; 7]);

#[rustfmt::skip]
fn reference() -> Vec<Case> {
    vec![
        ("linear", X, [1.; 7]),
        ("relu", [0., 0., 0., 0., 0.25, 1.5, 4.], [0., 0., 0., 0., 1., 1., 1.]),
        ("leaky-relu:0.1", [-0.4, -0.15, -0.025, 0., 0.25, 1.5, 4.], [0.1, 0.1, 0.1, 0.1, 1., 1., 1.]),
        ("elu:0.5", [-0.4908421806, -0.3884349199, -0.1105996085, 0., 0.25, 1.5, 4.], [0.009157819444, 0.1115650801, 0.3894003915, 0.5, 1., 1., 1.]),
        ("selu", [-1.725898628, -1.365814353, -0.3888901975, 0., 0.2626752468, 1.576051481, 4.202803949], [0.03220071266, 0.3922849875, 1.369209143, 1.758099341, 1.050700987, 1.050700987, 1.050700987]),
        ("gelu", [-0.0001266849673, -0.1002108019, -0.1003234186, 0., 0.1496765814, 1.399789198, 3.999873315], [-0.0005036496612, -0.1274691922, 0.3046266451, 0.5, 0.6953733549, 1.127469192, 1.00050365]),
        ("gelu-tanh", [-7.024594819e-05, -0.100428423, -0.1003246493, 0., 0.1496753507, 1.399571577, 3.999929754], [-0.0003351231971, -0.1277107932, 0.3046459048, 0.5, 0.6953540952, 1.127710793, 1.000335123]),
        ("silu", [-0.07194483985, -0.2736382857, -0.1094558748, 0., 0.1405441252, 1.226361714, 3.92805516], [-0.05266461489, -0.0412941543, 0.3762899784, 0.5, 0.6237100216, 1.041294154, 1.052664615]),
        ("mish", [-0.07259174079, -0.2980997422, -0.1299269637, 0., 0.1695724097, 1.403378266, 3.997412807], [-0.05377320979, -0.06409781589, 0.4398156017, 0.6, 0.7541726677, 1.088487985, 1.004432877]),
        ("softplus", [0.01814992792, 0.201413278, 0.5759394199, std::f64::consts::LN_2, 0.8259394199, 1.701413278, 4.018149928], [0.01798620996, 0.1824255238, 0.4378234991, 0.5, 0.5621765009, 0.8175744762, 0.98201379]),
        ("softsign", [-0.8, -0.6, -0.2, 0., 0.2, 0.6, 0.8], [0.04, 0.16, 0.64, 1., 0.64, 0.16, 0.04]),
        ("hard-sigmoid", [0., 0.25, 0.4583333333, 0.5, 0.5416666667, 0.75, 1.], [0., 1. / 6., 1. / 6., 1. / 6., 1. / 6., 1. / 6., 0.]),
        ("tanh", [-0.9993292997, -0.9051482536, -0.2449186624, 0., 0.2449186624, 0.9051482536, 0.9993292997], [0.001340950683, 0.1807066389, 0.9400148488, 1., 0.9400148488, 0.1807066389, 0.001340950683]),
        ("sigmoid", [0.01798620996, 0.1824255238, 0.4378234991, 0.5, 0.5621765009, 0.8175744762, 0.98201379], [0.01766270621, 0.1491464521, 0.2461340827, 0.25, 0.2461340827, 0.1491464521, 0.01766270621]),
        ("exponential", [0.01831563889, 0.2231301601, 0.7788007831, 1., 1.284025417, 4.48168907, 54.59815003], [0.01831563889, 0.2231301601, 0.7788007831, 1., 1.284025417, 4.48168907, 54.59815003]),
    ]
}

/// The outputs, and the derivative of their sum, as f64.
fn evaluate(f: impl Fn(&Tensor) -> Result<Tensor>, x: &[f64], dtype: DType) -> [Vec<f64>; 2] {
    let x = Var::from_tensor(&Tensor::new(x, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()).unwrap();
    let y = f(&x).unwrap();
    assert_eq!((y.dtype(), y.dims()), (dtype, x.dims()));
    let gradients = y.sum_all().unwrap().backward().unwrap();
    [&y, gradients.get(&x).unwrap()].map(|t| t.detach().to_dtype(DType::F64).unwrap().to_vec1().unwrap())
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        let difference = (got - expected).abs() / expected.abs().max(1.);
        assert!(difference <= tolerance, "{what}: {got} is not {expected}");
    }
}

#[test]
fn values_and_derivatives_are_those_of_pytorch_in_every_type() {
    for (name, y, dy) in reference() {
        let activation = Activation::registry().parse(name).unwrap();
        for (dtype, tolerance) in
            [(DType::F64, 1e-9), (DType::F32, 2e-6), (DType::F16, 2e-3), (DType::BF16, 1.6e-2)]
        {
            let [values, derivatives] = evaluate(|x| activation.forward(x), &X, dtype);
            let what = format!("{name} {dtype:?}");
            assert_close(&values, &y, tolerance, &what);
            assert_close(&derivatives, &dy, tolerance, &what);
        }
    }
    // Every entry has been compared.
    assert_eq!(Activation::registry().entries().len(), reference().len());
}

/// The operations for other devices, run on the CPU.
#[test]
fn tensor_operations_compute_the_same() {
    for (name, y, dy) in reference() {
        let activation = Activation::registry().parse(name).unwrap();
        let [values, derivatives] = evaluate(|x| activation.by_tensors(x), &X, DType::F64);
        assert_close(&values, &y, 1e-9, name);
        assert_close(&derivatives, &dy, 1e-9, name);
    }
}

#[test]
fn far_from_0_values_and_derivatives_are_limits_and_nan_stays_nan() {
    for (name, ..) in reference() {
        let activation = Activation::registry().parse(name).unwrap();
        for x in [-3e4, -200., 200., 3e4] {
            for dtype in [DType::F32, DType::F64] {
                let [values, derivatives] = evaluate(|x| activation.forward(x), &[x], dtype);
                let infinite = name == "exponential" && x > 88.;
                assert!(infinite || (values[0].is_finite() && derivatives[0].is_finite()), "{name} {x}");
                let [values, derivatives] = evaluate(|x| activation.by_tensors(x), &[x], dtype);
                assert!(infinite || (values[0].is_finite() && derivatives[0].is_finite()), "{name} {x}");
            }
        }
        for dtype in [DType::F32, DType::F64] {
            assert!(evaluate(|x| activation.forward(x), &[f64::NAN], dtype)[0][0].is_nan(), "{name}");
        }
    }
}

#[test]
fn views_are_read_in_their_own_order() {
    let table = Tensor::arange(-3f32, 3., &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
    let y = Activation::Relu.forward_t(&table.t().unwrap(), true).unwrap();
    assert_eq!(y.to_vec2::<f32>().unwrap(), [[0., 0.], [0., 1.], [0., 2.]]);
}

#[test]
fn bounded_functions_have_bounds_within_1_percent_of_their_limits() {
    for (name, y, _) in reference() {
        let activation = Activation::registry().parse(name).unwrap();
        let bounded = ["tanh", "softsign", "sigmoid", "hard-sigmoid"].contains(&name);
        assert_eq!(activation.bounds().is_some(), bounded, "{name}");
        if let Some(Bounds { low, high }) = activation.bounds() {
            let [far, _] = evaluate(|x| activation.forward(x), &[-1e4, 1e4], DType::F64);
            assert!(far[0] < low && far[1] > high, "{name}");
            assert!(y[1] > low && y[5] < high, "{name}");
        }
    }
}

#[test]
fn bad_parameters_are_named() {
    let input = Tensor::new(&[1f32], &Device::Cpu).unwrap();
    for (activation, expected) in [
        (
            Activation::LeakyRelu { slope: -0.1 },
            "Activation::LeakyRelu::slope must be 0 or more, and less than 1",
        ),
        (Activation::LeakyRelu { slope: f64::NAN }, "Activation::LeakyRelu::slope"),
        (Activation::Elu { alpha: f64::INFINITY }, "Activation::Elu::alpha must be 0 or more, and finite"),
    ] {
        for e in [activation.check().unwrap_err(), Error::from(activation.forward(&input).unwrap_err())] {
            assert!(e.to_string().contains(expected), "{e}");
        }
    }
    assert!(Activation::registry().parse("elu:-1").is_err());
    assert!(Activation::registry().parse("rellu").unwrap_err().to_string().contains("did you mean relu?"));
}

#[test]
fn an_activation_is_stored_as_data() {
    for activation in [Activation::LeakyRelu { slope: 0.2 }, Activation::Gelu] {
        let text = serde_json::to_string(&activation).unwrap();
        assert_eq!(serde_json::from_str::<Activation>(&text).unwrap(), activation);
    }
}
