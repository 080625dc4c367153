//! What the program prints and writes.
use super::{
    comparison::{Comparison, Differences, Effect, Outcomes},
    data::{Metric, Scores},
    gates::{self, Gate, Verdict},
    reference::{Difference, Expected, Figure, NETWORKS},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{statistics::Summary, Result};
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::{json, Value};
use std::{collections::BTreeMap, fmt::Write};

/// The scores of all networks by the names of their settings.
pub type Results = BTreeMap<String, Vec<Option<Scores>>>;

/// A row with what was measured for it.
pub struct Report<'a> {
    row: &'a Row,
    comparison: Comparison<'a>,
    gates: Vec<Gate>,
}

/// The reports of a table. A setting's own gates are checked in the first row that has it.
pub fn reports<'a>(table: &'a Table, results: &'a Results, with_gates: bool) -> Result<Vec<Report<'a>>> {
    let mut checked: Vec<&str> = vec![];
    let mut report = |row: &'a Row| -> Result<Report<'a>> {
        let of = |setting: &Setting| results.get(&setting.name).map_or(&[][..], Vec::as_slice);
        let comparison = Comparison::new(row, of(&row.without), of(&row.with))?;
        let mut all = vec![];
        for setting in [&row.without, &row.with].into_iter().filter(|_| with_gates) {
            if !checked.contains(&&*setting.name) {
                checked.push(&setting.name);
                all.extend(gates::of_setting(setting, of(setting))?);
            }
        }
        if with_gates {
            all.extend(gates::of_row(row, &comparison));
        }
        Ok(Report { row, comparison, gates: all })
    };
    table.rows.iter().map(&mut report).collect()
}

/// The table: for each row what was measured, and below it the reference.
pub fn table(title: &str, reports: &[Report<'_>]) -> Result<String> {
    let mut table = comfy_table::Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "",
        "without: train / test",
        "with: train / test",
        "test difference [95 %], better",
        "new rows",
        "test log-loss",
    ]);
    for Report { row, comparison, .. } in reports {
        let metric = row.with.problem.metric;
        table.add_row([
            row.name.to_string(),
            level(comparison.without, metric)?,
            level(comparison.with, metric)?,
            differences(comparison.test.as_ref(), metric),
            differences(comparison.new.as_ref(), metric),
            arrow(log_loss(comparison.without)?, log_loss(comparison.with)?),
        ]);
        table.add_row([
            format!("{}: reference", row.key),
            expected(&row.without.expected, metric),
            expected(&row.with.expected, metric),
            difference(row.test, metric),
            difference(row.new, metric),
            arrow(expected_log_loss(&row.without), expected_log_loss(&row.with)),
        ]);
    }
    Ok(format!("{title}\n\n{table}"))
}

