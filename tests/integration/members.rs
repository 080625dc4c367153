//! The training of networks that hold several members, compared with closed forms in f64 and with the training of plain
//! networks.
use crate::{
    common::{bits, blobs, bytes, flat, line, listed, CPU},
    resume::interrupt_everywhere_on,
};
use candle_core::{DType, Module, Result as CandleResult, Tensor};
use candle_ensemble::{
    data::{Dataset, Inputs, Scaling, TensorDataset},
    exec::{Executor, Sequential, Stacked, Threads},
    network::{MemberBatches, Members},
    nn::{self, many::EfficientEnsemble},
    observe::{Event, Flow, Observer},
    plan::Settings,
    strategy::MultiRun,
    train::{
        Adversarial, Averaging, BatchTransforms, ClassWeights, Distillation, EarlyStopping, JointLoss, Loss,
        LossScale, Monitor, Noises, Optimizer, Output, ProjectedGradient, Sgd, Trainer, WarmStart,
    },
    weights::Weights,
    Checkpoints, Member, Network, Result, Session,
};
use candle_nn::{Init, VarBuilder};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// The number of members.
const M: usize = 3;
const SHARED: MemberBatches = MemberBatches::Shared;

/// Independent linear networks: `members.weight` `(M, K, inputs)` and `members.bias` `(M, K)`.
struct Lines {
    weight: Tensor,
    bias: Tensor,
    batches: MemberBatches,
}

impl Lines {
    fn new(outputs: usize, batches: MemberBatches, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        let weight =
            vb.get_with_hints((M, outputs, 2), "members.weight", Init::Uniform { lo: -1., up: 1. })?;
        let bias = vb.get_with_hints((M, outputs), "members.bias", Init::Const(0.25))?;
        Ok(Self { weight, bias, batches })
    }

    fn member(&self, member: usize, x: &Tensor) -> CandleResult<Tensor> {
        x.matmul(&self.weight.get(member)?.t()?)?.broadcast_add(&self.bias.get(member)?)
    }

    fn all(&self, x: &Tensor) -> CandleResult<Tensor> {
        Tensor::cat(&(0..M).map(|member| self.member(member, x)).collect::<CandleResult<Vec<_>>>()?, 0)
    }
}

impl Network for Lines {
    fn run(&self, inputs: &Inputs, train: bool) -> CandleResult<Tensor> {
        let x = inputs.only()?;
        match (train, self.batches) {
            (true, MemberBatches::Own { .. }) => {
                let rows = x.dim(0)? / M;
                let of = |member: usize| self.member(member, &x.narrow(0, member * rows, rows)?);
                Tensor::cat(&(0..M).map(of).collect::<CandleResult<Vec<_>>>()?, 0)
            }
            (true, MemberBatches::Shared) => self.all(x),
            // The first member stands for all.
            (true, _) => self.member(0, x),
            (false, _) => {
                let all = self.all(x)?;
                let dims = [&[M, x.dim(0)?], &all.dims()[1..]].concat();
                all.reshape(dims)?.mean(0)
            }
        }
    }

    fn members(&self) -> Members {
        Members { count: M, batches: self.batches }
    }

    fn run_members(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        self.all(inputs.only()?)
    }
}

fn lines(outputs: usize, batches: MemberBatches) -> Trainer<Lines> {
    let trainer = Trainer::new(move |vb| Lines::new(outputs, batches, &vb)).dtype(DType::F64);
    trainer.optimizer(Optimizer::sgd(0.1)).shuffle(false)
}

/// The plain network that one member is.
fn plain(outputs: usize) -> Trainer<candle_nn::Linear> {
    let trainer = Trainer::new(move |vb: VarBuilder<'_>| {
        let weight = vb.get_with_hints((outputs, 2), "weight", Init::Const(0.))?;
        let bias = vb.get_with_hints(outputs, "bias", Init::Const(0.))?;
        Ok(candle_nn::Linear::new(weight, Some(bias)))
    });
    trainer.dtype(DType::F64).optimizer(Optimizer::sgd(0.1)).shuffle(false)
}

/// Weights `(M, K, 2)` and biases `(M, K)` of the members, those of member `m` times `1 + by · m`.
fn weights(outputs: usize, by: f64) -> (Vec<f64>, Vec<f64>) {
    let of = |count: usize, from: f64| -> Vec<f64> {
        let number = |m: usize, i: usize| (0.3 - 0.35 * (i as f64 + from)) * (1. + by * m as f64);
        (0..M).flat_map(|m| (0..count).map(move |i| number(m, i))).collect()
    };
    (of(outputs * 2, 0.), of(outputs, 0.4))
}

fn start(outputs: usize, by: f64) -> WarmStart {
    let (weight, bias) = weights(outputs, by);
    let weight = Tensor::from_vec(weight, (M, outputs, 2), &CPU).unwrap();
    let bias = Tensor::from_vec(bias, (M, outputs), &CPU).unwrap();
    let all: Weights = BTreeMap::from([("members.weight".into(), weight), ("members.bias".into(), bias)])
        .into_iter()
        .collect();
    WarmStart::new(all).unwrap()
}

