//! Ensembles against single networks, on data that comes with the repository or on your own.
//!
//! `cargo run --release --example variance_reduction -- --help`
mod args;
mod output;
#[path = "../common/program.rs"]
mod program;
mod study;
#[path = "../common/table/mod.rs"]
mod table;
#[path = "../common/tabular/mod.rs"]
mod tabular;
#[path = "../common/values.rs"]
mod values;

use args::Args;
use candle_ensemble::{
    observe::{Observer, Silent},
    ProgressBar, Result,
};
use program::{on_interrupt, program, say, Failure};
use std::process::ExitCode;
use study::DataSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program(|| run(&Args::read()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    if args.list {
        say(args::help().trim_end());
        return Ok(());
    }
    args.check()?;
    let sets =
        args.table.data_sets().iter().map(|name| DataSet::read(args, name)).collect::<Result<Vec<_>>>()?;
    for set in &sets {
        print(args, set.first.describe());
        for note in set.first.notes.iter().filter(|_| !args.quiet) {
            eprintln!("warning: {note}");
        }
    }
    on_interrupt(match &args.store {
        Some(folder) => format!(
            "the networks and results that are finished, and the other networks as of their last checkpoints, are \
             in {}; the same command continues",
            folder.display()
        ),
        None => "nothing is kept; with --store FOLDER, the same command continues an interrupted run".into(),
    });
    let builds: usize = sets.iter().map(|set| set.builds(args)).sum::<Result<usize>>()?;
    let bar = ProgressBar::new(builds);
    let observer: &dyn Observer = if args.quiet { &Silent } else { &bar };
    let reports = sets.iter().map(|set| study::report(args, set, observer)).collect::<Result<Vec<_>>>();
    bar.clear();
    let reports = reports?;
    output::write(args, &sets, reports)
}

fn print(args: &Args, line: String) {
    if !args.quiet {
        say(line);
    }
}
