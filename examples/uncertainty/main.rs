//! How sure an ensemble is: intervals and sets of classes with a stated coverage, rows of another kind, and which rows to
//! predict.
//!
//! `cargo run --release --example uncertainty -- --help`
#[path = "../common/digits.rs"]
mod digits;
#[path = "../common/values.rs"]
mod flags;
#[path = "../common/letters.rs"]
mod letters;
mod out_of_distribution;
#[path = "../common/program.rs"]
mod program;
mod selection;
mod sets;
mod table;
mod values;

use candle_ensemble::{nn::seq, train::Trainer, AnyNetwork};
use candle_nn::{linear, Activation, VarBuilder};
use clap::Parser;
use flags::{chart, check_folders, count, number};
use program::{parse, program, say, Failure};
use std::{path::PathBuf, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Show how sure ensembles are: prediction intervals of a noisy curve, digits and letters that the networks have never seen,
/// sets of digits, and the error of the digits of which the ensemble is surest.
#[derive(Parser)]
struct Args {
    /// Networks in each ensemble, at least 2
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..))]
    members: u32,
    /// Passes over the training rows, for each network
    #[arg(long, default_value_t = 60, value_parser = count::<u32>)]
    epochs: u32,
    /// Share of errors that intervals and sets may make, above 0 and below 1
    #[arg(long, default_value_t = 0.1, value_parser = number("above 0 and below 1", |x| x > 0. && x < 1.))]
    alpha: f64,
    /// Error of the predicted rows that is wished for, above 0 and below 1
    #[arg(long, default_value_t = 0.1, value_parser = number("above 0 and below 1", |x| x > 0. && x < 1.))]
    risk: f64,
    /// Seed of everything
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Draw the curve with its intervals into this file, .svg or .png
    #[arg(long, value_name = "FILE", value_parser = chart)]
    chart: Option<PathBuf>,
    /// Three members and three epochs, to check that it runs
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    program(|| run(parse()?))
}

fn run(mut args: Args) -> Result<(), Failure> {
    check_folders([("--chart", args.chart.as_deref())])?;
    if args.quick {
        (args.members, args.epochs) = (3, 3);
    }
    say("# Values: intervals of a noisy curve\n");
    values::show(&args)?;
    say("\n# Rows of another kind: networks that know some digits see the others, and those that know all see letters\n");
    out_of_distribution::show(&args)?;
    let noisy = sets::Noisy::train(&args)?;
    say("\n# Classes: sets of digits, on images with noise\n");
    sets::show(&args, &noisy)?;
    say("\n# Which rows to predict: the error of the rows of which the ensemble is surest\n");
    selection::show(&args, &noisy)
}

impl Args {
    fn members(&self) -> usize {
        self.members as usize
    }

    /// A trainer of perceptrons with a hidden layer, for `classes` classes of images of 64 pixels.
    fn classifier(&self, classes: usize) -> Trainer<AnyNetwork> {
        let network = move |vb: VarBuilder<'_>| {
            let hidden = seq().add(linear(64, HIDDEN, vb.pp("hidden"))?).add(Activation::Relu);
            Ok(AnyNetwork::new(hidden.add(linear(HIDDEN, classes, vb.pp("out"))?)))
        };
        Trainer::new(network).epochs(self.epochs as usize)
    }
}

/// Units of the hidden layer of a network for images.
const HIDDEN: usize = 64;