fn plain_start(outputs: usize) -> WarmStart {
    let (weight, bias) = weights(outputs, 0.);
    let weight = Tensor::from_slice(&weight[..outputs * 2], (outputs, 2), &CPU).unwrap();
    let bias = Tensor::from_slice(&bias[..outputs], outputs, &CPU).unwrap();
    let all: Weights =
        BTreeMap::from([("weight".into(), weight), ("bias".into(), bias)]).into_iter().collect();
    WarmStart::new(all).unwrap()
}

fn wide(data: TensorDataset) -> TensorDataset {
    let x = data.inputs().only().unwrap().to_dtype(DType::F64).unwrap();
    match data.targets().dtype().is_float() {
        true => TensorDataset::regression(x, &data.targets().to_dtype(DType::F64).unwrap()).unwrap(),
        false => TensorDataset::classification(x, data.targets()).unwrap(),
    }
}

fn one<N: Network>(trainer: &Trainer<N>, data: &dyn Dataset) -> Result<Member> {
    let pool = Session::new(trainer, data).executor(&Sequential).fit(&MultiRun::new(1), 5)?;
    Ok(pool.members()[0].clone())
}

/// The same with a quarter of the rows for validation, and the numbers of these rows.
fn validated<N: Network>(trainer: &Trainer<N>, data: &dyn Dataset) -> Result<(Member, Vec<u32>)> {
    let (session, builder) =
        (Session::new(trainer, data).executor(&Sequential), MultiRun::new(1).validation(0.25));
    let rows = listed(&session.plan(&builder, 5)?.runs[0].valid);
    let pool = session.fit(&builder, 5)?;
    Ok((pool.members()[0].clone(), rows))
}

fn close(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-9, "{got} is not {want}");
}

// ---- Closed forms.

/// `(x₀, x₁, 1)` and the target of each row.
fn rows_of(data: &TensorDataset) -> Vec<([f64; 3], f64)> {
    let (x, y) = (flat(data.inputs().only().unwrap()), flat(data.targets()));
    x.chunks(2).zip(y).map(|(x, y)| ([x[0], x[1], 1.], y)).collect()
}

fn dot(w: [f64; 3], x: [f64; 3]) -> f64 {
    w[0] * x[0] + w[1] * x[1] + w[2] * x[2]
}

/// The weights and the bias of each member, for one output.
fn of_members(weight: &[f64], bias: &[f64]) -> [[f64; 3]; M] {
    std::array::from_fn(|m| [weight[2 * m], weight[2 * m + 1], bias[m]])
}

fn trained(member: &Member) -> [[f64; 3]; M] {
    of_members(&flat(&member.weights["members.weight"]), &flat(&member.weights["members.bias"]))
}

/// Gradient descent on all rows, where `slopes` are the derivatives of the loss by the outputs of the members for a row.
fn descended(
    rows: &[([f64; 3], f64)],
    steps: usize,
    slopes: impl Fn([f64; M], f64) -> [f64; M],
) -> [[f64; 3]; M] {
    let (weight, bias) = weights(1, 0.5);
    let mut w = of_members(&weight, &bias);
    for _ in 0..steps {
        let mut gradient = [[0.; 3]; M];
        for (x, y) in rows {
            let slopes = slopes(w.map(|w| dot(w, *x)), *y);
            for (gradient, slope) in gradient.iter_mut().zip(slopes) {
                (0..3).for_each(|i| gradient[i] += slope * x[i] / rows.len() as f64);
            }
        }
        for (w, gradient) in w.iter_mut().zip(gradient) {
            (0..3).for_each(|i| w[i] -= 0.1 * gradient[i]);
        }
    }
    w
}

fn assert_close(got: [[f64; 3]; M], want: [[f64; 3]; M]) {
    for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
        close(*got, *want);
    }
}

const JOINT: [JointLoss; 4] = [
    JointLoss::MemberMean,
    JointLoss::Fusion,
    JointLoss::NegativeCorrelation { lambda: 0.7 },
    JointLoss::SoftGradientBoosting { shrinkage: 0.5 },
];

/// The derivatives of each joint loss, by hand.
fn slopes(joint: JointLoss, o: [f64; M], y: f64) -> [f64; M] {
    let mean = o.iter().sum::<f64>() / M as f64;
    let of = |m: usize| match joint {
        JointLoss::Fusion => 2. / M as f64 * (mean - y),
        JointLoss::NegativeCorrelation { lambda } => 2. / M as f64 * (o[m] - y - lambda * (o[m] - mean)),
        JointLoss::SoftGradientBoosting { shrinkage: nu } => {
            let error = |m: usize| o[m] - y + nu * o[..m].iter().sum::<f64>();
            2. * (error(m) + nu * (m + 1..M).map(error).sum::<f64>())
        }
        _ => 2. / M as f64 * (o[m] - y),
    };
    std::array::from_fn(of)
}

#[test]
fn members_on_one_batch_follow_the_recursion_of_each_joint_loss() -> Result<()> {
    let data = wide(line(1, 12, 0.3));
    let rows = rows_of(&data);
    for joint in JOINT {
        for epochs in [1, 2, 7] {
            let trainer = lines(1, SHARED)
                .joint_loss(joint)
                .warm_start(start(1, 0.5))
                .batch_size(12usize)
                .epochs(epochs);
            let member = one(&trainer, &data)?;
            assert_close(trained(&member), descended(&rows, epochs, |o, y| slopes(joint, o, y)));
        }
    }
    Ok(())
}

