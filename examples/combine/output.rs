//! The output: a table for people, JSON for programs, predictions for NumPy.
use super::{
    args::Args,
    program::{say, Failure},
};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    combine::{AnyFitted, FittedCombiner, Mean},
    data::Task,
    files,
    metrics::{Interval, Metrics},
    predictions::Predictions,
    HeldOut,
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use npyz::WriterBuilder;
use serde_json::{json, Map, Value};
use std::path::Path;

/// What is compared with, on the rows to score on.
pub struct Baseline {
    /// The member with the least loss on the rows to fit on.
    pub best_single: (String, Metrics),
    pub mean: Metrics,
}

/// One combiner.
pub struct Outcome {
    pub rule: String,
    pub weights: Option<Vec<(String, f64)>>,
    pub objective: Option<f64>,
    pub iterations: Option<usize>,
    pub gap: Option<f64>,
    pub seconds: f64,
    pub score: Metrics,
    /// Loss of the mean minus loss of the combiner. A single row has no interval.
    pub gain: Option<Interval>,
}

fn failed(e: impl std::fmt::Display) -> Failure {
    e.to_string().into()
}

/// The number to rank by, less is better: log-loss or squared error.
fn loss(metrics: &Metrics) -> f64 {
    let values = metrics.values();
    let of = |name: &str| values.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    of("nll").or(of("rmse")).unwrap_or(f64::NAN)
}

pub fn baseline(fit: &HeldOut, score: &HeldOut) -> Result<Baseline, Failure> {
    let alone = |held_out: &HeldOut, slot: usize| held_out.select_slots(&[slot])?.metrics(&Mean);
    let slots = 0..fit.predictions().slots();
    let losses = slots.map(|slot| Ok(loss(&alone(fit, slot)?))).collect::<Result<Vec<_>, Failure>>()?;
    let best = (1..losses.len()).fold(0, |best, s| if losses[s] < losses[best] { s } else { best });
    let best_single = (fit.names()[best].clone(), alone(score, best)?);
    Ok(Baseline { best_single, mean: score.metrics(&Mean)? })
}

pub fn result(fitted: &AnyFitted, name: &str, seconds: f64, score: &HeldOut) -> Result<Outcome, Failure> {
    let fit = fitted.fitted();
    let named = |w: &[f64]| score.names().iter().cloned().zip(w.iter().copied()).collect();
    Ok(Outcome {
        rule: name.into(),
        weights: fitted.weights().map(named),
        objective: fit.map(|f| f.objective),
        iterations: fit.map(|f| f.iterations),
        gap: fit.and_then(|f| f.gap),
        seconds,
        score: score.metrics(fitted)?,
        gain: (score.rows().len() > 1).then(|| score.gain(fitted, &Mean)).transpose()?,
    })
}

impl Outcome {
    /// The number to rank by; less is better.
    pub fn loss(&self) -> f64 {
        loss(&self.score)
    }

    fn json(&self, baseline: &Baseline) -> Value {
        let mut map = Map::new();
        map.insert("rule".into(), json!(self.rule));
        if let Some(weights) = &self.weights {
            map.insert("weights".into(), weights.iter().map(|(_, w)| *w).collect());
            map.insert("names".into(), weights.iter().map(|(n, _)| n.clone()).collect());
        }
        let (objective, iterations, gap) = (self.objective, self.iterations, self.gap);
        let seconds = self.seconds;
        let fit = json!({ "objective": objective, "iterations": iterations, "gap": gap, "seconds": seconds });
        map.insert("fit".into(), fit);
        map.insert("score".into(), json!(self.score));
        let (name, single) = &baseline.best_single;
        let mut single = json!(single);
        single["name"] = json!(name);
        map.insert("baseline".into(), json!({ "best_single": single, "mean": baseline.mean }));
        map.insert("gain".into(), json!(self.gain));
        Value::Object(map)
    }
}

/// What was combined, and on how many rows it was fitted and scored.
pub struct Scene<'a> {
    pub predictions: &'a Predictions,
    pub fit_rows: usize,
    pub score_rows: usize,
}

/// Prints the table, best first, and writes the JSON.
pub fn report(
    args: &Args,
    scene: &Scene<'_>,
    baseline: &Baseline,
    outcomes: &[Outcome],
    failed: &[(String, String)],
) -> Result<(), Failure> {
    if !args.quiet {
        say(format!("{}\n", describe(scene)));
        say(table(baseline, outcomes));
        if let [one] = outcomes {
            weights(one);
            say(format!("\n{}: {}", one.rule, verdict(one)));
        }
        if !failed.is_empty() {
            say("\nnot fitted or not scored:");
        }
        for (rule, why) in failed {
            say(format!("{rule}: {why}"));
        }
    }
    let Some(path) = &args.json else { return Ok(()) };
    let document = match outcomes {
        [one] if !args.ranks() => one.json(baseline),
        all => {
            let failed: Map<_, _> = failed.iter().map(|(r, why)| (r.clone(), json!(why))).collect();
            let rules: Vec<Value> = all.iter().map(|o| o.json(baseline)).collect();
            json!({ "rules": rules, "failed": failed })
        }
    };
    write_json(path, &document)
}

