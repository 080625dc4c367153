//! Combines predictions that are already there, whatever framework made them.
//!
//! `cargo run --release --example combine -- --help`
mod args;
mod combiners;
mod input;
mod output;
#[path = "../common/program.rs"]
mod program;

use args::Args;
use candle_ensemble::{
    combine::{load_combiner, save_combiner, AnyFitted, Combiner, FittedCombiner},
    data::Task,
    predictions::Predictions,
    HeldOut,
};
use input::Input;
use output::Scene;
use program::{program, Failure};
use std::{process::ExitCode, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program(|| run(&Args::read()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    let input = input::read(&args.input)?;
    let task = task(args, &input)?;
    if let Task::Classification { .. } = task {
        check_sums(&input)?;
    }
    let mut predictions = Predictions::new(input.predictions.clone(), task)?;
    if let Some(inputs) = &input.inputs {
        predictions = predictions.with_inputs(inputs)?;
    }
    match &args.apply {
        Some(path) => apply(args, &input, &predictions, &load_combiner::<AnyFitted>(path)?),
        None => fit(args, &input, &predictions),
    }
}

/// The task: given, or inferred from the arrays.
fn task(args: &Args, input: &Input) -> Result<Task, Failure> {
    let (_, _, width) = input.predictions.dims3()?;
    let classes = match (args.task, &input.targets) {
        (Some(task), _) => task == args::TaskName::Classification,
        // One target for several columns is a class.
        (None, Some(targets)) => width > 1 && targets.dims.iter().skip(1).all(|d| *d == 1),
        (None, None) => width > 1 && check_sums(input).is_ok(),
    };
    match classes {
        true if width < 2 => Err("probabilities must be (M, N, C) with two classes or more".into()),
        true => Ok(Task::Classification { classes: width }),
        false => Ok(Task::Regression { outputs: width }),
    }
}

/// Checks that the rows of all members are probabilities.
fn check_sums(input: &Input) -> Result<(), Failure> {
    let (_, rows, width) = input.predictions.dims3()?;
    let all: Vec<f64> =
        input.predictions.to_dtype(candle_core::DType::F64).and_then(|t| t.flatten_all()?.to_vec1())?;
    for (i, row) in all.chunks_exact(width).enumerate() {
        let place = || format!("of member {}, row {}", i / rows, i % rows);
        if let Some(class) = row.iter().position(|p| !(-1e-3..=1.001).contains(p)) {
            let p = row[class];
            return Err(format!(
                "probability of class {class} {} must be between 0 and 1, but is {p}",
                place()
            )
            .into());
        }
        let sum: f64 = row.iter().sum();
        if (sum - 1.).abs() > 1e-3 {
            return Err(format!(
                "the probabilities {} must sum to 1 (give or take .001), but sum to {sum}",
                place()
            )
            .into());
        }
    }
    Ok(())
}

/// The predictions for these rows with their targets.
fn held_out(input: &Input, predictions: &Predictions, rows: &[u32]) -> Result<HeldOut, Failure> {
    let targets = input.targets.as_ref().ok_or("it has no array `targets`")?;
    let targets = match predictions.task() {
        Task::Classification { classes } => targets.classes(classes)?,
        Task::Regression { outputs } => {
            let table = targets.table()?;
            if table.dims()[1] != outputs {
                return Err(format!("targets must be (N, {outputs}), but are {:?}", targets.dims).into());
            }
            table
        }
    };
    let mut all = HeldOut::from_predictions(predictions, &targets)?;
    if let Some(names) = &input.names {
        all = all.with_names(names.clone())?;
    }
    if let Some(groups) = &input.groups {
        all = all.with_groups(groups.clone())?;
    }
    if let Some(weights) = &input.weights {
        all = all.with_weights(weights)?;
    }
    if let Some(costs) = &input.costs {
        all = all.with_costs(costs.clone())?;
    }
    Ok(all.select(rows)?)
}

/// The rows to fit on and those to score on, which have none in common.
fn split(args: &Args, rows: usize) -> Result<(Vec<u32>, Vec<u32>), Failure> {
    let fit = args.fit_rows_or_default().positions("--fit-rows", rows)?;
    let score = args.score_rows_or_default().positions("--score-rows", rows)?;
    let both = score.iter().filter(|row| fit.binary_search(row).is_ok()).count();
    if both > 0 {
        return Err(format!("--fit-rows and --score-rows must have no row in common, but have {both}").into());
    }
    Ok((fit, score))
}

fn fit(args: &Args, input: &Input, predictions: &Predictions) -> Result<(), Failure> {
    let (fit_rows, score_rows) = split(args, predictions.rows())?;
    let fit = held_out(input, predictions, &fit_rows)?;
    let score = held_out(input, predictions, &score_rows)?;
    if let (Some(groups), Some(others)) = (fit.groups(), score.groups())
        && let Some(group) = groups.iter().find(|g| others.contains(g))
    {
        return Err(format!(
            "--fit-rows and --score-rows must have no group in common, but both have rows of group {group}"
        )
        .into());
    }
    let combiners = combiners::chosen(args, predictions)?;
    let baseline = output::baseline(&fit, &score)?;
    let (mut results, mut failed) = (vec![], vec![]);
    let mut last = None;
    for (name, combiner) in &combiners {
        let started = Instant::now();
        let outcome = combiner.fit(&fit).map_err(Failure::from).and_then(|fitted| {
            let seconds = started.elapsed().as_secs_f64();
            let result = output::result(&fitted, name, seconds, &score)?;
            Ok((fitted, result))
        });
        match outcome {
            Ok((fitted, result)) => {
                results.push(result);
                last = Some(fitted);
            }
            Err(e) if !args.ranks() => return Err(e),
            Err(e) => failed.push((name.clone(), e.to_string())),
        }
    }
    let scene = Scene { predictions, fit_rows: fit_rows.len(), score_rows: score_rows.len() };
    output::report(args, &scene, &baseline, &mut results, &failed)?;
    if let (Some(path), Some(fitted)) = (&args.save, &last) {
        save_combiner(path, fitted)?;
    }
    match (&args.output, &last) {
        (Some(path), Some(fitted)) => output::write(path, &fitted.combine(predictions)?),
        _ => Ok(()),
    }
}

fn apply(args: &Args, input: &Input, predictions: &Predictions, fitted: &AnyFitted) -> Result<(), Failure> {
    if fitted.needs_inputs() && predictions.inputs().is_none() {
        return Err(
            format!("{} reads the rows' inputs, but there is no array `inputs`", fitted.name()).into()
        );
    }
    let predicted = fitted.combine(predictions)?;
    if let Some(path) = &args.output {
        output::write(path, &predicted)?;
    }
    if input.targets.is_none() {
        if args.output.is_none() {
            return Err(
                "there are no targets to score by: name a file for the predictions with --output".into()
            );
        }
        return Ok(());
    }
    let rows = args.score_rows_or_default().positions("--score-rows", predictions.rows())?;
    let score = held_out(input, predictions, &rows)?;
    output::applied(args, fitted, &score)
}
