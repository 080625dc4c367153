//! Combines predictions that are already there, whatever framework made them.
//!
//! `cargo run --release --example combine -- --help`
mod any;
mod args;
mod input;
mod output;
mod rules;

use any::AnyFitted;
use args::Args;
use candle_ensemble::{
    combine::{load_combiner, save_combiner, Combiner, FittedCombiner},
    data::Task,
    predictions::Predictions,
    threads, HeldOut,
};
use input::Input;
use output::Scene;
use std::{process::ExitCode, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    threads::one_core_per_member();
    match Args::read().and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {}", e.lines().collect::<Vec<_>>().join(" "));
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let input = input::read(&args.input)?;
    let task = task(args, &input)?;
    if let Task::Classification { .. } = task {
        check_sums(&input)?;
    }
    let text = |e: candle_ensemble::Error| e.to_string();
    let mut predictions = Predictions::new(input.predictions.clone(), task).map_err(|e| text(e.into()))?;
    if let Some(inputs) = &input.inputs {
        predictions = predictions.with_inputs(inputs).map_err(|e| text(e.into()))?;
    }
    match &args.apply {
        Some(path) => apply(args, &input, &predictions, &load_combiner::<AnyFitted>(path).map_err(text)?),
        None => fit(args, &input, &predictions),
    }
}

/// What is predicted: predicted, or what the arrays look like.
fn task(args: &Args, input: &Input) -> Result<Task, String> {
    let (_, _, width) = input.predictions.dims3().map_err(|e| e.to_string())?;
    let classes = match (args.task, &input.targets) {
        (Some(task), _) => task == args::TaskName::Classification,
        // One answer for several columns is a class.
        (None, Some(targets)) => width > 1 && targets.dims.iter().skip(1).all(|d| *d == 1),
        (None, None) => width > 1 && check_sums(input).is_ok(),
    };
    match classes {
        true if width < 2 => Err("probabilities must be (M, N, C) with two classes or more".into()),
        true => Ok(Task::Classification { classes: width }),
        false => Ok(Task::Regression { outputs: width }),
    }
}

/// Whether all members' rows are probabilities.
fn check_sums(input: &Input) -> Result<(), String> {
    let bad = |e: candle_core::Error| e.to_string();
    let (_, rows, width) = input.predictions.dims3().map_err(bad)?;
    let all: Vec<f64> = input
        .predictions
        .to_dtype(candle_core::DType::F64)
        .and_then(|t| t.flatten_all()?.to_vec1())
        .map_err(bad)?;
    for (i, row) in all.chunks_exact(width).enumerate() {
        let place = || format!("of member {}, row {}", i / rows, i % rows);
        if let Some(class) = row.iter().position(|p| !(-1e-3..=1.001).contains(p)) {
            let p = row[class];
            return Err(format!(
                "probability of class {class} {} must be between 0 and 1, but is {p}",
                place()
            ));
        }
        let sum: f64 = row.iter().sum();
        if (sum - 1.).abs() > 1e-3 {
            return Err(format!(
                "the probabilities {} must sum to 1 (give or take .001), but sum to {sum}",
                place()
            ));
        }
    }
    Ok(())
}

/// The rows of a set with their answers.
fn held_out(input: &Input, predictions: &Predictions, rows: &[u32]) -> Result<HeldOut, String> {
    let targets = input.targets.as_ref().ok_or("it has no array `targets`")?;
    let targets = match predictions.task() {
        Task::Classification { classes } => targets.classes(classes)?,
        Task::Regression { outputs } => {
            let table = targets.table()?;
            if table.dims()[1] != outputs {
                return Err(format!("targets must be (N, {outputs}), but are {:?}", targets.dims));
            }
            table
        }
    };
    let text = |e: candle_ensemble::Error| e.to_string();
    let mut all = HeldOut::from_predictions(predictions, &targets).map_err(text)?;
    if let Some(names) = &input.names {
        all = all.with_names(names.clone()).map_err(text)?;
    }
    if let Some(groups) = &input.groups {
        all = all.with_groups(groups.clone()).map_err(text)?;
    }
    if let Some(weights) = &input.weights {
        all = all.with_weights(weights).map_err(text)?;
    }
    if let Some(costs) = &input.costs {
        all = all.with_costs(costs.clone()).map_err(text)?;
    }
    all.select(rows).map_err(text)
}

/// The rows to fit on and those to score on, which have none in common.
fn split(args: &Args, rows: usize) -> Result<(Vec<u32>, Vec<u32>), String> {
    let fit = args.rows_of_the_fit().positions("--fit-rows", rows)?;
    let score = args.rows_of_the_score().positions("--score-rows", rows)?;
    let both = score.iter().filter(|row| fit.binary_search(row).is_ok()).count();
    if both > 0 {
        return Err(format!("--fit-rows and --score-rows must have no row in common, but have {both}"));
    }
    Ok((fit, score))
}

fn fit(args: &Args, input: &Input, predictions: &Predictions) -> Result<(), String> {
    let (fit_rows, score_rows) = split(args, predictions.rows())?;
    let fit = held_out(input, predictions, &fit_rows)?;
    let score = held_out(input, predictions, &score_rows)?;
    if let (Some(groups), Some(others)) = (fit.groups(), score.groups())
        && let Some(group) = groups.iter().find(|g| others.contains(g))
    {
        return Err(format!(
            "--fit-rows and --score-rows must have no group in common, but both have rows of group {group}"
        ));
    }
    let names = rules::chosen(args, predictions)?;
    let baseline = output::baseline(&fit, &score)?;
    let (mut results, mut failed) = (vec![], vec![]);
    let mut last = None;
    for name in &names {
        let started = Instant::now();
        let outcome = rules::rule(*name, args).and_then(|rule| {
            let head = rule.fit(&fit).map_err(|e| e.to_string())?;
            let seconds = started.elapsed().as_secs_f64();
            let result = output::result(&head, &name.to_string(), seconds, &score)?;
            Ok((head, result))
        });
        match outcome {
            Ok((head, result)) => {
                results.push(result);
                last = Some(head);
            }
            Err(e) if names.len() == 1 => return Err(e),
            Err(e) => failed.push((name.to_string(), e)),
        }
    }
    let scene = Scene { predictions, fit_rows: fit_rows.len(), score_rows: score_rows.len() };
    output::say(args, &scene, &baseline, &mut results, &failed)?;
    if let (Some(path), Some(head)) = (&args.save, &last) {
        save_combiner(path, head).map_err(|e| e.to_string())?;
    }
    match (&args.output, &last) {
        (Some(path), Some(head)) => {
            output::write(path, &head.combine(predictions).map_err(|e| e.to_string())?)
        }
        _ => Ok(()),
    }
}

fn apply(args: &Args, input: &Input, predictions: &Predictions, head: &AnyFitted) -> Result<(), String> {
    if head.needs_inputs() && predictions.inputs().is_none() {
        return Err(format!("{} looks at the rows' inputs, but there is no array `inputs`", head.name()));
    }
    let predicted = head.combine(predictions).map_err(|e| candle_ensemble::Error::from(e).to_string())?;
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
    let rows = args.rows_of_the_score().positions("--score-rows", predictions.rows())?;
    let score = held_out(input, predictions, &rows)?;
    output::applied(args, head, &score)
}