/// The recorded loss of the training is that of the joint loss, and its metric that of the members, or of what they predict
/// together.
#[test]
fn the_curve_has_the_loss_of_the_members_and_the_error_of_what_they_predict() -> Result<()> {
    let data = wide(line(1, 12, 0.3));
    let (weight, bias) = weights(1, 0.5);
    let outputs: Vec<([f64; M], f64)> = {
        let w = of_members(&weight, &bias);
        rows_of(&data).into_iter().map(|(x, y)| (w.map(|w| dot(w, x)), y)).collect()
    };
    let mean_over_rows =
        |f: &dyn Fn([f64; M], f64) -> f64| outputs.iter().map(|(o, y)| f(*o, *y)).sum::<f64>() / 12.;
    let mean = |o: [f64; M]| o.iter().sum::<f64>() / M as f64;
    let each = |o: [f64; M], y: f64| o.iter().map(|o| (o - y).powi(2)).sum::<f64>() / M as f64;
    let together = |o: [f64; M], y: f64| (mean(o) - y).powi(2);
    let boosted = |o: [f64; M], y: f64| {
        (0..M).map(|m| (o[m] - y + 0.5 * o[..m].iter().sum::<f64>()).powi(2)).sum::<f64>()
    };
    let half_of_sum = |o: [f64; M], y: f64| (0.5 * o.iter().sum::<f64>() - y).powi(2);
    let correlated = |o: [f64; M], y: f64| 0.3 * each(o, y) + 0.7 * together(o, y);
    type OfRow<'f> = &'f dyn Fn([f64; M], f64) -> f64;
    let expected: [(OfRow<'_>, OfRow<'_>); 4] =
        [(&each, &each), (&together, &together), (&correlated, &together), (&boosted, &half_of_sum)];
    for (joint, (loss, square)) in JOINT.into_iter().zip(expected) {
        let trainer =
            lines(1, SHARED).joint_loss(joint).warm_start(start(1, 0.5)).batch_size(12usize).epochs(1);
        let record = one(&trainer, &data)?.record.curve[0].clone();
        close(record.train_loss, mean_over_rows(loss));
        close(record.train_metric, mean_over_rows(square).sqrt());
    }
    Ok(())
}

/// The rows of all members are one batch, whose mean is that of the members' losses also where rows and classes have weights:
/// after a step the weights are those of gradients that are computed member by member.
#[test]
fn weights_of_rows_and_classes_count_for_each_member() -> Result<()> {
    let (rows, classes) = (9usize, 3usize);
    let of_rows: Vec<f32> = (0..rows).map(|row| 0.5 + row as f32 / 4.).collect();
    let of_classes = [1., 2.5, 0.5];
    let data = wide(blobs(4, rows, 3, 0.5)).with_weights(of_rows.clone())?;
    let trainer = lines(3, SHARED).warm_start(start(3, 0.5)).batch_size(rows).epochs(1);
    let member = one(&trainer.class_weights(ClassWeights::Given(of_classes.to_vec())), &data)?;

    let (x, labels) = (flat(data.inputs().only().unwrap()), flat(data.targets()));
    let counts: Vec<f64> =
        (0..rows).map(|row| f64::from(of_rows[row]) * of_classes[labels[row] as usize]).collect();
    let total: f64 = counts.iter().sum();
    let (mut weight, mut bias) = weights(3, 0.5);
    let (before, before_bias) = (weight.clone(), bias.clone());
    let mut loss = 0.;
    for m in 0..M {
        for row in 0..rows {
            let x = &x[2 * row..2 * row + 2];
            let at = |c: usize| 2 * (m * classes + c);
            let z: Vec<f64> = (0..classes)
                .map(|c| before[at(c)] * x[0] + before[at(c) + 1] * x[1] + before_bias[m * classes + c])
                .collect();
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            let label = labels[row] as usize;
            loss -= counts[row] / total * (z[label].exp() / sum).ln() / M as f64;
            for c in 0..classes {
                let slope =
                    counts[row] / total * (z[c].exp() / sum - f64::from(u8::from(c == label))) / M as f64;
                weight[at(c)] -= 0.1 * slope * x[0];
                weight[at(c) + 1] -= 0.1 * slope * x[1];
                bias[m * classes + c] -= 0.1 * slope;
            }
        }
    }
    close(member.record.curve[0].train_loss, loss);
    flat(&member.weights["members.weight"]).iter().zip(&weight).for_each(|(got, want)| close(*got, *want));
    flat(&member.weights["members.bias"]).iter().zip(&bias).for_each(|(got, want)| close(*got, *want));
    Ok(())
}

/// Each member has all rows of the batch, in orders of their own and several times, so members that share nothing learn what
/// they learn on one batch; and the targets are those of the rows.
#[test]
fn rows_of_their_own_are_all_rows_for_each_member() -> Result<()> {
    let data = wide(line(2, 12, 0.3)).with_weights((0..12).map(|row| 0.5 + row as f32).collect())?;
    let trained_on = |batches| {
        let trainer = lines(1, batches).warm_start(start(1, 0.5)).batch_size(12usize).epochs(5);
        one(&trainer, &data)
    };
    let shared = trained_on(SHARED)?;
    for (repetitions, same) in [(1, 0.), (2, 0.5), (3, 1.)] {
        let own = trained_on(MemberBatches::Own { repetitions, shared: same })?;
        assert_close(trained(&own), trained(&shared));
        let (a, b) = (&own.record.curve[4], &shared.record.curve[4]);
        close(a.train_loss, b.train_loss);
        close(a.train_metric, b.train_metric);
    }
    Ok(())
}

