//! The techniques for better learning and better generalization, measured beside an independent
//! implementation.
//!
//! `cargo run --release --example techniques -- --help`
mod args;
mod comparison;
mod data;
mod gates;
mod generators;
mod network;
mod output;
#[path = "../common/program.rs"]
mod program;
mod progress;
mod reference;
mod setting;
mod tables;

use args::Args;
use candle_ensemble::{
    exec::{Executor, Threads},
    files,
    plan::RunSpec,
    Error, Result, Seed,
};
use data::{Bench, Scores};
use output::{Results, Summed};
use program::{parse, program, say, Failure};
use progress::{OfOne, Progress};
use serde_json::json;
use setting::{Setting, Table};
use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program(|| run(&parse()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    let seed = Seed::from(args.seed);
    let tables = args.select(tables::all(&Bench::new(seed, args.quick))?)?;
    if args.list {
        for table in &tables {
            say(format!("{}: {}", table.key, table.title));
            table.rows.iter().for_each(|row| say(format!("  {:<31} {}", row.key, row.name)));
        }
        return Ok(());
    }
    let settings = distinct(&tables);
    let networks = settings.len() * usize::from(args.repeats);
    let cost = settings.values().map(|setting| setting.cost).sum::<f64>() * f64::from(args.repeats);
    let progress = Progress::new(cost, networks, args.quiet);

    let (mut results, mut summed, mut documents) = (Results::new(), Summed::default(), vec![]);
    for table in &tables {
        train(args, table, seed, &progress, &mut results)?;
        let reports = output::reports(table, &results, !args.quick)?;
        progress.clear();
        say(format!("{}\n", output::table(table.title, &reports)?));
        if !args.quick {
            say(output::sentences(&reports));
        }
        summed.add(table, &reports);
        documents.push(output::json(table, &reports));
    }
    say(summed.text(args.repeats, !args.quick));
    if !args.quiet {
        eprintln!("{networks} networks in {}", progress::time(progress.elapsed()));
    }
    if let Some(path) = &args.json {
        let document = json!({ "seed": args.seed, "repeats": args.repeats, "tables": documents });
        files::write_whole(path, format!("{document:#}\n").as_bytes())?;
    }
    Ok(())
}

/// The settings of all tables, each once.
fn distinct(tables: &[Table]) -> BTreeMap<&str, &Setting> {
    let settings = tables.iter().flat_map(|table| &table.rows).flat_map(|row| [&row.without, &row.with]);
    settings.map(|setting| (&*setting.name, setting)).collect()
}

/// Trains the networks of a table that no table before it has trained, the longest first. The network of a
/// repeat has the same seed in every setting.
fn train(args: &Args, table: &Table, seed: Seed, progress: &Progress, results: &mut Results) -> Result<()> {
    let mut settings: Vec<_> = distinct(std::slice::from_ref(table)).into_values().collect();
    settings.retain(|setting| !results.contains_key(&setting.name));
    settings.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    let repeats = usize::from(args.repeats);
    let outcomes: Mutex<Vec<Vec<Option<Scores>>>> = Mutex::new(vec![vec![None; repeats]; settings.len()]);
    // The executor's threads are what is needed: each has a core of its own. Its runs only number the networks.
    let jobs: Vec<_> = (0..settings.len() * repeats).map(|id| RunSpec::new(id, "", seed, vec![])).collect();
    let executor = args.threads.map_or_else(|| Ok(Threads::all_cores()), |n| Threads::new(n.into()))?;
    executor.execute(&jobs.iter().collect::<Vec<_>>(), &|job| {
        let (number, repeat) = (job.id / repeats, job.id % repeats);
        let setting = settings[number];
        let observer = OfOne::new(progress, setting.cost);
        let outcome = setting.run(seed.nth("repeat", repeat as u64), &observer);
        let outcome = outcome.map_err(|e| Error::invalid(&setting.name, "trained", e))?;
        observer.finish();
        outcomes.lock().unwrap_or_else(PoisonError::into_inner)[number][repeat] = outcome;
        Ok(())
    })?;
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.extend(settings.iter().map(|setting| setting.name.clone()).zip(outcomes));
    Ok(())
}
