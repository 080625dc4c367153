//! The gates: whether what was measured agrees with the reference.
use super::{
    comparison::{Comparison, Differences, Outcomes},
    data::{Metric, Scores},
    reference::{Direction, Expected, Figure, Level, Tail, NETWORKS},
    setting::{Row, Setting},
};
use candle_ensemble::{statistics::Summary, Result};
use serde::Serialize;
use std::f64::consts::FRAC_PI_2;

/// The largest relative difference of two log-losses that are the same up to rounding. Single precision has 7
/// digits, of which a training loses some.
const ROUNDING: f64 = 1e-3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Met,
    Missed,
    /// More repeats are needed.
    Untested,
}

/// One thing that has to hold.
#[derive(Clone, Debug, Serialize)]
pub struct Gate {
    pub what: String,
    pub verdict: Verdict,
    /// The numbers behind it.
    pub why: String,
}

impl Gate {
    fn new(what: impl Into<String>, met: bool, why: String) -> Self {
        let verdict = if met { Verdict::Met } else { Verdict::Missed };
        Self { what: what.into(), verdict, why }
    }
}

/// The gates on the figures of a setting.
pub fn of_setting(setting: &Setting, outcomes: &Outcomes) -> Result<Vec<Gate>> {
    let finite: Vec<&Scores> = outcomes.iter().flatten().collect();
    let (repeats, name) = (outcomes.len(), &setting.name);
    let level = match &setting.expected {
        Expected::NotFinite => {
            let why = format!("{} of {repeats} are", repeats - finite.len());
            return Ok(vec![Gate::new(format!("{name}: NaN in all networks"), finite.is_empty(), why)]);
        }
        Expected::Level(level) => level,
    };
    let mut gates = vec![];
    // Accuracies cannot be NaN but for a fault, which is then a gate that is missed.
    if setting.problem.metric == Metric::MeanSquared || finite.len() < repeats {
        let why = format!("{} of {repeats} are", finite.len());
        gates.push(Gate::new(format!("{name}: all networks finite"), finite.len() == repeats, why));
    }
    if finite.is_empty() {
        return Ok(gates);
    }
    let floor = match setting.problem.metric {
        Metric::Accuracy => 0.5 / setting.problem.test.len() as f64,
        Metric::MeanSquared => 0.,
    };
    let train: Vec<f64> = finite.iter().map(|s| s.train).collect();
    let test: Vec<f64> = finite.iter().map(|s| s.test).collect();
    let mut mean = |what: &str, values: &[f64], expected| -> Result<()> {
        gates.push(of_mean(format!("{name}: {what}"), values, expected, floor)?);
        Ok(())
    };
    match level.tail {
        Tail::None => {
            mean("training rows", &train, level.train)?;
            mean("test rows", &test, level.test)?;
        }
        Tail::Collapsed { below, .. } => {
            let others: Vec<f64> = test.into_iter().filter(|score| *score >= below).collect();
            let what = format!("{name}: test rows, networks above {below}");
            gates.push(match others.is_empty() {
                true => Gate::new(what, false, "there are none".into()),
                false => of_mean(what, &others, level.test_of_the_others(), floor)?,
            });
        }
        Tail::Medians { train: of_train, test: of_test, networks } => {
            let mut median = |what: &str, values, expected| {
                gates.push(of_median(format!("{name}: {what}"), values, expected, (floor, networks)));
            };
            median("training rows", train, of_train);
            median("test rows", test, of_test);
        }
    }
    Ok(gates)
}

/// The mean of R values is a two-sample matter, because the reference's is one of 20.
fn of_mean(what: String, values: &[f64], expected: Figure, floor: f64) -> Result<Gate> {
    let n = values.len() as f64;
    let tolerance = (3. * expected.sd * (1. / n + 1. / NETWORKS as f64).sqrt()).max(floor);
    let mean = Summary::of(values)?.mean;
    let met = (mean - expected.mean).abs() <= tolerance + 1e-9;
    let why = format!("mean {mean:.4}, must be {:.4} ± {tolerance:.4}", expected.mean);
    Ok(Gate::new(what, met, why))
}

/// The standard error of a median of n normal values is √(π / 2) sd / √n.
fn of_median(what: String, mut values: Vec<f64>, expected: Figure, (floor, networks): (f64, usize)) -> Gate {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let error = FRAC_PI_2.sqrt() * expected.sd * (1. / n as f64 + 1. / networks as f64).sqrt();
    let tolerance = (3. * error).max(floor);
    let median = (values[(n - 1) / 2] + values[n / 2]) / 2.;
    let met = (median - expected.mean).abs() <= tolerance + 1e-9;
    Gate::new(what, met, format!("median {median:.4}, must be {:.4} ± {tolerance:.4}", expected.mean))
}

/// The gates on the differences of a row.
pub fn of_row(row: &Row, comparison: &Comparison<'_>) -> Vec<Gate> {
    let mut gates = vec![];
    gates.extend(of_direction("test rows", row.gate, comparison.test.as_ref()));
    gates.extend(of_direction("new rows", row.new_gate, comparison.new.as_ref()));
    if row.same {
        let pairs: Vec<_> = comparison.without.iter().zip(comparison.with).collect();
        let same =
            pairs.iter().filter(|(a, b)| a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| are_same(a, b)));
        let (same, of) = (same.count(), pairs.len());
        gates.push(Gate::new("the same up to rounding", same == of, format!("{same} of {of} pairs are")));
    }
    gates
}

/// Whether two networks have the same accuracies, and log-losses that differ by rounding.
fn are_same(a: &Scores, b: &Scores) -> bool {
    let close = a.log_loss.zip(b.log_loss).is_none_or(|(a, b)| (a - b).abs() <= ROUNDING * a.abs());
    a.train == b.train && a.test == b.test && close
}

fn of_direction(rows: &str, direction: Direction, measured: Option<&Differences>) -> Option<Gate> {
    let (word, sign, from) = match direction {
        Direction::Any => return None,
        Direction::Better { from } => ("better", 1., from),
        Direction::Worse { from } => ("worse", -1., from),
    };
    let what = format!("{word} on {rows}");
    let Some(measured) = measured else { return Some(Gate::new(what, false, "no pair is finite".into())) };
    let pairs = measured.of_pairs.len();
    let mut gate = Gate::new(what, sign * measured.gain() > 0., format!("difference {:+.4}", measured.mean));
    if pairs < from {
        gate.verdict = Verdict::Untested;
        gate.why = format!("needs {from} repeats to show, and there are {pairs}");
    }
    Some(gate)
}

/// How many networks have collapsed here, of all, and in the reference, where the setting has such a tail.
pub fn collapsed(level: &Level, outcomes: &Outcomes) -> Option<(usize, usize)> {
    let Tail::Collapsed { count, below, .. } = level.tail else { return None };
    Some((outcomes.iter().flatten().filter(|scores| scores.test < below).count(), count))
}
