use super::*;
use candle_core::{DType, Device, Var};
use proptest::prelude::*;

const MEMBERS: usize = 3;
const ROWS: usize = 2;
const VALUES: Task = Task::Regression { outputs: 1 };
const THREE: Task = Task::Classification { classes: 3 };

fn tensor(numbers: &[f64], dims: &[usize]) -> Tensor {
    Tensor::from_slice(numbers, dims, &Device::Cpu).unwrap()
}

fn flat(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Targets and weights of two rows, for each of three members.
fn batch(targets: &Tensor, weights: Option<&[f64]>) -> Batch {
    let all = |x: &Tensor| Tensor::cat(&[x; MEMBERS], 0).unwrap();
    let weights = weights.map(|w| all(&tensor(w, &[ROWS])));
    Batch { inputs: targets.clone().into(), targets: all(targets), weights }
}

/// The loss, and its gradient by the outputs.
fn loss(joint: JointLoss, task: Task, output: &Tensor, batch: &Batch) -> (f64, Vec<f64>) {
    let output = Var::from_tensor(output).unwrap();
    let of_task = Loss::default_for(task, Output::Logits, output.dims().get(1).copied().unwrap_or(1));
    let mean = |output: &Tensor, batch: &Batch| of_task.mean(output, &batch.targets, batch.weights.as_ref());
    let loss = joint.loss((task, MEMBERS), (output.as_tensor(), batch), mean).unwrap();
    let gradients = loss.backward().unwrap();
    (flat(&loss)[0], flat(gradients.get(&output).unwrap()))
}

/// The derivatives of a function of numbers by finite differences.
fn differences(numbers: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let step = 1e-6;
    let at = |index: usize, by: f64| {
        let mut moved = numbers.to_vec();
        moved[index] += by;
        f(&moved)
    };
    (0..numbers.len()).map(|index| (at(index, step) - at(index, -step)) / (2. * step)).collect()
}

fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (a, b) in got.iter().zip(want) {
        assert!((a - b).abs() < tolerance, "{got:?} is not {want:?}");
    }
}

/// Liu and Yao: `1/M Σ_m [(o_m − y)² − λ (o_m − ō)²]`, with the gradient `2/M [(o_m − y) − λ (o_m − ō)]` for each row. Outputs of
/// the members are (1, 5), (2, 0) and (6, 1), the targets (2, 3), and the weights of the rows (1, 3) / 4.
#[test]
fn negative_correlation_of_values_is_that_of_liu_and_yao() {
    let outputs = [[1., 5.], [2., 0.], [6., 1.]];
    let (y, shares, means) = ([2., 3.], [0.25, 0.75], [3., 2.]);
    let output = tensor(outputs.as_flattened(), &[6, 1]);
    let batch = batch(&tensor(&y, &[2, 1]), Some(&[1., 3.]));
    for lambda in [0.25, 0.5, 0.9] {
        let (mut by_hand, mut gradient) = (0., vec![]);
        for o in outputs {
            for row in 0..2 {
                let (error, apart) = (o[row] - y[row], o[row] - means[row]);
                by_hand += shares[row] * (error.powi(2) - lambda * apart.powi(2)) / 3.;
                gradient.push(shares[row] * 2. / 3. * (error - lambda * apart));
            }
        }
        let (got, of_output) = loss(JointLoss::NegativeCorrelation { lambda }, VALUES, &output, &batch);
        assert!((got - by_hand).abs() < 1e-12, "{got} is not {by_hand}");
        close(&of_output, &gradient, 1e-12);
    }
}

/// Residuals of three members with outputs a, b, c are y, y − ν a, y − ν (a + b). The derivative by a goes through all of them.
#[test]
fn soft_gradient_boosting_of_values_by_hand() {
    let (a, b, c, y, nu) = ([1., 5.], [2., 0.], [6., 1.], [2., 3.], 0.5);
    let output = tensor(&[a, b, c].concat(), &[6, 1]);
    let batch = batch(&tensor(&y, &[2, 1]), None);
    let (mut by_hand, mut gradient) = (0., vec![0.; 6]);
    for row in 0..2 {
        let errors =
            [a[row] - y[row], b[row] - y[row] + nu * a[row], c[row] - y[row] + nu * (a[row] + b[row])];
        by_hand += errors.iter().map(|e: &f64| e * e).sum::<f64>() / 2.;
        gradient[row] = errors[0] + nu * errors[1] + nu * errors[2];
        gradient[2 + row] = errors[1] + nu * errors[2];
        gradient[4 + row] = errors[2];
    }
    let joint = JointLoss::SoftGradientBoosting { shrinkage: nu };
    let (got, of_output) = loss(joint, VALUES, &output, &batch);
    assert!((got - by_hand).abs() < 1e-12, "{got} is not {by_hand}");
    close(&of_output, &gradient, 1e-12);
    // The prediction is half the sum.
    let sum = joint.aggregation().output((Output::Logits, VALUES), &output, MEMBERS).unwrap().unwrap();
    assert_eq!(flat(&sum), [4.5, 3.]);
}

