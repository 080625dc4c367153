//! What the tests of layers share.
use crate::nn::{backward, then::Then, Activation};
use candle_core::{backprop::GradStore, DType, Device, Result, Shape, Tensor, Var};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};
use std::sync::{Arc, Mutex};

/// Numbers from −1 to 1 without a pattern.
pub(super) fn numbers(shape: impl Into<Shape>, salt: u64, dtype: DType) -> Tensor {
    let shape = shape.into();
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 30) - 1.
    };
    let values: Vec<f64> = (0..shape.elem_count()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

pub(super) fn flat(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub(super) fn assert_near(a: &Tensor, b: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(a.dims(), b.dims(), "{what}");
    for (a, b) in flat(a).into_iter().zip(flat(b)) {
        assert!((a - b).abs() <= tolerance * (1. + b.abs()), "{what}: {a} {b}");
    }
}

/// The gradients of `Σ upstream · y` with respect to the variables.
pub(super) fn gradients(
    y: &Tensor,
    vars: &[&Var],
    backward: impl Fn(&Tensor) -> Result<GradStore>,
) -> Vec<Tensor> {
    let loss = (y * numbers(y.shape(), 9, y.dtype())).unwrap().sum_all().unwrap();
    let store = backward(&loss).unwrap();
    vars.iter().map(|var| store.get(var.as_tensor()).unwrap().clone()).collect()
}

pub(super) type Activate = fn(&Tensor) -> Result<Tensor>;

/// What follows the layer, and the same of candle's operations.
pub(super) fn followers() -> [(Then, Activate); 6] {
    [
        (Then::Nothing, |x| Ok(x.clone())),
        (Then::CandlesRelu, Tensor::relu),
        (Then::Ours(Activation::Relu), Tensor::relu),
        (Then::Ours(Activation::LeakyRelu { slope: 0.1 }), |x| candle_nn::ops::leaky_relu(x, 0.1)),
        (Then::Ours(Activation::Tanh), Tensor::tanh),
        (Then::Ours(Activation::Sigmoid), candle_nn::ops::sigmoid),
    ]
}

/// Compares the gradients of `Σ upstream · y` with central differences of this step, whose error is in the square of the
/// step.
pub(super) fn assert_slopes(
    vars: &[&Var],
    y: impl Fn() -> Tensor,
    (step, tolerance): (f64, f64),
    what: &str,
) {
    let loss = || {
        let y = y();
        flat(&(&y * numbers(y.shape(), 9, y.dtype())).unwrap()).iter().sum::<f64>()
    };
    for (var, gradient) in vars.iter().zip(gradients(&y(), vars, backward)) {
        let values = flat(var);
        for (i, gradient) in flat(&gradient).into_iter().enumerate() {
            let at = |shift: f64| {
                let mut moved = values.clone();
                moved[i] += shift;
                let moved = Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap();
                var.set(&moved.to_dtype(var.dtype()).unwrap()).unwrap();
                loss()
            };
            let slope = (at(step) - at(-step)) / (2. * step);
            at(0.);
            assert!((slope - gradient).abs() < tolerance, "{what}: {slope} {gradient}");
        }
    }
}

/// Writes down what it is asked for.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl SimpleBackend for Asked {
    fn get(&self, s: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.0.lock().unwrap().push(format!("{name} {s:?} {init:?} {dtype:?}"));
        Tensor::zeros(s, dtype, device)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("no shape for {name}")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

/// Makes a layer and drops it.
pub(super) type Make<'a> = &'a dyn Fn(VarBuilder<'_>);

/// The variables that a constructor asks for, with their shapes and initial weights.
pub(super) fn asked(make: Make<'_>) -> Vec<String> {
    let backend = Asked::default();
    make(VarBuilder::from_backend(Box::new(backend.clone()), DType::F64, Device::Cpu).pp("a"));
    let asked = backend.0.lock().unwrap().clone();
    assert!(!asked.is_empty());
    asked
}
