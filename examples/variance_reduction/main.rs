//! Ensembles against single networks, on data that comes with the repository or on your own.
//!
//! `cargo run --release --example variance_reduction -- --help`
mod args;
mod data;
mod prepared;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/table/mod.rs"]
mod table;

use args::{Args, Initial, OptimizerName};
use candle_core::{Result as CandleResult, Tensor};
use candle_ensemble::{
    chart::Chart,
    combine::FittedCombiner,
    data::Task,
    evaluate::{Study, VarianceReport},
    exec::Threads,
    files,
    observe::{Observer, Silent},
    store::{DirectoryStore, MemoryStore, Store},
    strategy::{EnsembleBuilder, MultiRun},
    train::{Adam, Optimizer, Sgd, Trainer},
    weights::InitScheme,
    Checkpoints, ProgressBar, Result, Session,
};
use candle_nn::{linear, Linear, Module, VarBuilder};
use prepared::Prepared;
use program::{on_interrupt, program, Failure};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A multi-layer perceptron, written as for any candle program.
struct Mlp(Vec<Linear>);

impl Mlp {
    fn new(widths: &[usize], vb: VarBuilder<'_>) -> CandleResult<Self> {
        let layer = |(i, w): (usize, &[usize])| linear(w[0], w[1], vb.pp(format!("layer{i}")));
        Ok(Self(widths.windows(2).enumerate().map(layer).collect::<CandleResult<_>>()?))
    }
}

impl Module for Mlp {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        let (last, hidden) = self.0.split_last().expect("two widths or more");
        let xs = hidden.iter().try_fold(xs.clone(), |xs, layer| layer.forward(&xs)?.relu())?;
        last.forward(&xs)
    }
}

fn main() -> ExitCode {
    program(|| run(&Args::read()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    args.check()?;
    let prepared = Prepared::of(args)?;
    let print = |line: String| {
        if !args.quiet {
            println!("{line}");
        }
    };
    print(prepared.describe());
    for note in prepared.notes.iter().filter(|_| !args.quiet) {
        eprintln!("warning: {note}");
    }
    on_interrupt(match &args.store {
        Some(folder) => format!(
            "the networks that are finished, and the others as of their last checkpoints, are in {}; the same \
             command continues",
            folder.display()
        ),
        None => "nothing is kept; with --store FOLDER, the same command continues an interrupted run".into(),
    });
    let report = study(args, &prepared)?;
    print(String::new());
    print(report.table());
    if let Some(path) = &args.json {
        let document = serde_json::json!({
            "settings": args.settings(&prepared),
            "warnings": prepared.notes,
            "metric": report.metric,
            "train_rows": report.train_rows,
            "test_rows": report.test_rows,
            "repeats": report.repeats,
            "single": report.single,
            "ensembles": report.ensembles,
        });
        files::write_whole(path, format!("{document:#}\n").as_bytes())?;
        print(format!("\nAll figures, by repeat and size: {}", path.display()));
    }
    let title = format!("{}: mean ± sd over {} repeats", prepared.name, args.repeats);
    report.chart(&title).save(&args.chart)?;
    print(format!("\nTest {} against ensemble size: {}", report.metric, args.chart.display()));
    Ok(())
}

fn study(args: &Args, prepared: &Prepared) -> Result<VarianceReport> {
    let outputs = match prepared.train_task() {
        Task::Classification { classes } => classes,
        Task::Regression { outputs } => outputs,
    };
    let widths = [&[prepared.columns][..], &args.hidden, &[outputs]].concat();
    let version = format!("widths {widths:?}");
    let trainer = Trainer::new(move |vb| Mlp::new(&widths, vb))
        .version(version)
        .epochs(args.epochs)
        .batch_size(args.batch)
        .optimizer(optimizer(args))
        .init(match args.init {
            Initial::Default => InitScheme::AsDeclared,
            Initial::GlorotUniform => InitScheme::GlorotUniform,
        });

    let baseline = MultiRun::new(args.members);
    let strategies = args.strategies()?;
    let strategies: Vec<_> = strategies.iter().map(|s| &**s).collect();
    let combiners = args.combiners(prepared.train_task())?;
    let combiners: Vec<&dyn FittedCombiner> = combiners.iter().map(|c| &**c).collect();

    // A strategy of the same plan as the baseline is not trained twice.
    let trained = strategies.iter().filter(|s| s.name() != baseline.name()).count();
    let builds = args.repeats * (1 + trained);
    let bar = ProgressBar::new(builds);
    let observer: &dyn Observer = if args.quiet { &Silent } else { &bar };
    let executor = match args.threads {
        Some(threads) => Threads::new(threads)?,
        None => Threads::all_cores(),
    };
    let session = Session::new(&trainer, &prepared.train).executor(&executor).observer(observer);
    let session =
        session.checkpoints(args.checkpoint_every.map_or_else(Checkpoints::default, Checkpoints::Epochs));
    let stores = |name: &str| -> Result<Box<dyn Store>> {
        Ok(match &args.store {
            Some(folder) => Box::new(DirectoryStore::new(folder.join(name))?),
            None => Box::new(MemoryStore::new()),
        })
    };
    let mut study = Study::new(session, &prepared.test).repeats(args.repeats).stores(&stores);
    if let Some(scaler) = &prepared.target_scaler {
        study = study.target_scaler(scaler);
    }
    let report = study.run(&baseline, &strategies, &combiners, args.seed);
    bar.clear();
    report
}

fn optimizer(args: &Args) -> Optimizer {
    match args.optimizer {
        OptimizerName::Adam => {
            Adam::new(args.lr).epsilon(args.epsilon).weight_decay(args.weight_decay).into()
        }
        OptimizerName::Sgd => {
            Sgd::new(args.lr).momentum(args.momentum).weight_decay(args.weight_decay).into()
        }
    }
}
