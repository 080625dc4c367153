//! A strategy that the library does not have, in one small file.
//!
//! `cargo run --release --example custom_builder -- --help`
#[path = "common/digits.rs"]
mod digits;
#[path = "common/program.rs"]
mod program;

use candle_ensemble::{combine::Mean, data::*, plan::*, strategy::*, train::*, *};
use candle_nn::{linear, seq, Activation, VarBuilder};
use clap::Parser;
use program::{parse, program, Failure};
use rand::seq::SliceRandom;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// ---- The strategy.

/// The delete-d jackknife (Shao and Wu 1989, doi:10.1214/aos/1176347263): each run leaves `delete` rows out,
/// drawn at random without replacement.
#[derive(Debug)]
struct Jackknife {
    runs: usize,
    delete: usize,
}

impl EnsembleBuilder for Jackknife {
    fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan> {
        let rows = data.rows();
        if self.delete == 0 || self.delete >= rows {
            return Err(Error::invalid("delete", format!("at least 1 and below {rows}"), self.delete));
        }
        let mut runs = vec![];
        for (architecture, number) in architectures.iter().flat_map(|a| (0..self.runs).map(move |n| (a, n))) {
            let mut kept: Rows = (0..rows as u32).collect();
            kept.shuffle(&mut seed.nth("jackknife", number as u64).rng());
            kept.truncate(rows - self.delete);
            kept.sort_unstable();
            let id = runs.len();
            runs.push(RunSpec::new(id, architecture, seed.nth("run", id as u64), kept));
        }
        Ok(Plan { runs, reserved: vec![].into(), data: data.fingerprint(), seed })
    }

    fn name(&self) -> String {
        format!("delete-{} jackknife", self.delete)
    }
}

// ---- It is used like the library's own.

/// Train an ensemble with a strategy of one's own, on handwritten digits.
#[derive(Parser)]
struct Args {
    /// Networks in the ensemble
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    members: u32,
    /// Rows that each network leaves out
    #[arg(long, default_value_t = 300)]
    delete: usize,
    /// Passes over the training rows
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Two members and one epoch, to check that it runs
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    program(|| run(&parse()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    let (runs, epochs) = if args.quick { (2, 1) } else { (args.members as usize, args.epochs) };

    let data = digits::digits(&[64])?;
    let split = Split::of(&data, 0.3, Seed::from(1))?;
    let (train, test) = (data.subset(&split.train)?, data.subset(&split.test)?);

    let mlp = |vb: VarBuilder<'_>| {
        Ok(seq().add(linear(64, 64, vb.pp("in"))?).add(Activation::Relu).add(linear(64, 10, vb.pp("out"))?))
    };
    let trainer = Trainer::new(mlp).epochs(epochs as usize);
    let jackknife = Jackknife { runs, delete: args.delete };
    let pool = Session::new(&trainer, &train).fit(&jackknife, 42)?;

    // The rows that a member left out are held out for it: the pool reads that from the members' records.
    let held_out = pool.held_out()?;
    let (rows, of) = (held_out.rows().len(), held_out.total_rows());
    println!("{}, {runs} members", jackknife.name());
    println!("held out, {rows} of {of} rows: accuracy {:.4}", held_out.metrics(&Mean)?.headline());
    let predicted = pool.combine(&Mean)?.predict_proba(test.inputs())?;
    let accuracy = metrics::accuracy(&predicted, test.labels().unwrap_or_default(), None)?;
    println!("test, {} rows: accuracy {accuracy:.4}", test.rows());
    Ok(())
}
