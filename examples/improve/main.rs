//! From a network that performs badly to a better one: diagnose, choose, evaluate, repeat.
//!
//! `cargo run --release --example improve -- --help`
mod args;
mod output;
#[path = "../common/program.rs"]
mod program;
mod progress;
mod prompt;
mod suite;
#[path = "../common/table/mod.rs"]
mod table;
#[path = "../common/tabular/mod.rs"]
mod tabular;
#[path = "../common/values.rs"]
mod values;

use args::Args;
use candle_ensemble::{
    exec::Threads,
    improve::{ByRule, Decide, Improve, ImproveEvent},
    observe::{Observer, Silent},
    Result,
};
use program::{on_interrupt, program, say, Failure};
use progress::Progress;
use prompt::Prompt;
use std::process::ExitCode;
use tabular::{data::Data, network::trainer, prepared::Prepared};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program(|| run(&Args::read()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    if args.suite {
        return suite::run(args);
    }
    args.check()?;
    let data = Data::read(&args.table, &args.table.data)?;
    let prepared = Prepared::of(&args.table, args.seed, &data, 0)?;
    print(args, &prepared.describe());
    for note in prepared.notes.iter().filter(|_| !args.quiet) {
        eprintln!("warning: {note}");
    }
    on_interrupt(match &args.store {
        Some(folder) => format!("what is finished is in {}; the same command continues", folder.display()),
        None => "nothing is kept; with --store FOLDER, the same command continues an interrupted run".into(),
    });
    let trainer = trainer(&args.network, prepared.columns, prepared.train_task())?;
    let executor = match args.threads {
        Some(threads) => Threads::new(threads)?,
        None => Threads::all_cores(),
    };
    let progress = Progress::default();
    let observer: &dyn Observer = if args.quiet { &Silent } else { &progress };
    let decide: &dyn Decide = if args.interactive { &Prompt } else { &ByRule };
    let follow = |event: &ImproveEvent<'_>| {
        progress.clear();
        print(args, &format!("\n{event}"));
    };
    let mut improve = Improve::new(&trainer, &prepared.all)
        .setup(args.setup()?)
        .budget(args.budget())
        .test_rows(prepared.test_rows.clone())
        .splits(args.splits)
        .runs_per_split(args.runs_per_split)
        .runs(args.runs)
        .attempts(args.attempts)
        .min_gain(args.min_gain)
        .executor(&executor)
        .observer(observer)
        .follow(&follow)
        .decide(decide);
    if let Some(metric) = args.metric()? {
        improve = improve.metric(metric);
    }
    if let Some(scaler) = &prepared.target_scaler {
        improve = improve.target_scaler(scaler);
    }
    if let Some(folder) = &args.store {
        improve = improve.folder(folder);
    }
    let improved = improve.run(args.seed);
    progress.clear();
    output::write(args, &prepared, improved?)
}

fn print(args: &Args, text: &str) {
    if !args.quiet {
        say(text);
    }
}
