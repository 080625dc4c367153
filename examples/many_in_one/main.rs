//! Many networks in one, and networks one after the other, beside plain ensembles: what each method gains over one network,
//! and what it costs in parameters and in the time to train and to predict.
//!
//! The methods are compared over several splits of the rows, with the same network, optimizer and number of epochs, and each
//! keeps the weights of its best epoch by validation rows. With `--tune` each method chooses the learning rate, the weight
//! decay, the width and the dropout among the same number of draws, by validation rows of the first split; the test rows are
//! then the same ones for all repeats.
//!
//! `cargo run --release --example many_in_one -- --help`
mod compare;
mod method;
#[path = "../common/program.rs"]
mod program;
mod results;
#[path = "../common/table/mod.rs"]
#[allow(dead_code, unused_imports)]
mod table;
#[path = "../common/tabular/mod.rs"]
mod tabular;
#[path = "../common/values.rs"]
mod values;

use candle_ensemble::{registry::split_list, Result};
use clap::Parser;
use compare::Comparison;
use method::Method;
use program::{parse, program, say, Failure};
use results::Results;
use std::{path::PathBuf, process::ExitCode};
use tabular::{args::TableArgs, data::Data};
use values::{check_folders, count, number};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compare many networks in one (BatchEnsemble, TabM, Packed-Ensembles, Monte-Carlo dropout, …) and boosting with an ensemble
/// of separate networks: quality over one network, parameters, and time to train and to predict.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    table: TableArgs,
    /// Methods, separated by commas: plain, a strategy such as bootstrap:8 or adaboost:8, or many networks in one, such as
    /// tab-m:32. --list shows them
    #[arg(long, value_name = "METHOD,…", default_value = DEFAULT)]
    methods: String,
    /// Print the methods with their arguments, and end
    #[arg(long)]
    list: bool,
    /// Splits of the rows, each with a seed of its own, at least 2
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    repeats: u32,
    /// Widths of the hidden layers, separated by commas
    #[arg(long, default_value = "128,128", value_name = "W,…")]
    hidden: String,
    /// Passes over the training rows
    #[arg(long, default_value_t = 60, value_parser = count::<usize>)]
    epochs: usize,
    /// Rows of a step
    #[arg(long, default_value_t = 64, value_name = "ROWS", value_parser = count::<usize>)]
    batch: usize,
    /// Learning rate of Adam
    #[arg(long, default_value_t = 2e-3, value_parser = number("above 0", |x| x > 0.))]
    lr: f64,
    /// Settings that each method tries before the repeats; 0 for those that are given
    #[arg(long, default_value_t = 0, value_name = "DRAWS")]
    tune: usize,
    /// Seed of everything
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Write all scores and times into this file
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
    /// No progress on stderr
    #[arg(long)]
    quiet: bool,
    /// Two repeats of two epochs, to check that it runs
    #[arg(long)]
    quick: bool,
}

/// The methods where none are given.
const DEFAULT: &str = "plain,bootstrap:8,batch-ensemble:8,packed:8,tab-m:32,mc-dropout:32:0.1,adaboost:8,gradient-boosting:8:0.3";

fn main() -> ExitCode {
    program(|| run(parse()?))
}

fn run(mut args: Args) -> Result<(), Failure> {
    if args.list {
        Method::list();
        return Ok(());
    }
    check_folders([("--json", args.json.as_deref())])?;
    if args.quick {
        (args.repeats, args.epochs, args.tune) = (2, 2, args.tune.min(2));
    }
    let methods =
        split_list(&args.methods).iter().map(|text| Method::parse(text)).collect::<Result<Vec<_>>>()?;
    let mut all = vec![];
    for name in args.table.data_sets() {
        let data = Data::read(&args.table, &name)?;
        let results = Comparison::new(&args, &data).run(&methods)?;
        say(&results);
        all.push(results);
    }
    if let Some(path) = &args.json {
        Results::write(&all, path)?;
        say(format_args!("\nall scores: {}", path.display()));
    }
    Ok(())
}
