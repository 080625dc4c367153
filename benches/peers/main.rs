//! The four workloads of `peers.py` with this library, with networks of its layers and of candle's: prints a line
//! `workload <tab> layers <tab> seconds` for each run.
//!
//! `cargo bench --bench peers` runs all of them, `cargo bench --bench peers -- W1 W4 --threads 2 --rounds 5` some.
//! A shortened run goes before those that are measured.
use candle_core::{Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::TensorDataset,
    exec::Threads,
    plan::Snapshot,
    strategy::{Bagging, EnsembleBuilder, MultiRun},
    threads,
    train::{Optimizer, Trainer},
    Network, Result, Session,
};
use candle_nn::{Activation, VarBuilder};
use clap::Parser;
use noise::noise;
use perceptron::layers;
use std::{hint::black_box, time::Instant};

#[path = "../noise/mod.rs"]
mod noise;
#[path = "../perceptron/mod.rs"]
mod perceptron;

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
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Shortened workloads, to see that all of it runs.
    #[arg(long)]
    quick: bool,
    /// Cargo gives it to every benchmark; without it, as in `cargo test`, workloads are shortened.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A run of a workload, with a number of epochs for those that train.
type Program = Box<dyn Fn(usize) -> Result<()>>;

/// What makes a network with layers of these widths.
type New<N> = fn(&[usize], VarBuilder<'static>) -> CandleResult<N>;

fn of_candle(widths: &[usize], vb: VarBuilder<'static>) -> CandleResult<candle_nn::Sequential> {
    let mut network = candle_nn::seq();
    for (i, pair) in widths.windows(2).enumerate() {
        if i > 0 {
            network = network.add(Activation::Relu);
        }
        network = network.add(candle_nn::linear(pair[0], pair[1], vb.pp(i))?);
    }
    Ok(network)
}

fn data(rows: usize, columns: usize) -> Result<TensorDataset> {
    let labels = Tensor::from_iter((0..rows as u32).map(|i| i % 10), &Device::Cpu)?;
    TensorDataset::classification(noise(rows, columns)?, &labels)
}

/// Trains networks of these widths on so many rows.
fn training<N: Network + 'static>(
    new: New<N>,
    (widths, batch): (&'static [usize], usize),
    (strategy, rows): (impl EnsembleBuilder + 'static, usize),
    workers: Threads,
) -> Result<Program> {
    let data = data(rows, widths[0])?;
    Ok(Box::new(move |epochs| {
        let trainer = Trainer::new(move |vb| new(widths, vb)).optimizer(Optimizer::adam(1e-3));
        let trainer = trainer.batch_size(batch).epochs(epochs);
        let pool = Session::new(&trainer, &data).executor(&workers).fit(&strategy, 42)?;
        black_box(pool.members().len());
        Ok(())
    }))
}

/// Ten networks after one step: the cost of a prediction does not depend on the weights.
fn prediction<N: Network + 'static>(
    new: New<N>,
    rows: usize,
    workers: Threads,
    threads: usize,
) -> Result<Program> {
    let trainer = Trainer::new(move |vb| new(LARGE, vb)).batch_size(128).epochs(1);
    let (data, fresh) = (data(128, LARGE[0])?, noise(rows, LARGE[0])?);
    let pool = Session::new(&trainer, &data).executor(&workers).fit(&MultiRun::new(10), 42)?;
    let ensemble = pool.combine(&Mean)?.threads(threads);
    Ok(Box::new(move |_| {
        black_box(ensemble.predict_proba(&fresh)?);
        Ok(())
    }))
}

/// A workload, and the numbers of epochs of a shortened and of a full run.
fn program<N: Network + 'static>(
    work: &str,
    new: New<N>,
    quick: bool,
    threads: usize,
) -> Result<(Program, [usize; 2])> {
    let workers = Threads::new(threads)?;
    let rows = |all: usize| if quick { 200 } else { all };
    let (small, large) = ((SMALL, 32), (LARGE, 128));
    Ok(match work {
        "W1" => (training(new, small, (Bagging::new(10), rows(1257)), workers)?, [1, 30]),
        "W2" => (training(new, small, (Snapshot::new(5), rows(1257)), workers)?, [5, 50]),
        "W3" => (training(new, large, (MultiRun::new(4), rows(20_000)), workers)?, [1, 3]),
        _ => (prediction(new, rows(10_000), workers, threads)?, [0, 0]),
    })
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let arguments = Arguments::parse();
    let quick = arguments.quick || !arguments.bench;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    for work in ["W1", "W2", "W3", "W4"] {
        if !arguments.works.is_empty() && !arguments.works.iter().any(|wanted| wanted == work) {
            continue;
        }
        let programs = [
            ("nn", program(work, layers, quick, threads)?),
            ("candle", program(work, of_candle, quick, threads)?),
        ];
        for (_, (run, [few, _])) in &programs {
            run(*few)?;
        }
        for _ in 0..arguments.rounds {
            for (layers, (run, [few, all])) in &programs {
                let start = Instant::now();
                run(if quick { *few } else { *all })?;
                println!("{work}\t{layers}\t{:.4}", start.elapsed().as_secs_f64());
            }
        }
    }
    Ok(())
}