/// A sentence on each row: what it does here, and whether it agrees with the reference.
pub fn sentences(reports: &[Report<'_>]) -> String {
    let mut text = String::new();
    for report in reports {
        let Report { row, comparison, gates } = report;
        let mut line = format!("{}: {}", row.key, conclusion(row, comparison));
        for (word, setting, outcomes) in
            [("without", &row.without, comparison.without), ("with", &row.with, comparison.with)]
        {
            if let Expected::Level(level) = &setting.expected
                && let Some((here, there)) = gates::collapsed(level, outcomes)
            {
                let of = outcomes.len();
                // Writing to a string cannot fail.
                let _ = write!(line, " Collapsed {word}: {here} of {of} (reference {there} of {NETWORKS}).");
            }
        }
        if !row.note.is_empty() {
            let _ = write!(line, " {}", row.note);
        }
        if !gates.is_empty() {
            let count = |verdict| gates.iter().filter(|gate| gate.verdict == verdict).count();
            let _ = write!(line, " Gates: {} met", count(Verdict::Met));
            for (verdict, word) in [(Verdict::Missed, "MISSED"), (Verdict::Untested, "not tested")] {
                for gate in gates.iter().filter(|gate| gate.verdict == verdict) {
                    let _ = write!(line, "; {word}: {} ({})", gate.what, gate.why);
                }
            }
            line.push('.');
        }
        let _ = writeln!(text, "- {line}");
    }
    text
}

/// What the differences say.
fn conclusion(row: &Row, comparison: &Comparison<'_>) -> String {
    let nan = |outcomes: &Outcomes| outcomes.iter().filter(|scores| scores.is_none()).count();
    let (without, with) = (nan(comparison.without), nan(comparison.with));
    if without + with > 0 {
        let of = comparison.with.len();
        return match (without, with) {
            (a, 0) => format!("helps: {a} of {of} networks are NaN without it, and none with it."),
            (a, b) if a > b => format!("{a} of {of} networks are NaN without it, and {b} of {of} with it."),
            (a, b) => {
                format!("does not help: {a} of {of} networks are NaN without it, and {b} of {of} with it.")
            }
        };
    }
    let Some(test) = &comparison.test else { return "nothing was measured.".into() };
    let new = comparison.new.as_ref().map(Differences::effect);
    let on_test = match test.effect() {
        Effect::Unknown => return "one pair of networks says nothing about the average.".into(),
        Effect::Helps => "helps on these test rows",
        Effect::Harms => "does not help: it is worse on these test rows",
        Effect::Nothing => "does not help: it changes no test row",
        Effect::None if is_undecided(row, test) => {
            "shows no difference on these test rows with so few repeats; the reference's 20 do"
        }
        Effect::None => "does not help on average on these test rows (the interval includes 0)",
    };
    let agrees = new == Some(test.effect());
    let on_new = match new {
        None | Some(Effect::Unknown) => "",
        Some(Effect::Helps | Effect::Harms) if agrees => ", and on new rows alike",
        Some(Effect::Helps) => "; it helps on new rows",
        Some(Effect::Harms) => "; it is worse on new rows",
        Some(Effect::None | Effect::Nothing) if agrees => ", and neither on new rows",
        Some(Effect::None) => "; no difference shows on new rows",
        Some(Effect::Nothing) => "; it changes no new row",
    };
    let known = match (row.same, test.effect()) {
        (true, Effect::Nothing) => return "the two are the same.".into(),
        _ => on_test,
    };
    format!("{known}{on_new}.")
}

/// Whether the interval here includes 0, and that of the reference does not.
fn is_undecided(row: &Row, test: &Differences) -> bool {
    test.effect() == Effect::None && row.test.is_some_and(|there| there.low > 0. || there.high < 0.)
}

/// The decimals of a number of the metric, and of numbers of its size.
fn decimals(x: f64, metric: Metric) -> usize {
    match metric {
        Metric::Accuracy => 3,
        Metric::MeanSquared if x.abs() < 1. => 4,
        Metric::MeanSquared => 1,
    }
}

/// A difference, with its sign.
fn signed(x: f64, metric: Metric) -> String {
    format!("{x:+.*}", decimals(x, metric))
}

fn spread(mean: f64, sd: Option<f64>, metric: Metric) -> String {
    let decimals = decimals(mean, metric);
    match sd {
        Some(sd) => format!("{mean:.decimals$} ± {sd:.decimals$}"),
        None => format!("{mean:.decimals$}"),
    }
}

/// The scores of a setting's networks: mean and standard deviation, or how many are not finite.
fn level(outcomes: &Outcomes, metric: Metric) -> Result<String> {
    let finite: Vec<&Scores> = outcomes.iter().flatten().collect();
    let nan = match outcomes.len() - finite.len() {
        0 => String::new(),
        nan => format!("NaN in {nan} of {}", outcomes.len()),
    };
    if finite.is_empty() {
        return Ok(nan);
    }
    let shown = |score: fn(&Scores) -> f64| -> Result<String> {
        let values: Vec<f64> = finite.iter().map(|scores| score(scores)).collect();
        let Summary { mean, sd, .. } = Summary::of(&values)?;
        Ok(spread(mean, sd, metric))
    };
    let separator = if nan.is_empty() { "" } else { ", " };
    Ok(format!("{nan}{separator}{} / {}", shown(|s| s.train)?, shown(|s| s.test)?))
}

fn expected(expected: &Expected, metric: Metric) -> String {
    let shown = |figure: Figure| spread(figure.mean, Some(figure.sd), metric);
    match expected {
        Expected::NotFinite => format!("NaN in {NETWORKS} of {NETWORKS}"),
        Expected::Level(level) => format!("{} / {}", shown(level.train), shown(level.test)),
    }
}

fn differences(differences: Option<&Differences>, metric: Metric) -> String {
    let Some(Differences { of_pairs, mean, interval, better, equal, .. }) = differences else {
        return "–".into();
    };
    let mean = signed(*mean, metric);
    let interval = interval
        .as_ref()
        .map_or(String::new(), |i| format!(" [{}, {}]", signed(i.low, metric), signed(i.high, metric)));
    format!("{mean}{interval}, {}", better_of(*better, *equal, of_pairs.len()))
}

fn difference(difference: Option<Difference>, metric: Metric) -> String {
    let Some(Difference { mean, low, high, better, equal }) = difference else { return "–".into() };
    let [mean, low, high] = [mean, low, high].map(|x| signed(x, metric));
    format!("{mean} [{low}, {high}], {}", better_of(better, equal, NETWORKS))
}

fn better_of(better: usize, equal: usize, of: usize) -> String {
    match equal {
        0 => format!("{better} of {of}"),
        equal => format!("{better} of {of} ({equal} equal)"),
    }
}

/// The mean log-loss of a setting's networks.
fn log_loss(outcomes: &Outcomes) -> Result<Option<String>> {
    let losses: Vec<f64> = outcomes.iter().flatten().filter_map(|scores| scores.log_loss).collect();
    match losses.is_empty() {
        true => Ok(None),
        false => Ok(Some(format!("{:.3}", Summary::of(&losses)?.mean))),
    }
}

fn expected_log_loss(setting: &Setting) -> Option<String> {
    match setting.expected {
        Expected::Level(level) => level.log_loss.map(String::from),
        Expected::NotFinite => None,
    }
}

fn arrow(without: Option<String>, with: Option<String>) -> String {
    match (without, with) {
        (None, None) => String::new(),
        (a, b) => format!("{} → {}", a.unwrap_or_else(|| "–".into()), b.unwrap_or_else(|| "–".into())),
    }
}

/// Counts of gates over all tables.
#[derive(Default)]
pub struct Summed {
    met: usize,
    untested: usize,
    missed: Vec<String>,
    /// Rows that do not help, by their names, and those that need more repeats.
    without_gain: Vec<String>,
    undecided: Vec<String>,
}

impl Summed {
    pub fn add(&mut self, table: &Table, reports: &[Report<'_>]) {
        for Report { row, comparison, gates } in reports {
            for gate in gates {
                match gate.verdict {
                    Verdict::Met => self.met += 1,
                    Verdict::Untested => self.untested += 1,
                    Verdict::Missed => {
                        self.missed.push(format!("{}/{}: {} ({})", table.key, row.key, gate.what, gate.why));
                    }
                }
            }
            let Some(test) = comparison.test.as_ref().filter(|_| !row.same) else { continue };
            let name = format!("{}/{}", table.key, row.key);
            match test.effect() {
                Effect::None if is_undecided(row, test) => self.undecided.push(name),
                Effect::None | Effect::Nothing | Effect::Harms => self.without_gain.push(name),
                Effect::Unknown | Effect::Helps => {}
            }
        }
    }

    /// The last lines: gates, and what does not help.
    pub fn text(&self, repeats: u16, with_gates: bool) -> String {
        if !with_gates {
            return "A quick run: its networks are not trained enough to say anything, and there are no gates.".into();
        }
        let mut text = String::new();
        for (what, rows) in [
            ("Do not help on the test rows on average", &self.without_gain),
            ("Show no difference on the test rows with so few repeats", &self.undecided),
        ] {
            if !rows.is_empty() {
                let _ = writeln!(text, "{what}: {}.", rows.join(", "));
            }
        }
        let (met, missed, untested) = (self.met, self.missed.len(), self.untested);
        let _ =
            write!(text, "Gates: {met} met, {missed} missed, {untested} not testable with R = {repeats}.");
        for gate in &self.missed {
            let _ = write!(text, "\nMissed: {gate}");
        }
        text
    }
}

/// The reports of a table as JSON.
pub fn json(table: &Table, reports: &[Report<'_>]) -> Value {
    let row = |Report { row, comparison, gates }: &Report<'_>| {
        json!({
            "row": row.key,
            "name": row.name,
            "settings": [row.without.name, row.with.name],
            "measured": comparison,
            "gates": gates,
        })
    };
    json!({ "table": table.key, "title": table.title, "rows": reports.iter().map(row).collect::<Vec<_>>() })
}