/// A network that trains as one has the steps of a plain network, to the bit.
#[test]
fn a_single_batch_is_that_of_a_plain_network() -> Result<()> {
    let data = wide(line(2, 12, 0.3));
    let single = lines(1, MemberBatches::Single).allow_frozen(true);
    let single = one(&single.warm_start(start(1, 0.)).batch_size(4usize).epochs(3), &data)?;
    let alone = one(&plain(1).warm_start(plain_start(1)).batch_size(4usize).epochs(3), &data)?;
    let first = single.weights["members.weight"].narrow(0, 0, 1)?;
    assert_eq!(bits(&first), bits(&alone.weights["weight"]));
    let losses =
        |member: &Member| member.record.curve.iter().map(|r| r.train_loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(losses(&single), losses(&alone));
    Ok(())
}

// ---- Members that are alike learn what a plain network learns.

type Change<N> = fn(Trainer<N>) -> Trainer<N>;

/// A technique, for both types of networks.
macro_rules! technique {
    ($name:literal, |$trainer:ident| $changed:expr) => {
        (
            $name,
            (|$trainer: Trainer<Lines>| $changed) as Change<Lines>,
            (|$trainer: Trainer<candle_nn::Linear>| $changed) as Change<candle_nn::Linear>,
        )
    };
}

/// Members that begin alike stay alike under every technique that gives them the same rows, and are the plain network that
/// is trained with a rate of `1 / M`.
#[test]
fn members_that_are_alike_are_the_plain_network() -> Result<()> {
    let data = wide(blobs(6, 32, 3, 0.6));
    let teacher = Tensor::full(1. / 3., (32, 3), &CPU)?;
    let distilled = data.clone().with_soft_targets(&teacher)?;
    let weighted = data.clone().with_weights((0..32).map(|row| 0.25 + row as f32).collect())?;
    let techniques = [
        technique!("nothing", |t| t),
        technique!("label smoothing", |t| t.loss(Loss::CrossEntropy { smoothing: 0.1 })),
        technique!("focal loss", |t| t.loss(Loss::Focal { gamma: 2. })),
        technique!("mixup", |t| t.augment(BatchTransforms::parse("mixup:0.4").unwrap())),
        technique!("noise on inputs", |t| t.noise(Noises::parse("input:0.1").unwrap())),
        technique!("scaling", |t| t.input_scaling(Scaling::Standardize)),
        technique!("class weights", |t| t.class_weights(ClassWeights::parse("balanced").unwrap())),
        technique!("fast gradient sign", |t| t.adversarial(Adversarial::fast_gradient_sign(0.05))),
        technique!("projected gradient", |t| t.adversarial(ProjectedGradient::new(0.05).steps(3))),
        technique!("accumulation", |t| t.accumulate(2)),
        technique!("loss scale", |t| t.loss_scale(LossScale::Static(8.))),
        technique!("monitor", |t| t.monitor(Monitor::default())),
        technique!("own transform", |t| t.augment_with("double", |batch, _| {
            Ok(candle_ensemble::data::Batch { inputs: (batch.inputs.only()? * 2.)?.into(), ..batch })
        })),
        technique!("custom loss", |t| t.custom_loss("cross-entropy", |z, batch| {
            let log = candle_nn::ops::log_softmax(z, 1)?;
            log.gather(&batch.targets.unsqueeze(1)?, 1)?.squeeze(1)?.neg()
        })),
        technique!("fusion", |t| t),
        technique!("negative correlation", |t| t),
        technique!("distillation", |t| t.distillation(Distillation::new())),
        technique!("weights", |t| t.augment(BatchTransforms::parse("mixup:0.4").unwrap())),
    ];
    for (name, of_members, of_one) in techniques {
        let data: &TensorDataset = match name {
            "distillation" => &distilled,
            "weights" => &weighted,
            _ => &data,
        };
        let joint = match name {
            "fusion" => JointLoss::Fusion,
            "negative correlation" => JointLoss::NegativeCorrelation { lambda: 0.6 },
            _ => JointLoss::MemberMean,
        };
        let members = lines(3, SHARED).optimizer(Sgd::new(0.1 * M as f64).momentum(0.9)).joint_loss(joint);
        let members = of_members(members.warm_start(start(3, 0.)).batch_size(5usize).epochs(3));
        let alone = plain(3).optimizer(Sgd::new(0.1).momentum(0.9));
        let alone = of_one(alone.warm_start(plain_start(3)).batch_size(5usize).epochs(3));
        let ((members, _), (alone, _)) = (validated(&members, data)?, validated(&alone, data)?);
        let each = flat(&members.weights["members.weight"]);
        let expected = flat(&alone.weights["weight"]);
        for (got, want) in each.iter().zip(expected.iter().cycle()) {
            assert!((got - want).abs() < 1e-9, "{name}: {got} is not {want}");
        }
        for (a, b) in members.record.curve.iter().zip(&alone.record.curve) {
            assert!((a.train_loss - b.train_loss).abs() < 1e-9, "{name}: {a:?} {b:?}");
            assert!((a.train_metric - b.train_metric).abs() < 1e-9, "{name}: {a:?} {b:?}");
            assert!((a.valid_loss.unwrap() - b.valid_loss.unwrap()).abs() < 1e-9, "{name}: {a:?} {b:?}");
            assert_eq!(a.valid_metric, b.valid_metric, "{name}");
            assert_eq!(a.monitors.is_some(), name == "monitor");
        }
    }
    Ok(())
}

/// Rows with a class at each of several positions, some of them ignored, and rows with several labels.
#[test]
fn rows_with_positions_count_at_each_for_each_member() -> Result<()> {
    let x = wide(line(5, 24, 0.)).inputs().only().unwrap().clone();
    let classes: Vec<u32> = flat(&x)
        .iter()
        .map(|x| match *x {
            x if x < -0.7 => 9,
            x if x < 0. => 0,
            _ => 1,
        })
        .collect();
    // A position for each of the two inputs; the network has two logits, one for each.
    let labels = Tensor::from_iter(classes.iter().map(|c| c % 2), &CPU)?.reshape((24, 2))?;
    let several = TensorDataset::multi_label(&x, &labels)?;
    let member =
        lines(2, SHARED).optimizer(Optimizer::sgd(0.3)).warm_start(start(2, 0.)).batch_size(7usize).epochs(3);
    let alone = plain(2).warm_start(plain_start(2)).batch_size(7usize).epochs(3);
    let ((member, _), (alone, _)) = (validated(&member, &several)?, validated(&alone, &several)?);
    let expected = flat(&alone.weights["weight"]);
    flat(&member.weights["members.weight"])
        .iter()
        .zip(expected.iter().cycle())
        .for_each(|(a, b)| close(*a, *b));
    for (a, b) in member.record.curve.iter().zip(&alone.record.curve) {
        close(a.train_loss, b.train_loss);
        close(a.valid_loss.unwrap(), b.valid_loss.unwrap());
    }
    Ok(())
}

// ---- Evaluation.

/// The loss of validation rows is that of the mean of the members' probabilities, and the metric its accuracy.
#[test]
fn the_validation_is_that_of_the_ensembles_prediction() -> Result<()> {
    let data = wide(blobs(7, 40, 3, 0.9));
    let (x, labels) = (flat(data.inputs().only().unwrap()), flat(data.targets()));
    for (joint, averages_logits) in [(JointLoss::MemberMean, false), (JointLoss::Fusion, true)] {
        let trainer = lines(3, SHARED).joint_loss(joint).warm_start(start(3, 1.5)).epochs(2);
        let (member, rows) = validated(&trainer, &data)?;
        let (weight, bias) = (flat(&member.weights["members.weight"]), flat(&member.weights["members.bias"]));
        let (mut loss, mut correct) = (0., 0.);
        for &row in &rows {
            let row = row as usize;
            let logits = |m: usize| -> Vec<f64> {
                let of = |c: usize| {
                    let at = 2 * (m * 3 + c);
                    weight[at] * x[2 * row] + weight[at + 1] * x[2 * row + 1] + bias[m * 3 + c]
                };
                (0..3).map(of).collect()
            };
            let softmax = |z: Vec<f64>| -> Vec<f64> {
                let sum: f64 = z.iter().map(|z| z.exp()).sum();
                z.iter().map(|z| z.exp() / sum).collect()
            };
            let mean = |of: &dyn Fn(usize) -> Vec<f64>| -> Vec<f64> {
                (0..3).map(|c| (0..M).map(|m| of(m)[c]).sum::<f64>() / M as f64).collect()
            };
            let p = match averages_logits {
                true => softmax(mean(&logits)),
                false => mean(&|m| softmax(logits(m))),
            };
            let label = labels[row] as usize;
            loss -= p[label].ln() / rows.len() as f64;
            correct += f64::from(u8::from(p.iter().all(|other| *other <= p[label]))) / rows.len() as f64;
        }
        let last = member.record.curve.last().unwrap();
        close(last.valid_loss.unwrap(), loss);
        close(last.valid_metric.unwrap(), correct);
    }
    Ok(())
}

/// A sum of members, also where targets are scaled: half the sum of the members' outputs times the deviation, plus the mean.
#[test]
fn soft_gradient_boosting_predicts_a_sum() -> Result<()> {
    let data = wide(line(8, 40, 0.3));
    let joint = JointLoss::SoftGradientBoosting { shrinkage: 0.5 };
    let trainer = lines(1, SHARED)
        .joint_loss(joint)
        .warm_start(start(1, 0.5))
        .epochs(60)
        .optimizer(Optimizer::adam(0.02));
    let (member, rows) = validated(&trainer, &data)?;
    let (w, all) = (trained(&member), rows_of(&data));
    let error = |row: &u32| {
        let (x, y) = all[*row as usize];
        (0.5 * w.map(|w| dot(w, x)).iter().sum::<f64>() - y).powi(2)
    };
    let loss = rows.iter().map(error).sum::<f64>() / rows.len() as f64;
    let (first, last) = (&member.record.curve[0], member.record.curve.last().unwrap());
    close(last.valid_loss.unwrap(), loss);
    close(last.valid_metric.unwrap(), loss.sqrt());
    assert!(loss < 0.5 * first.valid_loss.unwrap(), "it learns: {loss}");
    Ok(())
}

/// The mean of Gaussians is a mixture: the validation loss is the mean of the members' losses, the metric that of the mean, and
/// early stopping may watch the log-likelihood of the mixture.
#[test]
fn distributions_are_mixed_where_a_metric_is_of_distributions() -> Result<()> {
    let data = wide(line(9, 40, 0.3));
    let all = rows_of(&data);
    let trainer = || lines(2, SHARED).output(Output::Gaussian).warm_start(start(2, 0.5)).epochs(2);
    let rule = EarlyStopping { metric: Some("distribution-nll".into()), ..EarlyStopping::default() };
    let (watched, rows) = validated(&trainer().early_stopping(rule), &data)?;
    let (member, _) = validated(&trainer(), &data)?;
    let (weight, bias) = (flat(&member.weights["members.weight"]), flat(&member.weights["members.bias"]));
    let output = |m: usize, k: usize, x: [f64; 3]| {
        dot([weight[4 * m + 2 * k], weight[4 * m + 2 * k + 1], bias[2 * m + k]], x)
    };
    let (mut each, mut mixture, mut square) = (0., 0., 0.);
    for row in &rows {
        let (x, y) = all[*row as usize];
        let parameters: Vec<(f64, f64)> =
            (0..M).map(|m| (output(m, 0, x), output(m, 1, x).exp().ln_1p() + 1e-6)).collect();
        let log =
            |(mean, v): &(f64, f64)| -0.5 * (std::f64::consts::TAU * v).ln() - (mean - y).powi(2) / (2. * v);
        each -= parameters.iter().map(log).sum::<f64>() / M as f64;
        mixture -= (parameters.iter().map(|p| log(p).exp()).sum::<f64>() / M as f64).ln();
        square += (parameters.iter().map(|p| p.0).sum::<f64>() / M as f64 - y).powi(2);
    }
    let count = rows.len() as f64;
    let last = member.record.curve.last().unwrap();
    close(last.valid_loss.unwrap(), each / count);
    close(last.valid_metric.unwrap(), (square / count).sqrt());
    close(watched.record.curve.last().unwrap().valid_metric.unwrap(), mixture / count);
    Ok(())
}

// ---- Weight decay, resumption, executors.

/// Fast weights and biases do not decay, and the heads of the members do.
#[test]
fn fast_weights_do_not_decay() -> Result<()> {
    struct Fast(Tensor, Tensor);
    impl Network for Fast {
        fn run(&self, inputs: &Inputs, train: bool) -> CandleResult<Tensor> {
            let all = self.run_members(inputs)?;
            let rows = inputs.rows();
            if train {
                Ok(all)
            } else {
                all.reshape((2, rows, 1))?.mean(0)
            }
        }

        fn members(&self) -> Members {
            Members { count: 2, batches: MemberBatches::Shared }
        }

        fn run_members(&self, inputs: &Inputs) -> CandleResult<Tensor> {
            let x = inputs.only()?;
            let of = |m: usize| x.broadcast_mul(&self.0.get(m)?)?.matmul(&self.1.get(m)?.t()?);
            Tensor::cat(&[of(0)?, of(1)?], 0)
        }
    }
    let data = line(3, 10, 0.3);
    let after = |decay: f64| {
        let trainer = Trainer::new(|vb: VarBuilder<'_>| {
            let r = vb.get_with_hints((2, 2), "0.members.r", Init::Const(0.7))?;
            Ok(Fast(r, vb.get_with_hints((2, 1, 2), "0.members.weight", Init::Const(0.4))?))
        });
        one(&trainer.batch_size(10usize).epochs(1).optimizer(Optimizer::adamw(0.01, decay)), &data)
    };
    let (without, with) = (after(0.)?, after(0.5)?);
    assert_eq!(bits(&without.weights["0.members.r"]), bits(&with.weights["0.members.r"]));
    let (a, b) = (flat(&without.weights["0.members.weight"]), flat(&with.weights["0.members.weight"]));
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b - 0.4 * 0.01 * 0.5).abs() < 1e-6, "{a} {b}");
    }
    Ok(())
}

