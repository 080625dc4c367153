//! One ensemble, trained by many processes that share a store: the tasks of a job array, the pods of an indexed job, the
//! ranks of MPI, or workers that come and go. Then one process collects it.
//!
//! `cargo run --release --example job_array -- --help`
mod args;
#[path = "../common/digits.rs"]
mod digits;
#[path = "../common/program.rs"]
mod program;

use args::Args;
use candle_core::Result as CandleResult;
use candle_ensemble::{
    combine::Mean, data::*, exec::*, nn::seq, observe::*, store::*, strategy::Bagging, train::*, *,
};
use candle_nn::{linear, Activation, VarBuilder};
use program::{on_interrupt, parse, program, say, Failure};
use std::{path::Path, process::ExitCode, time::Duration};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program(|| run(&parse()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    let digits = digits::digits(&[64])?;
    let split = Split::of(&digits, 0.3, Seed::from(1))?;
    let (data, test) = (digits.subset(&split.train)?, digits.subset(&split.test)?);
    let width = args.width as usize;
    let trainer = Trainer::new(move |vb| build(width, vb)).epochs(args.epochs as usize);

    let store = open(&args.store)?;
    let session = Session::new(&trainer, &data).store(&*store);
    let session = session.checkpoints(Checkpoints::Epochs(args.checkpoint_every as usize));
    let plan = session.plan(&Bagging::new(args.members as usize), args.seed)?;
    match &args.collect {
        Some(file) => collect(session.load(&plan)?, &test, file),
        None if args.status => status(args, &session, &plan),
        None => train(args, session, &plan),
    }
}

fn build(width: usize, vb: VarBuilder<'static>) -> CandleResult<impl network::Network + Send + Sync> {
    let first = seq().add(linear(64, width, vb.pp(0))?).add(Activation::Relu);
    let second = first.add(linear(width, width, vb.pp(1))?).add(Activation::Relu);
    Ok(second.add(linear(width, 10, vb.pp(2))?))
}

/// A folder, or a bucket if the place is an address.
fn open(place: &str) -> Result<Box<dyn Store>, Failure> {
    if !place.contains("://") {
        return Ok(Box::new(DirectoryStore::new(place)?));
    }
    #[cfg(feature = "object-store")]
    return Ok(Box::new(ObjectStore::from_url(place)?));
    #[cfg(not(feature = "object-store"))]
    Err(format!("--store {place}: this program was built without --features object-store").into())
}

/// Trains the share of this process, or what it takes from the store.
fn train(args: &Args, session: Session<'_, impl Learner>, plan: &plan::Plan) -> Result<(), Failure> {
    on_interrupt(format!("what is finished is in {}; the same command continues", args.store));
    let threads = match args.threads {
        Some(threads) => Threads::new(threads as usize)?,
        None => Threads::all_cores(),
    };
    let progress = ProgressBar::new(1);
    let observer: &dyn Observer = if args.quiet { &Silent } else { &progress };
    let session = session.observer(observer);
    if args.worker {
        let worker = Worker::new().expiry(Duration::from_secs_f64(args.expiry));
        session.executor(&threads).worker(&worker).build(plan)?;
        say(format_args!("all networks are in {}", args.store));
        return Ok(());
    }
    let shard = match args.shard {
        Some((index, of)) => Some(Shard::new(index, of, &threads)?),
        None => Shard::from_env(&threads)?,
    };
    let whole = Shard::new(0, 1, &threads)?;
    session.executor(shard.as_ref().unwrap_or(&whole)).build(plan)?;
    let which = shard.map_or("all networks are".into(), |shard| format!("{shard:?}: its networks are"));
    say(format_args!("{which} in {}", args.store));
    Ok(())
}

/// Prints how far the build is, once or until it has ended.
fn status(args: &Args, session: &Session<'_, impl Learner>, plan: &plan::Plan) -> Result<(), Failure> {
    let show = |status: &Status| match args.json {
        true => serde_json::to_string(status).map(say).map_err(|e| e.to_string()),
        false => {
            say(format_args!("{status}\n"));
            Ok(())
        }
    };
    let Some(seconds) = args.watch else { return Ok(show(&session.status(plan)?)?) };
    let mut shown = Ok(());
    session.watch(plan, Duration::from_secs_f64(seconds), |status| {
        shown = show(status);
        if shown.is_ok() {
            Flow::Continue
        } else {
            Flow::Stop
        }
    })?;
    Ok(shown?)
}

/// Measures the ensemble and writes it.
fn collect(pool: Pool<'_, impl Learner>, test: &TensorDataset, file: &Path) -> Result<(), Failure> {
    let ensemble = pool.combine(&Mean)?;
    let (networks, metrics) = (ensemble.members().len(), ensemble.on(test).evaluate()?);
    ensemble.save(file)?;
    let (name, figure) = (metrics.headline_name(), metrics.headline());
    say(format_args!("{networks} networks: test {name} {figure:.4}, written to {}", file.display()));
    Ok(())
}
