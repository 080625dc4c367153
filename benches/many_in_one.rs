//! What many networks in one cost in training: TabM with 32 members against 32 networks that are trained side by side, against
//! 32 networks one by one, and against a single network; and the other methods against a single network.
//!
//! `cargo bench --bench many_in_one`
use candle_core::{Device, Tensor};
use candle_ensemble::{
    data::TensorDataset,
    exec::{Executor, Stacked, Threads},
    nn::many::EfficientEnsemble,
    strategy::MultiRun,
    threads,
    train::{Optimizer, Trainer},
    AnyNetwork, Result, Session,
};
use candle_nn::VarBuilder;
use rand::{rngs::StdRng, Rng, SeedableRng};
use std::hint::black_box;
use turns::{Bench, Target};

mod perceptron;
mod turns;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MEMBERS: usize = 32;

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
    bench.finish();
    Ok(())
}
