//! Combines predictions that are already there, whatever framework made them.
//!
//! `cargo run --release --example combine -- --help`
mod args;
mod arrays;
mod combiners;
mod input;
mod labels;
mod output;
#[path = "../common/program.rs"]
mod program;
mod rows;
mod task;

use args::Args;
use candle_ensemble::{
    combine::{load_combiner, save_combiner, AnyFitted, Combiner, FittedCombiner},
    Error, HeldOut,
};
use input::Input;
use output::{Outcome, Scene};
use program::{program, Failure};
use rows::{Rows, Split};
use std::{process::ExitCode, time::Instant};
use task::Table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program(|| run(&Args::read()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    let mut input = input::read(&args.input)?;
    let fitted = args.apply.as_ref().map(load_combiner::<AnyFitted>).transpose()?;
    let task = fitted.as_ref().and_then(|fitted| fitted.fitted_on()).map(|on| on.task());
    let table = task::table(args, &mut input, task)?;
    if !args.quiet {
        input.notes.iter().for_each(|note| eprintln!("note: {note}"));
    }
    match &fitted {
        Some(fitted) => apply(args, &input, &table, fitted),
        None if table.targets.is_none() => combine(args, &table),
        None => fit(args, &input, &table),
    }
}

/// The predictions for these rows with their targets.
fn held_out(input: &Input, table: &Table, rows: &[u32]) -> Result<HeldOut, Failure> {
    let targets = table.targets.as_ref().ok_or("it has no array `targets`")?;
    let mut all = HeldOut::from_predictions(&table.predictions, targets)?;
    if let Some(groups) = &input.groups {
        all = all.with_groups(groups.of_row.clone())?;
    }
    if let Some(weights) = &input.weights {
        all = all.with_weights(weights)?;
    }
    if let Some(costs) = &input.costs {
        all = all.with_costs(costs.clone())?;
    }
    let some = all.select(rows)?;
    if let Some(weights) = some.weights()
        && weights.sum_all()?.to_scalar::<f64>()? == 0.
    {
        return Err("the weights of the rows to fit on, and of those to score on, must not all be 0".into());
    }
    Ok(some)
}

fn fit(args: &Args, input: &Input, table: &Table) -> Result<(), Failure> {
    let predictions = &table.predictions;
    let split = Split::of(args, predictions.rows(), input.groups.as_ref())?;
    let (fit, score) = (held_out(input, table, &split.fit)?, held_out(input, table, &split.score)?);
    let combiners = combiners::chosen(args, predictions)?;
    let baseline = output::baseline(&fit, &score)?;
    let (mut results, mut failed): (Vec<(Outcome, Box<AnyFitted>)>, _) = (vec![], vec![]);
    for (name, combiner) in &combiners {
        let started = Instant::now();
        let outcome = combiner.fit(&fit).map_err(on_fit_rows).and_then(|fitted| {
            let seconds = started.elapsed().as_secs_f64();
            let result = output::result(&fitted, name, seconds, &score)?;
            Ok((result, fitted))
        });
        match outcome {
            Ok(result) => results.push(result),
            Err(e) if !args.ranks() => return Err(e),
            Err(e) => failed.push((name.clone(), e.to_string())),
        }
    }
    if results.is_empty() {
        return Err(none_fitted(&failed));
    }
    results.sort_by(|(a, _), (b, _)| a.loss().total_cmp(&b.loss()));
    let (results, mut fitted): (Vec<Outcome>, Vec<_>) = results.into_iter().unzip();
    let best = fitted.swap_remove(0);
    let predicted = args.output.as_ref().map(|path| Ok::<_, Failure>((path, best.combine(predictions)?)));
    let predicted = predicted.transpose()?;
    if let Some(path) = &args.save {
        save_combiner(path, &*best)?;
    }
    if let Some((path, predicted)) = &predicted {
        output::write(path, predicted)?;
    }
    let scene = Scene { predictions, fit_rows: split.fit.len(), score_rows: split.score.len() };
    output::report(args, &scene, &baseline, &results, &failed)
}

/// The error of a fit in the words of the command line.
fn on_fit_rows(e: Error) -> Failure {
    match e {
        Error::HeldOut { combiner, need, have, .. } => {
            format!("{combiner} needs at least {need} rows to fit on, but has {have}; --fit-rows names them")
                .into()
        }
        e => e.into(),
    }
}

/// The error when no combiner could be fitted and scored, with the different reasons.
fn none_fitted(failed: &[(String, String)]) -> Failure {
    let mut reasons: Vec<&(String, String)> = vec![];
    for of in failed {
        if !reasons.iter().any(|(_, why)| *why == of.1) {
            reasons.push(of);
        }
    }
    let shown: Vec<String> = reasons.iter().take(3).map(|(name, why)| format!("{name}: {why}")).collect();
    let more = if reasons.len() > 3 { "; …" } else { "" };
    format!("none of {} combiners could be fitted and scored: {}{more}", failed.len(), shown.join("; "))
        .into()
}

/// Combines predictions without targets, by a combiner that has nothing to learn.
fn combine(args: &Args, table: &Table) -> Result<(), Failure> {
    let combiners = combiners::chosen(args, &table.predictions)?;
    let [(name, combiner)] = combiners.as_slice() else {
        return Err("there are no targets to rank combiners by: add an array `targets`".into());
    };
    let Some(fitted) = combiner.fixed()? else {
        return Err(format!("{name} learns from targets: add an array `targets`").into());
    };
    let Some(path) = &args.output else {
        return Err("there are no targets to score by: name a file for the predictions with --output".into());
    };
    let predicted = fitted.combine(&table.predictions)?;
    if let Some(path) = &args.save {
        save_combiner(path, &*fitted)?;
    }
    output::write(path, &predicted)
}

fn apply(args: &Args, input: &Input, table: &Table, fitted: &AnyFitted) -> Result<(), Failure> {
    let predictions = &table.predictions;
    if fitted.needs_inputs() && predictions.inputs().is_none() {
        return Err(
            format!("{} reads the rows' inputs, but there is no array `inputs`", fitted.name()).into()
        );
    }
    let predicted = fitted.combine(predictions)?;
    if table.targets.is_none() {
        let Some(path) = &args.output else {
            return Err(
                "there are no targets to score by: name a file for the predictions with --output".into()
            );
        };
        return output::write(path, &predicted);
    }
    let rows = args.score_rows.clone().unwrap_or(Rows::All);
    let score = held_out(input, table, &rows.positions("--score-rows", predictions.rows())?)?;
    output::applied(args, fitted, &score)?;
    match &args.output {
        Some(path) => output::write(path, &predicted),
        None => Ok(()),
    }
}
