use super::{backward, recording, Recording};
use crate::nn::{
    layer_norm,
    testing::{assert_near, flat, numbers},
    Activation, LayerNorm, Linear,
};
use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::VarBuilder;
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 4] =
    [Activation::Tanh, Activation::Linear, Activation::Gelu, Activation::LeakyRelu { slope: 0.3 }];

/// Variables that the steps of a program share.
struct Shared {
    weights: [Var; 2],
    bias: Var,
    gain: Var,
    x: Var,
}

impl Shared {
    fn new(dtype: DType) -> Self {
        let var = |dims: &[usize], salt| Var::from_tensor(&numbers(dims, salt, dtype)).unwrap();
        Self {
            weights: [var(&[4, 4], 1), var(&[4, 4], 2)],
            bias: var(&[4], 3),
            gain: var(&[4], 4),
            x: var(&[3, 4], 5),
        }
    }

    fn all(&self) -> [&Var; 5] {
        [&self.weights[0], &self.weights[1], &self.bias, &self.gain, &self.x]
    }

    fn norm(&self) -> LayerNorm {
        let tensors = [("weight", &self.gain), ("bias", &self.bias)];
        let tensors = tensors.map(|(name, var)| (name.to_string(), var.as_tensor().clone()));
        let vb = VarBuilder::from_tensors(tensors.into(), self.x.dtype(), &Device::Cpu);
        layer_norm(4, 1e-5, vb).unwrap()
    }

    fn layer(&self, number: usize) -> Linear {
        let weight = self.weights[number % 2].as_tensor().clone();
        Linear::new(weight, (!number.is_multiple_of(3)).then(|| self.bias.as_tensor().clone()))
    }
}

/// A step of a forward pass: what it does to which results of earlier steps.
#[derive(Clone, Copy, Debug)]
struct Step {
    kind: usize,
    of: usize,
    other: usize,
}

/// Kinds of steps below this number are operations of the library, or none.
const OURS: usize = 5;
const KINDS: usize = 10;

fn run(shared: &Shared, steps: &[Step]) -> Tensor {
    let plain = numbers((3, 4), 6, shared.x.dtype());
    let mut results = vec![shared.x.as_tensor().clone(), plain];
    for Step { kind, of, other } in steps {
        let (x, y) = (&results[of % results.len()], &results[other % results.len()]);
        let activation = ACTIVATIONS[other % ACTIVATIONS.len()];
        results.push(match kind {
            0 => shared.layer(*other).forward_then(activation, x).unwrap(),
            1 => activation.forward(x).unwrap(),
            2 => x.detach(),
            // The results of other operations are weights too.
            3 => Linear::new(shared.weights[0].as_tensor().clone(), None).forward(x).unwrap(),
            4 => shared.norm().forward(x).unwrap(),
            5 => (x + y).unwrap(),
            6 => x.relu().unwrap(),
            7 => (x * shared.x.as_tensor()).unwrap(),
            8 => x.matmul(shared.weights[1].as_tensor()).unwrap(),
            _ => {
                let weight = x.narrow(0, 0, 1).unwrap().broadcast_mul(shared.weights[0].as_tensor()).unwrap();
                Linear::new(weight, None).forward(y).unwrap()
            }
        });
    }
    results.pop().unwrap()
}

/// Compares the gradients with those of candle's backward pass, in proportion to the largest. Returns whether they came
/// from the recording.
fn compare(shared: &Shared, steps: &[Step], tolerance: f64) -> bool {
    let recording = Recording::begin();
    let loss = run(shared, steps);
    let expected = loss.backward().unwrap();
    let got = backward(&loss).unwrap();
    drop(recording);
    for (number, var) in shared.all().into_iter().enumerate() {
        let what = format!("variable {number} of {steps:?}");
        match (got.get(var), expected.get(var)) {
            (Some(got), Some(expected)) => {
                let (got, expected) = (flat(got), flat(expected));
                let largest = expected.iter().fold(1., |a: f64, b| a.max(b.abs()));
                let near = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * largest;
                assert!(got.len() == expected.len() && got.iter().zip(&expected).all(near), "{what}");
            }
            (got, expected) => assert_eq!(got.is_some(), expected.is_some(), "{what}"),
        }
    }
    let recording = Recording::begin();
    let recorded = recording::backward(&run(shared, steps)).unwrap();
    drop(recording);
    recorded.is_some()
}

