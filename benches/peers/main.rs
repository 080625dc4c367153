//! The four workloads of `peers.py` with this library: seconds of each run, as lines that the script reads, and a table.
//!
//! `cargo bench --bench peers` measures all of them, `cargo bench --bench peers -- W1 W4 --threads 2 --rounds 5` some.
//! A shortened run goes before the measured ones.
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::TensorDataset,
    exec::Threads,
    nn,
    plan::Snapshot,
    strategy::{Bagging, EnsembleBuilder, MultiRun},
    threads,
    train::{Optimizer, Trainer},
    Ensemble, Network, Result, Session,
};
use candle_nn::{linear, Activation, VarBuilder};
use clap::Parser;
use rand::{rngs::StdRng, Rng, SeedableRng};
use std::{hint::black_box, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SMALL: &[usize] = &[64, 64, 32, 10];
const LARGE: &[usize] = &[784, 512, 512, 10];

/// The workloads of benches/peers/peers.py with this library.
#[derive(Parser)]
struct Arguments {
    /// The workloads: W1, W2, W3, W4. All of them by default.
    works: Vec<String>,
    /// Threads that train members and that predict; one for each core by default.
    #[arg(long)]
    threads: Option<usize>,
    /// How often each program runs.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Shortened workloads, to see that all of it runs.
    #[arg(long)]
    quick: bool,
    /// Cargo gives it to every benchmark; without it, as in `cargo test`, workloads are shortened.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The kinds of layers that networks are made of.
#[derive(Clone, Copy)]
enum Layers {
    Candle,
    Own,
}

impl Layers {
    fn name(self) -> &'static str {
        match self {
            Self::Candle => "candle's layers",
            Self::Own => "layers of nn",
        }
    }
}

struct Workload {
    name: &'static str,
    widths: &'static [usize],
    batch: usize,
    epochs: usize,
    strategy: Box<dyn EnsembleBuilder>,
    data: TensorDataset,
}

impl Workload {
    fn all(quick: bool) -> Result<Vec<Self>> {
        let (small, large) = (digits(quick)?, noise(if quick { 300 } else { 20_000 })?);
        let epochs = |all: usize| if quick { 1 } else { all };
        let cycles = Snapshot::new(5);
        Ok(vec![
            Self {
                name: "W1",
                widths: SMALL,
                batch: 32,
                epochs: epochs(30),
                strategy: Box::new(Bagging::new(10)),
                data: small.clone(),
            },
            Self {
                name: "W2",
                widths: SMALL,
                batch: 32,
                epochs: 5 * epochs(10),
                strategy: Box::new(cycles),
                data: small,
            },
            Self {
                name: "W3",
                widths: LARGE,
                batch: 128,
                epochs: epochs(3),
                strategy: Box::new(MultiRun::new(4)),
                data: large,
            },
        ])
    }

    fn trainer<N: Network>(
        &self,
        epochs: usize,
        new: fn(&[usize], VarBuilder<'static>) -> CandleResult<N>,
    ) -> Trainer<N> {
        let widths = self.widths;
        let trainer = Trainer::new(move |vb| new(widths, vb)).optimizer(Optimizer::adam(1e-3));
        trainer.batch_size(self.batch).epochs(epochs)
    }

    fn train(&self, layers: Layers, epochs: usize, workers: Threads) -> Result<()> {
        match layers {
            Layers::Candle => self.train_with(&self.trainer(epochs, of_candle), workers),
            Layers::Own => self.train_with(&self.trainer(epochs, of_nn), workers),
        }
    }

    fn train_with<N: Network>(&self, trainer: &Trainer<N>, workers: Threads) -> Result<()> {
        let session = Session::new(trainer, &self.data).executor(&workers);
        black_box(session.fit(&*self.strategy, 42)?.members().len());
        Ok(())
    }
}

/// The seconds of each run of a program.
struct Row {
    work: &'static str,
    program: &'static str,
    seconds: Vec<f64>,
}

/// The rows that were measured, in the order of the first runs.
#[derive(Default)]
struct Measured(Vec<Row>);

impl Measured {
    /// Runs a program and prints the seconds that it took.
    fn run(
        &mut self,
        work: &'static str,
        program: &'static str,
        run: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        run()?;
        let taken = start.elapsed().as_secs_f64();
        println!("{work}\t{program}\t{taken:.4}");
        match self.0.iter_mut().find(|row| (row.work, row.program) == (work, program)) {
            Some(row) => row.seconds.push(taken),
            None => self.0.push(Row { work, program, seconds: vec![taken] }),
        }
        Ok(())
    }

    fn print(&self) {
        println!("\n| | program | seconds (median) | range |\n|---|---|---|---|");
        for Row { work, program, seconds } in &self.0 {
            let mut sorted = seconds.clone();
            sorted.sort_by(f64::total_cmp);
            let (low, high, median) = (sorted[0], sorted[sorted.len() - 1], sorted[sorted.len() / 2]);
            println!("| {work} | {program} | {median:.3} | {low:.3}–{high:.3} |");
        }
    }
}

fn of_candle(widths: &[usize], vb: VarBuilder<'static>) -> CandleResult<candle_nn::Sequential> {
    let mut network = candle_nn::seq();
    for (i, pair) in widths.windows(2).enumerate() {
        if i > 0 {
            network = network.add(Activation::Relu);
        }
        network = network.add(linear(pair[0], pair[1], vb.pp(i))?);
    }
    Ok(network)
}

fn of_nn(widths: &[usize], vb: VarBuilder<'static>) -> CandleResult<nn::Sequential> {
    let mut network = nn::seq();
    for (i, pair) in widths.windows(2).enumerate() {
        if i > 0 {
            network = network.add(nn::Activation::Relu);
        }
        network = network.add(nn::linear(pair[0], pair[1], vb.pp(i))?);
    }
    Ok(network)
}

fn digits(quick: bool) -> Result<TensorDataset> {
    let digits = smartcore::dataset::digits::load_dataset();
    let rows = if quick { 200 } else { 1257 };
    let all = Tensor::from_vec(digits.data, (digits.num_samples, 64), &Device::Cpu)?;
    let labels = Tensor::from_iter(digits.target.iter().take(rows).map(|&y| y as u32), &Device::Cpu)?;
    TensorDataset::classification((all.narrow(0, 0, rows)? / 16.)?, &labels)
}

/// Uniform in [-1, 1).
fn uniform(rows: usize) -> CandleResult<Tensor> {
    let mut rng = StdRng::seed_from_u64(7);
    Tensor::from_iter((0..rows * 784).map(|_| rng.random_range(-1f32..1.)), &Device::Cpu)?
        .reshape((rows, 784))
}

fn noise(rows: usize) -> Result<TensorDataset> {
    let labels = Tensor::from_iter((0..rows as u32).map(|i| i % 10), &Device::Cpu)?;
    TensorDataset::classification(uniform(rows)?, &labels)
}

/// Ten large networks after one step: the cost of a prediction does not depend on the weights.
fn ten<N: Network>(
    new: fn(&[usize], VarBuilder<'static>) -> CandleResult<N>,
    threads: usize,
) -> Result<Ensemble<N, Mean>> {
    let trainer = Trainer::new(move |vb| new(LARGE, vb)).batch_size(128).epochs(1);
    let data = noise(128)?;
    Ok(Session::new(&trainer, &data).fit(&MultiRun::new(10), 42)?.combine(&Mean)?.threads(threads))
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let arguments = Arguments::parse();
    let quick = arguments.quick || !arguments.bench;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    let (workers, mut measured) = (Threads::new(threads)?, Measured::default());
    let wanted = |name: &str| arguments.works.is_empty() || arguments.works.iter().any(|work| work == name);
    let both = [Layers::Candle, Layers::Own];
    for work in Workload::all(quick)?.iter().filter(|work| wanted(work.name)) {
        for layers in both {
            work.train(layers, if work.name == "W2" { 5 } else { 1 }, workers)?;
        }
        for _ in 0..arguments.rounds {
            for layers in both {
                measured.run(work.name, layers.name(), || work.train(layers, work.epochs, workers))?;
            }
        }
    }
    if wanted("W4") {
        let fresh = uniform(if quick { 300 } else { 10_000 })?.to_dtype(DType::F32)?;
        let (candle, own) = (ten(of_candle, threads)?, ten(of_nn, threads)?);
        let predict = |layers| -> Result<()> {
            black_box(match layers {
                Layers::Candle => candle.predict_proba(&fresh)?,
                Layers::Own => own.predict_proba(&fresh)?,
            });
            Ok(())
        };
        both.into_iter().try_for_each(predict)?;
        for _ in 0..arguments.rounds {
            for layers in both {
                measured.run("W4", layers.name(), || predict(layers))?;
            }
        }
    }
    measured.print();
    Ok(())
}
