//! An ensemble that serves: one program trains and saves it, another loads it by its constructors alone and
//! predicts on several threads.
//!
//! `cargo run --release --example serve -- --help`
#[path = "common/digits.rs"]
mod digits;
#[path = "common/program.rs"]
mod program;

use candle_core::{Device, Result as CandleResult, Tensor};
use candle_ensemble::{combine::Mean, data::*, nn::seq, plan::Settings, strategy::Bagging, train::*, *};
use candle_nn::{linear, Activation, VarBuilder};
use clap::Parser;
use program::{parse, program, Failure};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Instant,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load an ensemble of two architectures and predict with it on several threads, on handwritten digits.
#[derive(Parser)]
struct Args {
    /// The file of the ensemble, which is trained and written first where there is none; without it, a file that is
    /// removed at the end
    #[arg(long)]
    file: Option<PathBuf>,
    /// Threads that predict at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Times that each thread predicts all rows
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Two members and one epoch of each architecture and two requests, to check that it runs
    #[arg(long)]
    quick: bool,
}

// ---- What both programs know: the networks.

fn build(architecture: &str, vb: VarBuilder<'static>) -> CandleResult<AnyNetwork> {
    match architecture {
        "wide" => {
            let hidden = seq().add(linear(64, 128, vb.pp("in"))?).add(Activation::Relu);
            Ok(AnyNetwork::new(hidden.add(linear(128, 10, vb.pp("out"))?)))
        }
        _ => {
            let first = seq().add(linear(64, 32, vb.pp(0))?).add(Activation::Relu);
            let second = first.add(linear(32, 32, vb.pp(1))?).add(Activation::Relu);
            Ok(AnyNetwork::new(second.add(linear(32, 10, vb.pp(2))?)))
        }
    }
}

// ---- The program that trains.

fn train(data: &TensorDataset, quick: bool, file: &Path) -> Result<(), Failure> {
    let (members, epochs) = if quick { (2, 1) } else { (5, 20) };
    let trainer = Trainer::new(|vb| build("model", vb)).architecture("wide", |vb| build("wide", vb));
    let trainer = trainer.epochs(epochs);
    Session::new(&trainer, data).fit(&Bagging::new(members), 42)?.combine(&Mean)?.save(file)?;
    println!("trained and saved {} networks: {}", 2 * members, file.display());
    Ok(())
}

// ---- The program that serves. It knows nothing of strategies, optimizers or training data.

fn load(file: &Path) -> Result<Arc<Ensemble<AnyNetwork, Mean>>, Failure> {
    let build = |architecture: &str, _: &Settings, vb| build(architecture, vb);
    Ok(Arc::new(Ensemble::load_with(file, build, &Device::Cpu)?))
}

/// The probabilities of the rows as bits, after this number of predictions, all of which must be the same.
fn serve(ensemble: &Ensemble<AnyNetwork, Mean>, rows: &Tensor, requests: u32) -> Result<Vec<u32>, Failure> {
    let mut answer = vec![];
    for request in 0..requests {
        let probabilities = ensemble.predict_proba(rows)?.flatten_all()?.to_vec1::<f32>()?;
        let bits: Vec<u32> = probabilities.into_iter().map(f32::to_bits).collect();
        if request > 0 && bits != answer {
            return Err("two predictions of one thread differ".into());
        }
        answer = bits;
    }
    Ok(answer)
}

fn main() -> ExitCode {
    program(|| run(&parse()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    let data = digits::digits(&[64])?;
    let split = Split::of(&data, 0.3, Seed::from(1))?;

    let folder = tempfile::tempdir().map_err(|e| format!("a temporary folder cannot be made: {e}"))?;
    let file = args.file.clone().unwrap_or_else(|| folder.path().join("digits.ensemble"));
    if !file.exists() {
        train(&data.subset(&split.train)?, args.quick, &file)?;
    }

    let (ensemble, test) = (load(&file)?, data.subset(&split.test)?);
    let requests = if args.quick { 2 } else { args.requests };
    let accuracy = ensemble.on(&test).evaluate()?.headline();
    println!("loaded {} networks: test accuracy {accuracy:.4}", ensemble.members().len());

    let rows = test.inputs().only()?;
    let started = Instant::now();
    let answers = thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads)
            .map(|_| {
                let ensemble = ensemble.clone();
                scope.spawn(move || serve(&ensemble, rows, requests).map_err(|e| e.to_string()))
            })
            .collect();
        let joined =
            threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err("a thread panicked".into())));
        joined.collect::<Result<Vec<_>, String>>()
    })?;
    let seconds = started.elapsed().as_secs_f64();
    if answers.iter().any(|answer| *answer != answers[0]) {
        return Err("the predictions of two threads differ".into());
    }
    let predicted = f64::from(args.threads) * f64::from(requests) * test.rows() as f64;
    println!("{} threads predicted the same bytes, {:.0} rows per second", args.threads, predicted / seconds);
    Ok(())
}
