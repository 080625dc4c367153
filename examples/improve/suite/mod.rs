//! The suite: networks that are broken in known ways, and healthy ones. Each has to be found and repaired, or left alone.
mod case;
mod faults;
mod networks;
mod sets;
mod summary;

use crate::{
    args::Args,
    print,
    program::{say, Failure},
    progress::Progress,
};
use candle_ensemble::{
    exec::Threads,
    files,
    observe::{Observer, Silent},
    Result,
};
use case::Case;
use std::time::Instant;
use summary::Summary;

/// Runs the cases that the flags select, and prints the table.
pub fn run(args: &Args) -> Result<(), Failure> {
    let cases: Vec<Case> = Case::all().into_iter().filter(|case| case.selected(&args.only)).collect();
    if args.list {
        cases.iter().for_each(|case| say(case.name()));
        return Ok(());
    }
    if cases.is_empty() {
        return Err(format!(
            "--only must be in the name of a case (--list prints them), but is {:?}",
            args.only.join(",")
        )
        .into());
    }
    let executor = match args.threads {
        Some(threads) => Threads::new(threads)?,
        None => Threads::all_cores(),
    };
    let progress = Progress::default();
    let observer: &dyn Observer = if args.quiet { &Silent } else { &progress };
    let (started, mut outcomes) = (Instant::now(), vec![]);
    for (i, case) in cases.iter().enumerate() {
        let outcome = case.run(args, &executor, observer)?;
        progress.clear();
        let (elapsed, done) = (started.elapsed().as_secs_f64(), i + 1);
        let left = elapsed / done as f64 * (cases.len() - done) as f64;
        print(args, &format!("{done} of {}, about {left:.0} s left: {outcome}", cases.len()));
        outcomes.push(outcome);
    }
    let summary = Summary::of(outcomes);
    say(format!("\n{}", summary.table()));
    say(summary.totals());
    if let Some(path) = &args.json {
        let document = serde_json::to_vec_pretty(&summary).map_err(|e| e.to_string())?;
        files::write_whole(path, &document)?;
    }
    Ok(())
}
