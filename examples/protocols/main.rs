//! Small experiments with known results: what an independent implementation obtains, beside what this library
//! obtains.
//!
//! `cargo run --release --example protocols -- --help`
mod averaged;
mod data;
mod deep_ensembles;
mod learned;
#[path = "../common/program.rs"]
mod program;
mod report;
mod resampling;
#[path = "../common/table/mod.rs"]
#[allow(dead_code, unused_imports)]
mod table;
#[path = "../common/tabular/mod.rs"]
mod tabular;
#[path = "../common/values.rs"]
mod values;

use candle_core::{Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{FittedCombiner, Mean},
    data::TensorDataset,
    exec::Threads,
    metrics::{accuracy, Summary},
    observe::{Observer, Silent},
    predictions::Predictions,
    strategy::EnsembleBuilder,
    train::{Adam, Optimizer, Trainer},
    weights::{InitScheme, Weights},
    ProgressBar, Result, Seed, Session,
};
use candle_nn::{linear, seq, Activation, Sequential, VarBuilder};
use clap::Parser;
use program::{parse, program, say};
use std::{path::PathBuf, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Run small experiments with known results, and print both. The reference is an independent implementation,
/// run 30 times: mean and standard deviation of the test accuracy. That of Deep Ensembles is the paper's table.
#[derive(Parser)]
struct Args {
    /// Numbers of the experiments: 2 weighted average, 3 resampling, 4 horizontal, 5 snapshot, 6 stacking, 7
    /// weight averaging, 8 Deep Ensembles
    #[arg(long, value_delimiter = ',', default_value = "2,3,4,5,6,7,8", value_name = "N,…",
          value_parser = clap::value_parser!(u8).range(2..=8))]
    only: Vec<u8>,
    /// Repeats of each, from other seeds [default: 10, and for 8 20 splits into rows to train on and to test on]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(2..))]
    repeats: Option<u16>,
    /// Data of 8: `wine` and `diabetes`, separated by commas, or a CSV file
    #[arg(long, default_value = "wine,diabetes", value_name = "NAME,…|FILE.csv")]
    data: String,
    /// Column of the CSV file to predict [default: the last]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Learning rate of 8
    #[arg(long, default_value_t = 0.01, value_parser = values::number("above 0", |x| x > 0.))]
    learning_rate: f64,
    /// Adversarial training in 8, with inputs moved by a hundredth of their ranges
    #[arg(long)]
    adversarial: bool,
    /// Folder with blobs_1100.csv and blobs_55000.csv, in place of the data that comes with the example
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The same seed gives the same figures
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Networks trained at a time [default: one on each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print no progress
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    program(|| Ok(run(&parse()?)?))
}

fn run(args: &Args) -> Result<()> {
    for number in &args.only {
        let reports = match number {
            2 => vec![learned::weighted(args)?],
            3 => vec![resampling::resampling(args)?],
            4 => vec![report::horizontal(args)?],
            5 => vec![report::snapshot(args)?],
            6 => vec![learned::stacking(args)?],
            8 => deep_ensembles::deep_ensembles(args)?,
            _ => averaged::averaging(args)?,
        };
        reports.iter().for_each(|report| say(format!("{report}\n")));
    }
    Ok(())
}

/// The network of all experiments: two inputs, one hidden layer, three classes.
fn network(hidden: usize, epochs: usize) -> Trainer<Sequential> {
    let net = move |vb: VarBuilder<'_>| -> CandleResult<Sequential> {
        let layers = seq().add(linear(2, hidden, vb.pp("hidden"))?).add(Activation::Relu);
        Ok(layers.add(linear(hidden, 3, vb.pp("out"))?))
    };
    let adam: Optimizer = Adam::new(1e-3).epsilon(1e-7).into();
    Trainer::new(net).epochs(epochs).optimizer(adam).init(InitScheme::GlorotUniform)
}

/// The members of one ensemble: their predictions for the test rows and the training rows, and the training
/// rows that each has seen.
struct Trained {
    test: Predictions,
    train: Predictions,
    seen: Vec<Vec<u32>>,
    weights: Vec<Weights>,
}

/// Trains an ensemble for each repeat, and calls `visit` with each.
fn repeat(
    args: &Args,
    trainer: &Trainer<Sequential>,
    train: &TensorDataset,
    test: &TensorDataset,
    builder: &dyn EnsembleBuilder,
    mut visit: impl FnMut(&Trained) -> Result<()>,
) -> Result<()> {
    let executor = executor(args)?;
    let repeats = args.repeats.unwrap_or(10);
    let bar = ProgressBar::new(repeats.into());
    let observer: &dyn Observer = if args.quiet { &Silent } else { &bar };
    let session = Session::new(trainer, train).executor(&executor).observer(observer);
    for repeat in 0..repeats {
        let pool = session.fit(builder, Seed::from(args.seed).nth("repeat", repeat.into()))?;
        visit(&Trained {
            test: pool.predictions_per_member(test.inputs())?,
            train: pool.predictions_per_member(train.inputs())?,
            seen: pool.members().iter().map(|m| m.record.seen.to_vec()).collect(),
            weights: pool.members().iter().map(|m| m.weights.clone()).collect(),
        })?;
    }
    bar.clear();
    Ok(())
}

fn executor(args: &Args) -> Result<Threads> {
    args.threads.map_or_else(|| Ok(Threads::all_cores()), |n| Threads::new(n.into()))
}

/// Test accuracy of the mean of these predictions.
fn score(predictions: &Predictions, test: &TensorDataset) -> Result<f64> {
    accuracy_of(&Mean.combine(predictions)?, test.labels().unwrap_or_default())
}

fn accuracy_of(probabilities: &Tensor, labels: &[u32]) -> Result<f64> {
    accuracy(probabilities, labels, None)
}

/// Test accuracy of each member.
fn singles(predictions: &Predictions, test: &TensorDataset) -> Result<Vec<f64>> {
    (0..predictions.slots()).map(|i| score(&predictions.narrow_slots(i, 1)?, test)).collect()
}

fn mean(values: &[f64]) -> Result<f64> {
    Ok(Summary::of(values)?.mean)
}