fn trainers() -> Vec<(&'static str, Trainer<Lines>)> {
    let own = MemberBatches::Own { repetitions: 2, shared: 0.3 };
    let of = |outputs, batches| {
        let trainer = lines(outputs, batches).dtype(DType::F32).shuffle(true).epochs(3).batch_size(7usize);
        trainer.optimizer(Optimizer::adam(0.02)).noise(Noises::parse("input:0.1,target:0.05").unwrap())
    };
    let joint = |joint| of(1, SHARED).joint_loss(joint);
    vec![
        ("shared", of(1, SHARED)),
        ("own", of(1, own)),
        ("own, averaged", of(1, own).averaging(Averaging::ema(0.5))),
        ("single", of(1, MemberBatches::Single).allow_frozen(true)),
        ("fusion", joint(JointLoss::Fusion)),
        ("negative correlation", joint(JointLoss::NegativeCorrelation { lambda: 0.5 })),
        ("boosting", joint(JointLoss::SoftGradientBoosting { shrinkage: 0.5 })),
        ("projected gradient", of(1, SHARED).adversarial(ProjectedGradient::new(0.1).steps(2).share(0.5))),
    ]
}

#[test]
fn networks_with_members_resume_to_the_bit() {
    for (name, trainer) in trainers() {
        let resumed =
            interrupt_everywhere_on(&line(4, 20, 0.3), &trainer, &MultiRun::new(2), Checkpoints::Epochs(1));
        assert!(resumed > 0, "{name}");
    }
}

