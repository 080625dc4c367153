//! When several networks can be merged into one: networks of one run, and networks trained independently.
//!
//! `cargo run --release --example one_network -- --help`
#[path = "common/digits.rs"]
mod digits;
#[path = "common/program.rs"]
mod program;

use candle_ensemble::{merge::*, nn::seq, plan::*, strategy::*, train::*, *};
use candle_nn::{linear, Activation, VarBuilder};
use clap::Parser;
use program::{parse, program, Failure};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The highest loss barrier, in nats, up to which several networks are merged.
const LIMIT: f64 = 0.05;

/// Average the weights of networks of one run, and of networks trained independently, on handwritten digits,
/// and show what alignment changes.
#[derive(Parser)]
struct Args {
    /// Networks of each kind
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..))]
    members: u32,
    /// Passes over the training rows
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Units of each of the two hidden layers
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    width: u32,
    /// Most networks that a prediction may cost
    #[arg(long, default_value_t = 1.)]
    budget: f64,
    /// Seed of everything
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Two members and two epochs, to check that it runs
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    program(|| run(parse()?))
}

fn run(mut args: Args) -> Result<(), Failure> {
    if args.quick {
        (args.members, args.epochs, args.width) = (2, 2, 32);
    }
    if args.epochs < args.members {
        let must = format!("at least --members, {}", args.members);
        return Err(Error::invalid("--epochs", must, args.epochs).into());
    }

    let data = digits::digits(&[64])?;

    let width = args.width as usize;
    let mlp = move |vb: VarBuilder<'_>| {
        let net = seq().add(linear(64, width, vb.pp(0))?).add(Activation::Relu);
        let net = net.add(linear(width, width, vb.pp(1))?).add(Activation::Relu);
        Ok(AnyNetwork::new(net.add(linear(width, 10, vb.pp(2))?)))
    };
    let trainer = Trainer::new(mlp).epochs(args.epochs as usize);
    let session = Session::new(&trainer, &data);
    let members = args.members;
    // The same third of the rows is reserved from all runs, and everything is measured there.
    let plan =
        |builder: &dyn EnsembleBuilder| session.plan(builder, args.seed)?.reserve(1. / 3., &data, args.seed);

    println!("# The last {members} epochs of one run\n");
    show(&session, &plan(&Horizontal::last(members as usize))?, args.budget)?;
    println!("\n# {members} networks trained independently\n");
    Ok(show(&session, &plan(&MultiRun::new(members as usize))?, args.budget)?)
}

fn show(session: &Session<'_, Trainer<AnyNetwork>>, plan: &Plan, budget: f64) -> Result<()> {
    let pool = session.train(plan)?;
    let average = MergeSpec::average(RunWeights::Uniform);
    for (name, spec) in [
        ("averaged as they are", average.clone()),
        ("aligned first", average.clone().alignment(Alignment::Weights)),
        ("aligned and repaired", average.alignment(Alignment::Weights).repair(true)),
    ] {
        match pool.merge(&spec, &MaxBarrier::new(LIMIT)) {
            Ok(merged) => println!("{name}: {merged}"),
            Err(e @ Error::BarrierTooHigh { .. }) => println!("{name}: refused: {e}"),
            Err(e) => return Err(e),
        }
    }
    println!("\n{}", best_of(&pool, &BestOf::new().max_cost(budget))?.report);
    Ok(())
}
