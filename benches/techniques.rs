//! What a technique of the trainer costs: the time of a training with it, divided by the time of the same training
//! without it.
//!
//! `cargo bench --bench techniques`, for a small network of batches of 32 rows and for a large one of batches of 128.
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    data::{Batch, Scaling, TensorDataset},
    exec::Threads,
    nn::{seq, Sequential},
    strategy::MultiRun,
    threads,
    train::{
        Adversarial, Averaging, ClassWeights, Clip, Constraint, Freeze, Loss, Mixup, Monitor, Noise,
        Optimizer, ParameterGroup, ProjectedGradient, Regularizer, Sgd, Trainer,
    },
    Result, Session,
};
use candle_nn::{linear, Activation, VarBuilder};
use rand::{rngs::StdRng, Rng, SeedableRng};
use std::hint::black_box;
use turns::{Bench, Target};

mod turns;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Change = fn(Trainer<Sequential>) -> Trainer<Sequential>;

/// Each technique with what it may cost. What is off costs nothing: the trainer without any is the other side.
fn techniques() -> Vec<(&'static str, Target, Change)> {
    vec![
        ("monitor", Target::AtMost(1.05), |t| t.monitor(Monitor::default())),
        ("L2", Target::Open, |t| t.regularizer(Regularizer::l2(1e-4))),
        ("L1", Target::Open, |t| t.regularizer(Regularizer::l1(1e-5))),
        ("orthogonal penalty", Target::Open, |t| t.regularizer(Regularizer::orthogonal(1e-4))),
        ("decoupled decay", Target::Open, |t| t.optimizer(Optimizer::adamw(1e-3, 0.01))),
        ("max-norm", Target::Open, |t| t.constraint(Constraint::max_norm(3.))),
        ("clip by norm", Target::Open, |t| t.clip(Clip::Norm(1.))),
        ("clip by unit (AGC)", Target::Open, |t| t.clip(Clip::Adaptive { ratio: 0.01, floor: 1e-3 })),
        ("adversarial training", Target::Open, |t| t.adversarial(Adversarial::fast_gradient_sign(0.01))),
        ("adversarial training, 3 steps", Target::Open, |t| {
            t.adversarial(ProjectedGradient::new(0.01).steps(3))
        }),
        ("focal loss", Target::Open, |t| t.loss(Loss::Focal { gamma: 2. })),
        ("class weights", Target::Open, |t| t.class_weights(ClassWeights::Balanced)),
        ("custom loss", Target::Open, |t| t.custom_loss("cross-entropy", cross_entropy)),
        ("noise on inputs", Target::Open, |t| t.noise(Noise::inputs(0.1))),
        ("mixup", Target::Open, |t| t.augment(Mixup::new(0.2))),
        ("two batches for each step", Target::Open, |t| t.accumulate(2)),
        ("noise on weights", Target::Open, |t| t.noise(Noise::weights(0.01))),
        ("input scaling", Target::Open, |t| t.input_scaling(Scaling::Standardize)),
        ("average (EMA)", Target::Open, |t| t.averaging(Averaging::ema(0.99))),
        ("SGD with momentum", Target::Open, |t| t.optimizer(Sgd::new(0.01).momentum(0.9))),
        ("all but the head frozen", Target::Open, |t| t.freeze(Freeze::names_like(["0.*", "1.*"]))),
        ("the first layer frozen", Target::Open, |t| t.freeze(1)),
        ("parameter groups", Target::AtMost(1.05), |t| {
            t.parameter_groups(ParameterGroup::names(["0.*"]).factor(0.1)).layer_decay(0.8)
        }),
        ("AMSGrad", Target::Open, |t| t.optimizer(Optimizer::amsgrad(1e-3))),
        ("NAdam", Target::Open, |t| t.optimizer(Optimizer::nadam(1e-3))),
        ("Lion", Target::Open, |t| t.optimizer(Optimizer::lion(1e-4))),
        ("LAMB", Target::Open, |t| t.optimizer(Optimizer::lamb(1e-3))),
    ]
}

/// The cross-entropy of candle's operations.
fn cross_entropy(outputs: &Tensor, batch: &Batch) -> candle_core::Result<Tensor> {
    let log = candle_nn::ops::log_softmax(outputs, 1)?;
    log.gather(&batch.targets.unsqueeze(1)?, 1)?.squeeze(1)?.neg()
}

/// A multi-layer perceptron with data that it is trained on.
struct Case {
    name: &'static str,
    widths: &'static [usize],
    batch: usize,
    rows: usize,
    epochs: usize,
}

const CASES: [Case; 2] = [
    Case { name: "64-64-32-10", widths: &[64, 64, 32, 10], batch: 32, rows: 1280, epochs: 5 },
    Case { name: "784-512-512-10", widths: &[784, 512, 512, 10], batch: 128, rows: 1280, epochs: 2 },
];

fn mlp(widths: &[usize], vb: VarBuilder<'_>) -> candle_core::Result<Sequential> {
    let mut network = seq();
    for (i, pair) in widths.windows(2).enumerate() {
        let layer = linear(pair[0], pair[1], vb.pp(i))?;
        network = if i == 0 { network.add(layer) } else { network.add(Activation::Relu).add(layer) };
    }
    Ok(network)
}

impl Case {
    fn data(&self) -> Result<TensorDataset> {
        let mut rng = StdRng::seed_from_u64(7);
        let columns = self.widths[0];
        let x = (0..self.rows * columns).map(|_| rng.random_range(-1f32..1.)).collect();
        let x = Tensor::from_vec(x, (self.rows, columns), &Device::Cpu)?.to_dtype(DType::F32)?;
        TensorDataset::classification(
            x,
            &Tensor::from_iter((0..self.rows as u32).map(|i| i % 10), &Device::Cpu)?,
        )
    }

    fn trainer(&self, epochs: usize) -> Trainer<Sequential> {
        let widths = self.widths;
        Trainer::new(move |vb| mlp(widths, vb))
            .optimizer(Optimizer::adam(1e-3))
            .batch_size(self.batch)
            .epochs(epochs)
    }
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let (mut bench, one) = (Bench::new(), Threads::new(1)?);
    for case in &CASES {
        let epochs = if Bench::measured() { case.epochs } else { 1 };
        let data = case.data()?;
        let train = |trainer: &Trainer<Sequential>| {
            let pool =
                Session::new(trainer, &data).executor(&one).fit(&MultiRun::new(1), 42).expect("trained");
            black_box(pool.members().len());
        };
        for (name, target, turn_on) in techniques() {
            let (with, without) = (turn_on(case.trainer(epochs)), case.trainer(epochs));
            let name = format!("techniques/{}, {name} : without", case.name);
            bench.pair(name, target, || train(&with), Some(&|| train(&without)));
        }
    }
    bench.finish();
    Ok(())
}