proptest! {
    /// Shared variables, results that are used several times and results that are not used, detached tensors, and
    /// operations of candle's among the library's.
    #[test]
    fn gradients_are_those_of_candles_backward_pass(
        steps in prop::collection::vec((0..KINDS, any::<usize>(), any::<usize>()), 1..12),
        ours in any::<bool>(),
    ) {
        let kinds = if ours { OURS } else { KINDS };
        let steps: Vec<_> =
            steps.into_iter().map(|(kind, of, other)| Step { kind: kind % kinds, of, other }).collect();
        let shared = Shared::new(DType::F64);
        let (recorded, loss) = (compare(&shared, &steps, 1e-9), run(&shared, &steps));
        // A loss that is a variable or does not depend on any has no operation to record.
        if ours && loss.track_op() && !loss.is_variable() {
            prop_assert!(recorded, "{steps:?}");
        }
    }
}

fn steps(steps: &[(usize, usize, usize)]) -> Vec<Step> {
    steps.iter().map(|&(kind, of, other)| Step { kind, of, other }).collect()
}

#[test]
fn an_operation_of_candles_between_ours_leaves_the_pass_to_candle() {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let shared = Shared::new(dtype);
        assert!(compare(&shared, &steps(&[(0, 0, 0), (1, 2, 0), (0, 3, 1)]), tolerance));
        for kind in OURS..KINDS {
            let mixed = steps(&[(0, 0, 0), (kind, 2, 2), (0, 3, 1)]);
            assert!(!compare(&shared, &mixed, tolerance), "{kind}");
        }
    }
}

#[test]
fn a_result_that_is_used_twice_has_the_sum_of_both_gradients() {
    let shared = Shared::new(DType::F64);
    let recording = Recording::begin();
    let y = shared.layer(0).forward(&shared.x).unwrap();
    // The gradient of y comes from both arguments of one operation.
    let loss = Linear::new(y.clone(), None).forward(&y).unwrap();
    let expected = loss.backward().unwrap();
    assert!(recording::backward(&loss).unwrap().is_some());
    drop(recording);
    let _recording = Recording::begin();
    let y = shared.layer(0).forward(&shared.x).unwrap();
    let loss = Linear::new(y.clone(), None).forward(&y).unwrap();
    let got = backward(&loss).unwrap();
    for var in [&shared.weights[0], &shared.x] {
        assert_near(got.get(var).unwrap(), expected.get(var).unwrap(), 1e-12, "squared");
    }
}

#[test]
fn a_recording_serves_one_backward_pass_and_candles_pass_the_others() {
    let shared = Shared::new(DType::F64);
    let outer = Recording::begin();
    let first = run(&shared, &steps(&[(0, 0, 0), (0, 2, 1)]));
    let inner = Recording::begin();
    let second = run(&shared, &steps(&[(0, 0, 1)]));
    // What the outer recording holds is not in the inner one, and the other way about.
    let gradients = |loss: &Tensor| flat(backward(loss).unwrap().get(&shared.weights[1]).unwrap());
    let expected = flat(first.backward().unwrap().get(&shared.weights[1]).unwrap());
    assert_eq!(gradients(&first), expected);
    assert!(recording::backward(&second).unwrap().is_none(), "the pass before has emptied the recording");
    drop(inner);
    assert!(recording::backward(&first).unwrap().is_some());
    drop(outer);
    assert!(recording::backward(&first).unwrap().is_none(), "nothing is recorded");
    assert_eq!(gradients(&first), expected);
}

#[test]
fn a_recording_ends_with_its_thread_of_control() {
    assert!(std::panic::catch_unwind(|| {
        let _recording = Recording::begin();
        panic!("left");
    })
    .is_err());
    let shared = Shared::new(DType::F64);
    let loss = run(&shared, &steps(&[(0, 0, 0)]));
    assert!(recording::backward(&loss).unwrap().is_none());
    // Operations of another thread are not recorded on this one.
    let _recording = Recording::begin();
    let loss = std::thread::scope(|scope| {
        scope.spawn(|| shared.layer(0).forward(&shared.x).unwrap()).join().unwrap()
    });
    assert!(recording::backward(&loss).unwrap().is_none());
}