fn softmax(z: &[f64]) -> Vec<f64> {
    let sum: f64 = z.iter().map(|z| z.exp()).sum();
    z.iter().map(|z| z.exp() / sum).collect()
}

/// `Σ_m mean over rows and classes of (o_m − onehot + softmax(ν Σ_{i<m} o_i))²`, by the weights of the rows.
fn boosted_classes(outputs: &[f64], labels: [usize; 2], shares: [f64; 2], nu: f64) -> f64 {
    let mut total = 0.;
    for row in 0..2 {
        let mut sum = [0.; 3];
        for member in 0..MEMBERS {
            let own = &outputs[member * 6 + row * 3..][..3];
            let p = softmax(&sum.map(|s| nu * s));
            let square = |c: usize| (own[c] - f64::from(u8::from(labels[row] == c)) + p[c]).powi(2);
            total += shares[row] * (0..3).map(square).sum::<f64>() / 3.;
            (0..3).for_each(|c| sum[c] += own[c]);
        }
    }
    total
}

#[test]
fn soft_gradient_boosting_of_classes_has_the_derivatives_of_its_formula() {
    let numbers: Vec<f64> = (0..18).map(|i| f64::from(i * 7 % 11) / 4. - 1.).collect();
    let output = tensor(&numbers, &[6, 3]);
    let batch = batch(&Tensor::new(&[2u32, 0], &Device::Cpu).unwrap(), Some(&[1., 4.]));
    for shrinkage in [1., 0.3] {
        let f = |numbers: &[f64]| boosted_classes(numbers, [2, 0], [0.2, 0.8], shrinkage);
        let joint = JointLoss::SoftGradientBoosting { shrinkage };
        let (got, gradient) = loss(joint, THREE, &output, &batch);
        assert!((got - f(&numbers)).abs() < 1e-12, "{got} is not {}", f(&numbers));
        close(&gradient, &differences(&numbers, f), 1e-8);
    }
}

/// One logit of two classes, whose probability is the sigmoid; and soft targets in place of labels.
#[test]
fn soft_gradient_boosting_of_one_logit_and_of_soft_targets() {
    let task = Task::Classification { classes: 2 };
    let joint = JointLoss::SoftGradientBoosting { shrinkage: 1. };
    let outputs = [[0.5, -1.], [0.2, 0.3], [-0.4, 2.]];
    let sigmoid = |z: f64| 1. / (1. + (-z).exp());
    let by_hand = |y: [f64; 2]| -> f64 {
        let of_row = |row: usize| {
            let [a, b, c] = outputs.map(|o| o[row]);
            (a - y[row] + 0.5).powi(2)
                + (b - y[row] + sigmoid(a)).powi(2)
                + (c - y[row] + sigmoid(a + b)).powi(2)
        };
        (of_row(0) + of_row(1)) / 2.
    };
    let labels = Tensor::new(&[1u32, 0], &Device::Cpu).unwrap();
    for dims in [&[6usize, 1][..], &[6]] {
        let output = tensor(outputs.as_flattened(), dims);
        let (got, _) = loss(joint, task, &output, &batch(&labels, None));
        assert!((got - by_hand([1., 0.])).abs() < 1e-12, "{got}");
        let soft = tensor(&[0.25, 0.75, 0.9, 0.1], &[2, 2]);
        let (got, _) = loss(joint, task, &output, &batch(&soft, None));
        assert!((got - by_hand([0.75, 0.1])).abs() < 1e-12, "{got}");
    }
}

