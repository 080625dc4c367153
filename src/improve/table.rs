//! The report as text.
use crate::{
    improve::{event, ImproveReport, StopReason},
    statistics::Interval,
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use std::fmt;

impl ImproveReport {
    /// The steps as a Markdown table: what was tried for what, what came of it, and what it cost. Empty if nothing was
    /// tried.
    #[must_use]
    pub fn steps_table(&self) -> String {
        if self.steps.is_empty() {
            return String::new();
        }
        let mut table = table(&["step", "finding", "remedy", "change", "outcome", "kept", "trainings"]);
        for (number, step) in self.steps.iter().enumerate() {
            table.add_row([
                (number + 1).to_string(),
                step.finding.name.clone(),
                step.remedy.remedy.clone(),
                step.remedy.change.to_string(),
                event::outcome(step),
                if step.kept { "yes" } else { "no" }.to_owned(),
                step.trainings.to_string(),
            ]);
        }
        right(&mut table, &[0, 6]);
        table.to_string()
    }

    /// The final scores of the start and of the result as a Markdown table: mean ± standard deviation over the runs.
    #[must_use]
    pub fn scores_table(&self) -> String {
        let mut table = table(&["metric", "start", "result"]);
        for (name, mean) in &self.start.metrics {
            let sd = |spread: Option<&f64>| spread.copied().unwrap_or(f64::NAN);
            let end = self.end.metrics.get(name).copied().unwrap_or(f64::NAN);
            table.add_row([
                name.clone(),
                shown(*mean, sd(self.start.spread.get(name))),
                shown(end, sd(self.end.spread.get(name))),
            ]);
        }
        right(&mut table, &[1, 2]);
        table.to_string()
    }
}

/// The steps, the final scores and the gain.
impl fmt::Display for ImproveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.steps.is_empty() {
            writeln!(f, "{}\n", self.steps_table())?;
        }
        writeln!(f, "{}\n", self.stopped)?;
        writeln!(f, "{}", self.scores_table())?;
        for (name, scores) in [("start", &self.start), ("result", &self.end)] {
            if scores.diverged > 0 {
                writeln!(f, "{} of {} final trainings of the {name} diverged", scores.diverged, scores.runs)?;
            }
        }
        if let Some(Interval { estimate, low, high, level }) = self.gain {
            let level = 100. * level;
            let metric = &self.metric;
            writeln!(f, "gain in {metric}: {estimate:.4} ({low:.4} to {high:.4}, {level:.0} % interval)")?;
        }
        write!(f, "{} trainings, {} epochs", self.trainings, self.epochs)
    }
}

/// A sentence.
impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingWrong => "Nothing is wrong.",
            Self::NothingHelps => "No remedy that is left helps.",
            Self::BudgetSpent => "The budget is spent.",
            Self::Ended => "Ended by the user.",
        })
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header.iter().map(ToString::to_string));
    table
}

fn right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn shown(mean: f64, sd: f64) -> String {
    match (mean.is_finite(), sd.is_finite()) {
        (false, _) => "diverged".into(),
        (true, false) => format!("{mean:.4}"),
        (true, true) => format!("{mean:.4} ± {sd:.4}"),
    }
}
