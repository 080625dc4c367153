//! When several networks can be one: digits, networks of one run against networks trained apart.
//!
//! `cargo run --release --example one_network -- --help`
use candle_core::{Device, Tensor};
use candle_ensemble::{data::*, merge::*, plan::*, strategy::*, train::*, weights::*, *};
use candle_nn::{linear, seq, Activation, VarBuilder};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The barrier, in nats, up to which one network may stand for several.
const LIMIT: f64 = 0.05;

/// Average the weights of networks of one run, and of networks trained apart, on handwritten digits; and see what
/// alignment does.
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
    /// Networks that a prediction may cost
    #[arg(long, default_value_t = 1.)]
    budget: f64,
    /// Seed of everything
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Two members, two epochs: to see that it runs
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let mut args = Args::parse();
    if args.quick {
        (args.members, args.epochs, args.width) = (2, 2, 32);
    }
    if args.epochs < args.members {
        return Err(Error::invalid("--epochs", format!("at least --members, {}", args.members), args.epochs));
    }

    let digits = smartcore::dataset::digits::load_dataset();
    let images =
        Tensor::from_vec(digits.data, (digits.num_samples, 64), &Device::Cpu)?.affine(1. / 8., -1.)?;
    let labels = Tensor::from_iter(digits.target.iter().map(|d| *d as u32), &Device::Cpu)?;
    let data = TensorDataset::classification(images, &labels)?;

    let width = args.width as usize;
    let mlp = move |vb: VarBuilder<'_>| {
        let net = seq().add(linear(64, width, vb.pp(0))?).add(Activation::Relu);
        let net = net.add(linear(width, width, vb.pp(1))?).add(Activation::Relu);
        Ok(AnyNetwork::new(net.add(linear(width, 10, vb.pp(2))?)))
    };
    let trainer = Trainer::new(mlp).epochs(args.epochs as usize);
    let session = Session::new(&trainer, &data);
    let members = args.members;
    // The same third of the rows is kept from all: there, everything is measured.
    let plan =
        |builder: &dyn EnsembleBuilder| session.plan(builder, args.seed)?.reserve(1. / 3., &data, args.seed);

    println!("# The last {members} epochs of one run\n");
    show(&session, &plan(&Horizontal::last(members as usize))?, args.budget)?;
    println!("\n# {members} networks trained apart\n");
    show(&session, &plan(&MultiRun::new(members as usize))?, args.budget)
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
            Err(refused @ Error::BarrierTooHigh { .. }) => println!("{name}: refused: {refused}"),
            Err(e) => return Err(e),
        }
    }
    println!("\n{}", best_of(&pool, &BestOf::new().max_cost(budget))?.report);
    Ok(())
}