fn write_json(path: &Path, document: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).map_err(failed)?;
    if path == Path::new("-") {
        say(text);
        return Ok(());
    }
    Ok(files::write_whole(path, format!("{text}\n").as_bytes())?)
}

fn describe(scene: &Scene<'_>) -> String {
    let (members, rows) = (scene.predictions.slots(), scene.predictions.rows());
    let what = match scene.predictions.task() {
        Task::Classification { classes } => format!("{classes} classes"),
        Task::Regression { outputs: 1 } => "one value".into(),
        Task::Regression { outputs } => format!("{outputs} values"),
    };
    let (fit, score) = (scene.fit_rows, scene.score_rows);
    let rows_used = format!("combiners are fitted on {fit} rows, everything is scored on {score} others");
    let members = if members == 1 { "1 member".into() } else { format!("{members} members") };
    format!("{members}, {rows} rows, {what}; {rows_used}.")
}

fn table(baseline: &Baseline, outcomes: &[Outcome]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let names: Vec<&str> = baseline.mean.values().iter().map(|(name, _)| *name).collect();
    table.set_header(["combiner"].into_iter().chain(names).chain(["fitted in"]));
    let cells =
        |metrics: &Metrics| metrics.values().iter().map(|(_, v)| format!("{v:.4}")).collect::<Vec<_>>();
    let mut rows: Vec<(f64, Vec<String>)> = vec![];
    let single = format!("(best single: {})", baseline.best_single.0);
    for (name, metrics) in [(single, &baseline.best_single.1), ("(mean)".into(), &baseline.mean)] {
        let row = [vec![name], cells(metrics), vec![String::new()]].concat();
        rows.push((loss(metrics), row));
    }
    for o in outcomes {
        let time = format!("{:.1} ms", o.seconds * 1e3);
        rows.push((o.loss(), [vec![o.rule.clone()], cells(&o.score), vec![time]].concat()));
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, row) in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The weights, the largest first; only the first twenty.
fn weights(outcome: &Outcome) {
    let Some(weights) = &outcome.weights else { return };
    let mut sorted: Vec<&(String, f64)> = weights.iter().filter(|(_, w)| *w != 0.).collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let shown: Vec<String> = sorted.iter().take(20).map(|(name, w)| format!("{name}: {w:.4}")).collect();
    let more = sorted.len().saturating_sub(20);
    let more = if more > 0 { format!(", and {more} smaller") } else { String::new() };
    say(format!("\nweights ({} of {} members): {}{more}", sorted.len(), weights.len(), shown.join(", ")));
}

fn verdict(outcome: &Outcome) -> String {
    let Some(gain) = &outcome.gain else { return "one row gives no interval of the gain".into() };
    let Interval { estimate, low, high, .. } = *gain;
    let than = match (low > 0., high < 0.) {
        (true, _) => "better than the equal-weight mean",
        (_, true) => "worse than the equal-weight mean",
        _ => "not better than the equal-weight mean: these rows show no difference",
    };
    let unit = if outcome.score.values().iter().any(|(n, _)| *n == "nll") { "nll" } else { "squared error" };
    format!("{than} ({unit} lower by {estimate:.4}, 95 % interval {low:.4} … {high:.4})")
}

/// Scores a combiner that was fitted before.
pub fn applied(args: &Args, fitted: &AnyFitted, score: &HeldOut) -> Result<(), Failure> {
    let metrics = score.metrics(fitted)?;
    let mean = score.metrics(&Mean)?;
    if !args.quiet {
        let line = |m: &Metrics| {
            m.values().iter().map(|(n, v)| format!("{n} {v:.4}")).collect::<Vec<_>>().join(", ")
        };
        say(format!("{}: {}\nmean: {}", fitted.name(), line(&metrics), line(&mean)));
    }
    match &args.json {
        None => Ok(()),
        Some(path) => {
            let weights = fitted.weights();
            let baseline = json!({ "mean": mean });
            let document = json!({
                "rule": fitted.name(), "weights": weights, "score": metrics, "baseline": baseline
            });
            write_json(path, &document)
        }
    }
}

/// Writes the combined predictions `(N, C)` as a NumPy array.
pub fn write(path: &Path, predicted: &Tensor) -> Result<(), Failure> {
    let shape: Vec<u64> = predicted.dims().iter().map(|d| *d as u64).collect();
    let values: Vec<f64> = predicted.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1())?;
    let mut bytes = vec![];
    let options = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes);
    let mut writer = options.begin_nd().map_err(failed)?;
    writer.extend(values).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(files::write_whole(path, &bytes)?)
}
