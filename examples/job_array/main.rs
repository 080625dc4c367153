//! One ensemble, trained by many processes that share a store: the tasks of a job array, the pods of an indexed job, the
//! ranks of MPI. Then one process collects it.
//!
//! `cargo run --release --example job_array -- --help`
#[path = "../common/digits.rs"]
mod digits;
#[path = "../common/program.rs"]
mod program;

use candle_core::Result as CandleResult;
use candle_ensemble::{
    combine::Mean, data::*, exec::*, nn::seq, observe::*, store::*, strategy::Bagging, train::*, *,
};
use candle_nn::{linear, Activation, VarBuilder};
use clap::Parser;
use program::{on_interrupt, parse, program, say, Failure};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Train the networks of a bagged ensemble on handwritten digits in many processes that share a store, and collect them.
///
/// Each process trains a fixed share of the networks. Under Slurm (array or tasks), Open MPI and Kubernetes (indexed
/// job) it finds its share by itself. A process that is killed continues where it was when it is started again.
#[derive(Parser)]
struct Args {
    /// Where members are kept: a folder that all processes see
    #[arg(long)]
    store: PathBuf,
    /// The share of this process, such as 2/8, from 0 to N − 1 [default: what the scheduler says, otherwise all]
    #[arg(long, value_name = "I/N", value_parser = share, conflicts_with = "collect")]
    shard: Option<(usize, usize)>,
    /// Collect the trained networks instead: measure the ensemble and write it to this file
    #[arg(long, value_name = "FILE")]
    collect: Option<PathBuf>,
    /// Networks
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    members: u32,
    /// Passes over the training rows
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Units of each of the two hidden layers
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    width: u32,
    /// Epochs after which an unfinished network is kept
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    checkpoint_every: u32,
    /// Networks that train at the same time [default: one on each core]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Seed of everything. All processes need the same
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Print the result only
    #[arg(long)]
    quiet: bool,
}

fn share(text: &str) -> Result<(usize, usize), String> {
    let must = "a number and how many there are, such as 2/8";
    let (index, of) = text.split_once('/').ok_or(must)?;
    match (index.parse(), of.parse()) {
        (Ok(index), Ok(of)) => Ok((index, of)),
        _ => Err(must.into()),
    }
}

fn main() -> ExitCode {
    program(|| run(&parse()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    let digits = digits::digits(&[64])?;
    let split = Split::of(&digits, 0.3, Seed::from(1))?;
    let (data, test) = (digits.subset(&split.train)?, digits.subset(&split.test)?);
    let width = args.width as usize;
    let trainer = Trainer::new(move |vb| build(width, vb)).epochs(args.epochs as usize);

    let store = DirectoryStore::new(&args.store)?;
    let session = Session::new(&trainer, &data).store(&store);
    let session = session.checkpoints(Checkpoints::Epochs(args.checkpoint_every as usize));
    let plan = session.plan(&Bagging::new(args.members as usize), args.seed)?;
    match &args.collect {
        Some(file) => collect(session.load(&plan)?, &test, file),
        None => train(args, session, &plan),
    }
}

fn build(width: usize, vb: VarBuilder<'static>) -> CandleResult<impl network::Network + Send + Sync> {
    let first = seq().add(linear(64, width, vb.pp(0))?).add(Activation::Relu);
    let second = first.add(linear(width, width, vb.pp(1))?).add(Activation::Relu);
    Ok(second.add(linear(width, 10, vb.pp(2))?))
}

/// Trains the share of this process.
fn train(args: &Args, session: Session<'_, impl Learner>, plan: &plan::Plan) -> Result<(), Failure> {
    on_interrupt(format!("what is finished is in {}; the same command continues", args.store.display()));
    let threads = match args.threads {
        Some(threads) => Threads::new(threads as usize)?,
        None => Threads::all_cores(),
    };
    let shard = match args.shard {
        Some((index, of)) => Some(Shard::new(index, of, &threads)?),
        None => Shard::from_env(&threads)?,
    };
    let progress = ProgressBar::new(1);
    let observer: &dyn Observer = if args.quiet { &Silent } else { &progress };
    let whole = Shard::new(0, 1, &threads)?;
    session.observer(observer).executor(shard.as_ref().unwrap_or(&whole)).build(plan)?;
    let which = shard.map_or("all networks are".into(), |shard| format!("{shard:?}: its networks are"));
    say(format_args!("{which} in {}", args.store.display()));
    Ok(())
}

/// Measures the ensemble and writes it.
fn collect(pool: Pool<'_, impl Learner>, test: &TensorDataset, file: &Path) -> Result<(), Failure> {
    let ensemble = pool.combine(&Mean)?;
    let (networks, metrics) = (ensemble.members().len(), ensemble.on(test).evaluate()?);
    ensemble.save(file)?;
    let (name, figure) = (metrics.headline_name(), metrics.headline());
    say(format_args!("{networks} networks: test {name} {figure:.4}, written to {}", file.display()));
    Ok(())
}