proptest! {
    /// λ = 0 is the mean of the members' losses, to the bit, and λ = 1 the loss of the mean output, for values and classes.
    #[test]
    fn negative_correlation_goes_from_independent_to_joint(
        numbers in prop::collection::vec(-3f64..3., 18),
        weights in prop::collection::vec(0.1f64..2., 2),
        weighted: bool,
    ) {
        let weights = weighted.then_some(weights.as_slice());
        let labels = Tensor::new(&[2u32, 0], &Device::Cpu).unwrap();
        let values = tensor(&numbers[..6], &[2, 3]);
        for (task, targets) in [(THREE, labels), (Task::Regression { outputs: 3 }, values)] {
            let (output, batch) = (tensor(&numbers, &[6, 3]), batch(&targets, weights));
            let independent = loss(JointLoss::NegativeCorrelation { lambda: 0. }, task, &output, &batch);
            prop_assert_eq!(&independent, &loss(JointLoss::MemberMean, task, &output, &batch));

            // Computed member by member, and on the mean.
            let of_task = Loss::default_for(task, Output::Logits, 3);
            let one = of_one(&batch, MEMBERS).unwrap();
            let each = (0..MEMBERS).map(|member| {
                let own = output.narrow(0, member * ROWS, ROWS).unwrap();
                flat(&of_task.mean(&own, &one.targets, one.weights.as_ref()).unwrap())[0]
            });
            let mean = each.sum::<f64>() / MEMBERS as f64;
            prop_assert!((independent.0 - mean).abs() < 1e-12, "{} is not {}", independent.0, mean);
            let joint = loss(JointLoss::NegativeCorrelation { lambda: 1. }, task, &output, &batch);
            let of_mean = output.reshape((MEMBERS, ROWS, 3)).unwrap().mean(0).unwrap();
            let of_mean = flat(&of_task.mean(&of_mean, &one.targets, one.weights.as_ref()).unwrap())[0];
            prop_assert!((joint.0 - of_mean).abs() < 1e-12, "{} is not {}", joint.0, of_mean);
            // Jensen: the mean output is never worse than the members on average.
            prop_assert!(joint.0 <= independent.0 + 1e-12);
        }
    }

    #[test]
    fn a_joint_loss_is_read_as_it_is_written(lambda in 0f64..=1., shrinkage in 0.001f64..=1.) {
        for joint in [
            JointLoss::MemberMean,
            JointLoss::Fusion,
            JointLoss::NegativeCorrelation { lambda },
            JointLoss::SoftGradientBoosting { shrinkage },
        ] {
            prop_assert_eq!(JointLoss::registry().parse(&joint.to_string()).unwrap(), joint);
        }
    }
}

#[test]
fn bad_parameters_and_networks_are_named() {
    let parse = |text| JointLoss::registry().parse(text).unwrap_err().to_string();
    assert!(parse("ncl:1.5").contains("lambda must be from 0 to 1, but is 1.5"));
    assert!(parse("sgb:0").contains("shrinkage must be above 0 and at most 1, but is 0"));
    assert!(parse("fusoin").contains("did you mean fusion"));
    let own = MemberBatches::Own { repetitions: 1, shared: 0. };
    for (count, batches) in [(1, MemberBatches::Shared), (4, MemberBatches::Single), (4, own)] {
        let members = Members { count, batches };
        assert!(JointLoss::MemberMean.check_members(members).is_ok());
        let e = JointLoss::Fusion.check_members(members).unwrap_err().to_string();
        assert!(
            e.starts_with("the joint loss must be JointLoss::MemberMean for a network that has not"),
            "{e}"
        );
    }
    let shared = Members { count: 4, batches: MemberBatches::Shared };
    assert!(JointLoss::Fusion.check_members(shared).is_ok());
}

#[test]
fn losses_that_do_not_go_together_are_refused() {
    let config = |joint: JointLoss, change: &dyn Fn(&mut TrainConfig)| {
        let mut config = TrainConfig::default();
        change(&mut config);
        joint.check_with(&config, THREE, Output::Logits).map_err(|e| e.to_string())
    };
    let boosting = JointLoss::SoftGradientBoosting { shrinkage: 1. };
    let smoothed = |config: &mut TrainConfig| config.loss = Some(Loss::CrossEntropy { smoothing: 0.1 });
    assert!(config(boosting, &|_| ()).is_ok());
    assert!(config(boosting, &smoothed).unwrap_err().contains("the squared error"));
    assert!(config(boosting, &|c| c.custom_loss = Some("own".into()))
        .unwrap_err()
        .contains("the squared error"));
    let distilled = |config: &mut TrainConfig| config.distillation = Some(Default::default());
    let half = JointLoss::NegativeCorrelation { lambda: 0.5 };
    assert!(config(half, &distilled)
        .unwrap_err()
        .starts_with("distillation must be off with NegativeCorrelation"));
    assert!(config(JointLoss::Fusion, &distilled).is_ok() && config(half, &smoothed).is_ok());
    let e = JointLoss::Fusion
        .check_with(&TrainConfig::default(), VALUES, Output::Gaussian)
        .unwrap_err()
        .to_string();
    assert!(e.contains("whose mean is an output"), "{e}");
    let values = TrainConfig { loss: Some(Loss::MeanSquared), ..TrainConfig::default() };
    assert!(boosting.check_with(&values, VALUES, Output::Logits).is_ok());
}
