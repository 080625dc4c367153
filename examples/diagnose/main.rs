//! Reads learning curves, and says what is wrong with the network and what helps.
//!
//! `cargo run --release --example diagnose -- --curves a.csv b.csv`
mod args;
mod networks;
mod output;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/values.rs"]
mod values;

use args::Args;
use program::{program, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    program(|| run(&Args::read()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    args.check()?;
    let reports = networks::diagnose(args)?;
    output::write(args, &reports)
}
