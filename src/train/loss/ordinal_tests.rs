//! The losses of classes with an order: against coral_pytorch's formulas (`tests/reference/ordinal.py`), hand-computed cases,
//! and the likelihood of the predicted classes.
use crate::{
    data::Task,
    network::{Output, Scale},
    train::loss::*,
};
use candle_core::{Device, Var};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;
const LOGITS: [[f64; 3]; 5] =
    [[1.5, 0.2, -0.7], [-0.3, 0.9, 2.1], [0., -1.2, 0.4], [2.5, 1.1, 0.6], [-1., -2., -3.]];
const LABELS: [u32; 5] = [0, 1, 3, 2, 0];
const WEIGHTS: [f64; 5] = [1., 0.5, 2., 0.25, 3.];

/// The value and the gradient, in one pass or composed.
fn measured(loss: Loss, fused: bool, z: &Tensor, y: &[u32], w: Option<&[f64]>) -> (f64, Vec<f64>) {
    let (z, y) = (Var::from_tensor(z).unwrap(), Tensor::new(y, CPU).unwrap());
    let w = w.map(|w| Tensor::new(w, CPU).unwrap());
    let value = match fused {
        true => loss.mean(&z, &y, w.as_ref()).unwrap(),
        false => loss.composed_mean(&z, &y, w.map(|w| normalized(&w, y.elem_count()).unwrap())).unwrap(),
    };
    let gradient = value.backward().unwrap().get(&z).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (value.to_scalar().unwrap(), gradient)
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() < tolerance, "{got:?} {expected:?}");
    }
}

#[test]
fn values_and_gradients_are_those_of_coral_pytorch() {
    let z = Tensor::new(&LOGITS, CPU).unwrap();
    for (loss, weights, value, gradient) in REFERENCE {
        for fused in [true, false] {
            let (got, slopes) = measured(loss, fused, &z, &LABELS, weights.as_ref().map(|w| w.as_slice()));
            assert!((got - value).abs() < 1e-14, "{loss:?} {fused}: {got} {value}");
            assert_close(&slopes, gradient.as_flattened(), 1e-11);
        }
    }
}

/// Loss, weights, value and gradient.
type Reference = (Loss, Option<[f64; 5]>, f64, [[f64; 3]; 5]);

/// `tests/reference/ordinal.py`. `corn_loss` of coral_pytorch is 0.8183341994893385 over 10 logits of 5 rows: half of it.
const REFERENCE: [Reference; 4] = [
    (
        Loss::Coral,
        None,
        2.355140359791381,
        [
            [0.1635148952387, 0.1099667994625, 0.0663624455664],
            [-0.1148885033623, 0.142189900525, 0.1781806357609],
            [-0.0999999999999, -0.1537049566998, -0.0802624679774],
            [-0.0151716360043, -0.049947978881, 0.1291312612451],
            [0.053788284274, 0.0238405844045, 0.0094851746355],
        ],
    ),
    (
        Loss::Coral,
        Some(WEIGHTS),
        1.8095409956909814,
        [
            [0.1211221446213, 0.0814568884908, 0.0491573670861],
            [-0.0425512975416, 0.0526629261204, 0.0659928280596],
            [-0.1481481481482, -0.2277110469627, -0.1189073599667],
            [-0.0028095622231, -0.0092496257187, 0.0239131965268],
            [0.1195295206089, 0.0529790764543, 0.0210781658567],
        ],
    ),
    (
        Loss::Corn,
        None,
        1.636668398978677,
        [
            [0.1635148952388, 0., 0.],
            [-0.1148885033623, 0.142189900525, 0.],
            [-0.1, -0.1537049566998, -0.0802624679774],
            [-0.0151716360043, -0.0499479788811, 0.1291312612452],
            [0.053788284274, 0., 0.],
        ],
    ),
    (
        Loss::Corn,
        Some(WEIGHTS),
        1.3894475486232671,
        [
            [0.1211221446212, 0., 0.],
            [-0.0425512975416, 0.0526629261204, 0.],
            [-0.1481481481482, -0.2277110469627, -0.1189073599667],
            [-0.0028095622231, -0.0092496257187, 0.0239131965268],
            [0.1195295206089, 0., 0.],
        ],
    ),
];

#[test]
fn zeros_and_extreme_logits_by_hand() {
    let half = 0.5;
    let zeros = Tensor::zeros((1, 3), DType::F64, CPU).unwrap();
    for fused in [true, false] {
        // Every question is a coin toss. CORN asks a label of class 1 two of them.
        let (value, slopes) = measured(Loss::Coral, fused, &zeros, &[1], None);
        assert!((value - 3. * 2f64.ln()).abs() < 1e-15);
        assert_close(&slopes, &[-half, half, half], 1e-15);
        let (value, slopes) = measured(Loss::Corn, fused, &zeros, &[1], None);
        assert!((value - 2. * 2f64.ln()).abs() < 1e-15);
        assert_close(&slopes, &[-half, half, 0.], 1e-15);
        let z = Tensor::new(&[[900., -900., -900.]], CPU).unwrap();
        for loss in [Loss::Coral, Loss::Corn] {
            assert_eq!(measured(loss, fused, &z, &[1], None).0, 0.);
            let (value, slopes) = measured(loss, fused, &z, &[2], None);
            assert!((value - 900.).abs() < 1e-9 && slopes[1] == -1., "{loss:?} {value} {slopes:?}");
        }
    }
}

proptest! {
    #[test]
    fn corn_is_the_likelihood_of_the_classes_and_both_are_it_for_two(
        z in prop::collection::vec(-6f64..6., 1..6), label in 0u32..6,
    ) {
        let label = label.min(z.len() as u32);
        let output = Tensor::from_slice(&z, (1, z.len()), CPU).unwrap();
        let task = Task::Classification { classes: z.len() + 1 };
        for (loss, kind) in [(Loss::Corn, Output::ConditionalLogits), (Loss::Coral, Output::CumulativeLogits)] {
            if loss == Loss::Corn || z.len() == 1 {
                let log = kind.prediction(&output, task, Scale::LogProbability).unwrap();
                let log = log.to_vec2::<f64>().unwrap()[0][label as usize];
                let (value, _) = measured(loss, true, &output, &[label], None);
                prop_assert!((value + log).abs() < 1e-12, "{loss:?}: {value} {log}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_says_what_to_do() {
    let task = Task::Classification { classes: 4 };
    let error = |loss: Loss, task, kind| loss.check_fit(task, kind).unwrap_err().to_string();
    let (cumulative, conditional) = (Output::CumulativeLogits, Output::ConditionalLogits);
    for (loss, kind, words) in [
        (Loss::Coral, Output::Logits, "used with Output::CumulativeLogits: end the network"),
        (Loss::Coral, conditional, "used with Output::CumulativeLogits"),
        (Loss::Corn, cumulative, "used with Output::ConditionalLogits"),
        (Loss::CrossEntropy { smoothing: 0. }, cumulative, "Loss::Coral for a network"),
        (Loss::KlDivergence, conditional, "Loss::Corn for a network"),
    ] {
        let e = error(loss, task, kind);
        assert!(e.contains(words), "{e}");
    }
    assert!(error(Loss::Coral, Task::Regression { outputs: 1 }, cumulative).contains("a loss for values"));
    let z = Tensor::zeros((2, 3), DType::F32, CPU).unwrap();
    for labels in [&[0u32, 4][..], &[0]] {
        assert!(Loss::Corn.mean(&z, &Tensor::new(labels, CPU).unwrap(), None).is_err());
    }
}