#[test]
fn every_executor_gives_the_same_bytes() -> Result<()> {
    let data = line(4, 24, 0.3);
    let builder = MultiRun::new(3).validation(0.25);
    for (name, trainer) in trainers() {
        let trained = |executor: &dyn Executor| -> Result<Vec<Vec<u8>>> {
            let pool = Session::new(&trainer, &data).executor(executor).fit(&builder, 5)?;
            Ok(bytes(pool.members()))
        };
        let alone = trained(&Sequential)?;
        assert_eq!(trained(&Threads::new(3)?)?, alone, "{name}");
        assert_eq!(trained(&Stacked::new(2)?)?, alone, "{name}");
    }
    Ok(())
}

/// With how many runs each is trained side by side, 0 for one that cannot be.
#[derive(Default)]
struct Told(Mutex<Vec<usize>>);

impl Observer for Told {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::Stacked { members, .. } => self.0.lock().unwrap().push(*members),
            Event::NotStacked { reason, .. } => panic!("{reason}"),
            _ => {}
        }
        Flow::Continue
    }
}

/// The networks that share weights, whose layers can be trained side by side.
#[test]
fn networks_of_many_members_give_the_same_bytes_with_every_executor() -> Result<()> {
    let data = blobs(4, 40, 3, 0.6);
    let mlp = |vb: VarBuilder| {
        Ok(nn::seq().add(nn::linear(2, 8, vb.pp(0))?).add(nn::Activation::Relu).add(nn::linear(
            8,
            3,
            vb.pp(1),
        )?))
    };
    let builder = MultiRun::new(3).validation(0.25);
    for text in ["batch-ensemble:4", "tab-m:4", "tab-m-mini:4", "heads:4", "independent:4"] {
        let method = EfficientEnsemble::registry().parse(text)?;
        for joint in JOINT {
            let trainer = Trainer::new(move |vb| method.convert(vb, mlp)).joint_loss(joint);
            let trainer = trainer.epochs(4).batch_size(8usize).optimizer(Optimizer::adamw(0.02, 0.01));
            let trained = |executor: &dyn Executor| -> Result<Vec<Vec<u8>>> {
                let pool = Session::new(&trainer, &data).executor(executor).fit(&builder, 5)?;
                let curve = &pool.members()[0].record.curve;
                assert!(curve[3].train_loss < curve[0].train_loss, "{text} learns");
                Ok(bytes(pool.members()))
            };
            let alone = trained(&Sequential)?;
            assert_eq!(trained(&Threads::new(2)?)?, alone, "{text} {joint}");
            assert_eq!(trained(&Stacked::new(1)?)?, alone, "{text} {joint}");
            // Their layers can be trained side by side, but where the outputs become one before the loss.
            let told = Told::default();
            Session::new(&trainer, &data).executor(&Stacked::new(1)?).observer(&told).fit(&builder, 5)?;
            assert_eq!(
                told.0.into_inner().unwrap(),
                if joint == JointLoss::Fusion { vec![] } else { vec![3; 3] },
                "{text} {joint}"
            );
        }
    }
    Ok(())
}

