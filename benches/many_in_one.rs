//! What many networks in one cost in training, as ratios of times within one run: TabM with 32 members against 32 networks that
//! are trained side by side, against 32 networks one by one, and against a single network; the other methods against a single
//! network; and the passes of a step alone.
//!
//! `cargo bench --bench many_in_one`
use candle_core::{Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    data::{Inputs, TensorDataset},
    exec::{Executor, Stacked, Threads},
    nn::{
        backward,
        many::{BatchEnsemble, EfficientEnsemble, Independent, TabM, TabMMini},
    },
    strategy::MultiRun,
    threads,
    train::{Optimizer, Trainer},
    weights::{fresh, Vars},
    AnyNetwork, Network, Result, Session,
};
use candle_nn::VarBuilder;
use noise::noise;
use rand::{rngs::StdRng, Rng, SeedableRng};
use std::hint::black_box;
use turns::{Bench, Target};

mod noise;
mod perceptron;
mod turns;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MEMBERS: usize = 32;
/// The network and the rows of the passes alone.
const PASS_WIDTHS: [usize; 5] = [8, 256, 256, 256, 1];
const PASS_ROWS: usize = 128;

/// A multi-layer perceptron with data that it is trained on.
struct Case {
    name: &'static str,
    widths: &'static [usize],
    batch: usize,
    rows: usize,
}

const CASES: [Case; 2] = [
    Case { name: "64-128-128-10", widths: &[64, 128, 128, 10], batch: 64, rows: 640 },
    Case { name: "8-512-512-1", widths: &[8, 512, 512, 1], batch: 256, rows: 1024 },
];

/// The other methods, which are compared with a single network.
const OTHERS: [&str; 6] =
    ["tab-m-mini:32", "batch-ensemble:8", "packed:8", "heads:8", "independent:8", "mc-dropout:32:0.1"];

impl Case {
    fn data(&self) -> Result<TensorDataset> {
        let mut rng = StdRng::seed_from_u64(7);
        let columns = self.widths[0];
        let x: Vec<f32> = (0..self.rows * columns).map(|_| rng.random_range(-1f32..1.)).collect();
        let x = Tensor::from_vec(x, (self.rows, columns), &Device::Cpu)?;
        match self.widths.last() {
            Some(1) => TensorDataset::regression(x.clone(), &x.sum(1)?),
            _ => {
                let labels = (0..self.rows as u32).map(|i| i % 10);
                TensorDataset::classification(x, &Tensor::from_iter(labels, &Device::Cpu)?)
            }
        }
    }

    /// The trainer of the plain network, or of the network of a method.
    fn trainer(&self, method: Option<&str>) -> Result<Trainer<AnyNetwork>> {
        let widths = self.widths;
        let plain = move |vb: VarBuilder<'static>| perceptron::layers(widths, vb);
        let method = method.map(|text| EfficientEnsemble::registry().parse(text)).transpose()?;
        let new = move |vb| {
            Ok(match method {
                Some(method) => AnyNetwork::new(method.convert(vb, plain)?),
                None => AnyNetwork::new(plain(vb)?),
            })
        };
        Ok(Trainer::new(new).optimizer(Optimizer::adamw(1e-3, 0.01)).batch_size(self.batch).epochs(1))
    }
}

/// A network and a batch.
struct Step<N> {
    network: N,
    vars: Vars,
    inputs: Inputs,
}

impl<N: Network> Step<N> {
    fn new(rows: usize, network: impl FnOnce(VarBuilder<'static>) -> CandleResult<N>) -> Result<Self> {
        let (vars, vb) = fresh(1, Default::default(), candle_core::DType::F32, &Device::Cpu);
        Ok(Self { network: network(vb)?, vars, inputs: noise(rows, PASS_WIDTHS[0])?.into() })
    }

    /// The gradients of the mean of the squared outputs.
    fn run(&self) {
        let loss = self.network.run(&self.inputs, true).and_then(|y| y.sqr()?.mean_all());
        let gradients = loss.and_then(|loss| backward(&loss)).expect("the passes work");
        let found: Vec<Option<&Tensor>> = self.vars.all_vars().iter().map(|var| gradients.get(var)).collect();
        black_box(found.len());
    }
}

/// The forward and backward pass alone. A plain network on 32 times the rows has the same products of matrices and no members.
fn passes(bench: &mut Bench) -> Result<()> {
    let plain = |vb: VarBuilder<'static>| perceptron::layers(&PASS_WIDTHS, vb);
    let one = Step::new(PASS_ROWS, plain)?;
    let all_rows = Step::new(MEMBERS * PASS_ROWS, plain)?;
    let independent = Step::new(PASS_ROWS, |vb| Independent::new(MEMBERS).convert(vb, plain))?;
    let tab_m = Step::new(PASS_ROWS, |vb| TabM::new(MEMBERS).convert(vb, plain))?;
    let mini = Step::new(PASS_ROWS, |vb| TabMMini::new(MEMBERS).convert(vb, plain))?;
    let batch_ensemble = Step::new(PASS_ROWS, |vb| BatchEnsemble::new(MEMBERS).convert(vb, plain))?;
    let name = |what: &str| format!("passes/{what}");
    bench.pair(name("TabM-32 : one plain network"), Target::Open, || tab_m.run(), Some(&|| one.run()));
    bench.pair(
        name("TabM-32 : a plain network on 32 times the rows"),
        Target::AtMost(1.5),
        || tab_m.run(),
        Some(&|| all_rows.run()),
    );
    bench.pair(
        name("TabM-mini-32 : a plain network on 32 times the rows"),
        Target::AtMost(1.25),
        || mini.run(),
        Some(&|| all_rows.run()),
    );
    bench.pair(
        name("BatchEnsemble-32 : a plain network on 32 times the rows"),
        Target::AtMost(1.5),
        || batch_ensemble.run(),
        Some(&|| all_rows.run()),
    );
    bench.pair(
        name("TabM-32 : 32 networks in one"),
        Target::Open,
        || tab_m.run(),
        Some(&|| independent.run()),
    );
    Ok(())
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let mut bench = Bench::new();
    let (one, stacked) = (Threads::new(1)?, Stacked::new(1)?);
    for case in &CASES {
        let data = case.data()?;
        let train = |trainer: &Trainer<AnyNetwork>, runs: usize, executor: &dyn Executor| {
            let pool = Session::new(trainer, &data).executor(executor).fit(&MultiRun::new(runs), 42);
            black_box(pool.expect("trained").members().len());
        };
        let (plain, tab_m) = (case.trainer(None)?, case.trainer(Some("tab-m:32"))?);
        let mut pair = |what: String, ours: &dyn Fn(), theirs: &dyn Fn()| {
            bench.pair(format!("many in one/{}, {what}", case.name), Target::Open, ours, Some(theirs));
        };
        let of_tab_m = || train(&tab_m, 1, &one);
        pair("TabM 32 : 32 networks side by side".into(), &of_tab_m, &|| train(&plain, MEMBERS, &stacked));
        pair("TabM 32 : 32 networks one by one".into(), &of_tab_m, &|| train(&plain, MEMBERS, &one));
        pair("TabM 32 : one network".into(), &of_tab_m, &|| train(&plain, 1, &one));
        for text in OTHERS {
            let other = case.trainer(Some(text))?;
            pair(format!("{text} : one network"), &|| train(&other, 1, &one), &|| train(&plain, 1, &one));
        }
    }
    passes(&mut bench)?;
    bench.finish();
    Ok(())
}