/// The other methods, with rows of their own, as one, and on one batch.
#[test]
fn every_method_of_many_members_is_trained() -> Result<()> {
    let data = blobs(4, 40, 3, 0.6);
    let mlp = |vb: VarBuilder| {
        let hidden = nn::seq().add(nn::linear(2, 16, vb.pp(0))?).add(nn::Activation::Relu);
        Ok(hidden.add(nn::linear(16, 3, vb.pp(1))?))
    };
    let builder = MultiRun::new(2).validation(0.25);
    for text in ["packed:4", "masksembles:4", "mimo:2:2:0.3", "mc-dropout:8:0.2", "epinet:4:3:10:1"] {
        let method = EfficientEnsemble::registry().parse(text)?;
        let trainer = Trainer::new(move |vb| method.convert(vb, mlp));
        let trainer = trainer.epochs(12).batch_size(8usize).optimizer(Optimizer::adamw(0.02, 0.01));
        let trained = |executor: &dyn Executor| -> Result<Vec<Vec<u8>>> {
            let pool = Session::new(&trainer, &data).executor(executor).fit(&builder, 5)?;
            for member in pool.members() {
                let curve = &member.record.curve;
                assert!(curve[11].train_loss < 0.8 * curve[0].train_loss, "{text} learns");
                assert!(curve[11].valid_loss < curve[0].valid_loss, "{text} learns");
            }
            Ok(bytes(pool.members()))
        };
        let alone = trained(&Sequential)?;
        assert_eq!(trained(&Threads::new(2)?)?, alone, "{text}");
        assert_eq!(trained(&Stacked::new(1)?)?, alone, "{text}");
        let resumed =
            interrupt_everywhere_on(&data, &trainer.clone().epochs(2), &builder, Checkpoints::Epochs(1));
        assert!(resumed > 0, "{text}");
    }
    Ok(())
}

/// Keeps the inputs of its passes in training.
struct Watched(Lines, Arc<Mutex<Vec<Vec<f64>>>>);

impl Network for Watched {
    fn run(&self, inputs: &Inputs, train: bool) -> CandleResult<Tensor> {
        if train {
            self.1.lock().unwrap().push(flat(inputs.only()?));
        }
        self.0.run(inputs, train)
    }

    fn members(&self) -> Members {
        self.0.members()
    }

    fn run_members(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        self.0.run_members(inputs)
    }
}

/// Each member gets every row of the batch twice, in an order that is its own in each step, but for a share of the places.
#[test]
fn own_rows_are_drawn_anew_for_each_member_and_step() -> Result<()> {
    let x = Tensor::from_iter((0..20).map(f64::from), &CPU)?.reshape((10, 2))?;
    let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    let batches = MemberBatches::Own { repetitions: 2, shared: 0.3 };
    let passes = || -> Result<Vec<Vec<f64>>> {
        let seen = Arc::new(Mutex::new(vec![]));
        let kept = seen.clone();
        let trainer = Trainer::new(move |vb| Ok(Watched(Lines::new(1, batches, &vb)?, kept.clone())));
        one(&trainer.dtype(DType::F64).shuffle(false).batch_size(5usize).epochs(2), &data)?;
        let passes = std::mem::take(&mut *seen.lock().unwrap());
        Ok(passes)
    };
    let all = passes()?;
    assert_eq!(all, passes()?, "the same draws");
    // Two batches in each of two epochs, with ten places for each of three members.
    assert_eq!(all.len(), 4);
    for (step, pass) in all.iter().enumerate() {
        let rows: Vec<f64> = pass.chunks(2).map(|row| row[0] / 2.).collect();
        let members: Vec<&[f64]> = rows.chunks(10).collect();
        for of_member in &members {
            let mut sorted = of_member.to_vec();
            sorted.sort_by(f64::total_cmp);
            let first = 5. * (step % 2) as f64;
            assert_eq!(sorted, (0..10).map(|i| first + f64::from(i / 2)).collect::<Vec<_>>());
        }
        let same = (0..10).filter(|place| members.iter().all(|of| of[*place] == members[0][*place])).count();
        assert!((3..10).contains(&same), "{members:?}");
        assert!(members[0] != members[1] && members[1] != members[2]);
    }
    assert!(all[0] != all[2] && all[1] != all[3], "epochs have draws of their own");
    Ok(())
}

// ---- Settings and refusals.

#[test]
fn a_setting_of_a_run_is_the_joint_loss() -> Result<()> {
    let data = line(4, 20, 0.3);
    let set = lines(1, SHARED).epochs(2).dtype(DType::F32);
    for (text, joint) in
        [("fusion", JointLoss::Fusion), ("ncl:0.25", JointLoss::NegativeCorrelation { lambda: 0.25 })]
    {
        let settings = MultiRun::new(1).settings([Settings::new().with("joint_loss", text)]);
        let by_setting = Session::new(&set, &data).fit(&settings, 1)?.members()[0].clone();
        let by_setter =
            Session::new(&set.clone().joint_loss(joint), &data).fit(&MultiRun::new(1), 1)?.members()[0]
                .clone();
        assert_eq!(bits(&by_setting.weights["members.weight"]), bits(&by_setter.weights["members.weight"]));
    }
    Ok(())
}

/// A plain network whose outputs have the rows of several members.
struct Repeats(candle_nn::Linear, Members);

impl Network for Repeats {
    fn run(&self, inputs: &Inputs, _train: bool) -> CandleResult<Tensor> {
        self.0.forward(inputs.only()?)
    }

    fn members(&self) -> Members {
        self.1
    }
}

#[test]
fn what_does_not_go_together_is_named() {
    let data = line(4, 20, 0.3);
    let error = |result: Result<Member>| result.unwrap_err().to_string();
    let e = error(one(&plain(1).dtype(DType::F32).joint_loss(JointLoss::Fusion), &data));
    assert!(
        e.contains("the joint loss must be JointLoss::MemberMean for a network that has not several members"),
        "{e}"
    );
    let own = MemberBatches::Own { repetitions: 1, shared: 0. };
    let boosting = JointLoss::SoftGradientBoosting { shrinkage: 0.1 };
    assert!(
        error(one(&lines(1, own).dtype(DType::F32).joint_loss(boosting), &data)).contains("the joint loss")
    );
    let e = error(one(&lines(1, SHARED).joint_loss(boosting).loss(Loss::MeanAbsolute), &data));
    assert!(e.contains("whose loss is the squared error"), "{e}");
    let e = error(one(&lines(1, SHARED).joint_loss(JointLoss::NegativeCorrelation { lambda: 2. }), &data));
    assert!(e.contains("lambda must be from 0 to 1, but is 2"), "{e}");

    let of = |members: Members| {
        error(one(
            &Trainer::new(move |vb| Ok(Repeats(candle_nn::linear(2, 1, vb)?, members))).batch_size(5usize),
            &data,
        ))
    };
    let e = of(Members { count: 2, batches: SHARED });
    assert!(e.contains("for a batch of 10 rows must be [10, 1]") && e.contains("but is [5, 1]"), "{e}");
    assert!(of(Members { count: 0, batches: SHARED })
        .contains("the number of members of a network must be at least 1"));
    let own = |repetitions, shared| Members { count: 2, batches: MemberBatches::Own { repetitions, shared } };
    assert!(of(own(0, 0.)).contains("repetitions must be at least 1"));
    assert!(of(own(1, 1.5)).contains("shared must be from 0 to 1, but is 1.5"));
}
