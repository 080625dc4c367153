//! What came out of the cases.
use super::faults::Fault;
use candle_ensemble::{
    diagnose::{Finding, Problem},
    improve::{ImproveReport, Step},
    statistics::Summary as Scores,
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::Serialize;
use std::fmt;

/// What came out of one case.
#[derive(Debug, Serialize)]
pub struct Outcome {
    case: String,
    /// Whether there is a fault that makes the network worse than the healthy one. If there is not, there is nothing to
    /// repair.
    broken: bool,
    /// Whether there is no fault.
    sound: bool,
    /// The finding that stood first.
    finding: String,
    /// The findings of each diagnosis, with their confidences.
    findings: Vec<Vec<String>>,
    /// Whether it is one that the fault has to lead to.
    found: bool,
    /// The remedies that were kept.
    kept: Vec<String>,
    /// What was tried: the finding, the remedy, the gain with its interval, the verdict.
    steps: Vec<String>,
    metric: String,
    start: Option<f64>,
    end: Option<f64>,
    healthy: f64,
    healthy_sd: f64,
    /// Whether the result is as good as the healthy setup: at most two standard deviations of its runs, or 5 %, worse.
    repaired: bool,
    /// Whether the result is worse than the start by more than chance.
    worse: bool,
    trainings: usize,
    epochs: usize,
}

impl Outcome {
    pub fn new(case: String, fault: Fault, report: &ImproveReport, healthy: Scores) -> Self {
        let first = report.diagnoses.first().and_then(|diagnosed| diagnosed.findings.first());
        let finding = first.map_or("nothing".into(), |finding| finding.name.clone());
        let kinds: Vec<&str> = fault.labels().iter().map(|label| label.name()).collect();
        let top = report.diagnoses.first().map_or(&[][..], |diagnosed| &diagnosed.findings);
        // Another finding about the same fault may stand before it, such as columns of different scales.
        let expected = |finding: &&Finding| {
            kinds.iter().any(|kind| finding.is(kind)) || fault.finding() == Some(&*finding.name)
        };
        let found = match fault {
            // What is said of the rows is true of them, whatever the network.
            Fault::Healthy => {
                top.iter().find(|finding| finding.problem != Problem::Data).is_none_or(|f| expected(&f))
            }
            _ => top.iter().take(2).any(|finding| expected(&finding)),
        };
        let named = |finding: &Finding| format!("{} {:.2}", finding.name, finding.confidence);
        let findings =
            report.diagnoses.iter().map(|diagnosed| diagnosed.findings.iter().map(named).collect());
        let kept = report.steps.iter().filter(|step| step.kept).map(|step| step.remedy.remedy.clone());
        let of = |scores: &candle_ensemble::improve::FinalScores| scores.metrics.get(&report.metric).copied();
        let (start, end) = (of(&report.start), of(&report.end));
        let tolerance = (2. * healthy.sd.unwrap_or(0.)).max(0.05 * healthy.mean.abs());
        let within = |score: f64| score <= healthy.mean + tolerance;
        Self {
            case,
            broken: fault != Fault::Healthy && !start.is_some_and(within),
            sound: fault == Fault::Healthy,
            finding,
            found,
            findings: findings.collect(),
            kept: kept.collect(),
            steps: report.steps.iter().map(step).collect(),
            metric: report.metric.clone(),
            start,
            end,
            healthy: healthy.mean,
            healthy_sd: healthy.sd.unwrap_or(0.),
            repaired: end.is_some_and(within),
            worse: report.gain.is_some_and(|gain| gain.high < 0.),
            trainings: report.trainings,
            epochs: report.epochs,
        }
    }
}

/// One step in a line.
fn step(step: &Step) -> String {
    let gain = step
        .gain
        .map_or("–".into(), |gain| format!("{:.2} ({:.2} … {:.2})", gain.estimate, gain.low, gain.high));
    let Step { finding, remedy, verdict, .. } = step;
    format!(
        "{}: {} {}: {gain} on {} splits, {verdict:?}",
        finding.name,
        remedy.remedy,
        remedy.change,
        step.splits()
    )
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |x: Option<f64>| x.map_or("–".into(), |x| format!("{x:.4}"));
        write!(
            f,
            "{}: {}{}, {} {} → {} (healthy {:.4} ± {:.4}){}; kept: {}",
            self.case,
            self.finding,
            if self.found { "" } else { " (NOT EXPECTED)" },
            self.metric,
            number(self.start),
            number(self.end),
            self.healthy,
            self.healthy_sd,
            if self.repaired { "" } else { " NOT REPAIRED" },
            if self.kept.is_empty() { "nothing".into() } else { self.kept.join(", ") },
        )
    }
}

/// What came out of all cases.
#[derive(Debug, Serialize)]
pub struct Summary {
    broken: usize,
    found: usize,
    repaired: usize,
    healthy: usize,
    left_alone: usize,
    /// Cases with a fault that does little harm.
    harmless: usize,
    made_worse: usize,
    cases: Vec<Outcome>,
}

impl Summary {
    pub fn of(cases: Vec<Outcome>) -> Self {
        let count = |holds: fn(&&Outcome) -> bool| cases.iter().filter(holds).count();
        Self {
            broken: count(|case| case.broken),
            found: count(|case| case.broken && case.found),
            repaired: count(|case| case.broken && case.repaired),
            healthy: count(|case| case.sound),
            left_alone: count(|case| case.sound && case.kept.is_empty()),
            harmless: count(|case| !case.broken && !case.sound),
            made_worse: count(|case| case.worse),
            cases,
        }
    }

    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let header =
            ["case", "found", "metric", "start", "result", "healthy", "repaired", "kept", "trainings"];
        table.set_header(header);
        let number = |x: Option<f64>| x.map_or("–".into(), |x| format!("{x:.4}"));
        for case in &self.cases {
            table.add_row([
                case.case.clone(),
                format!("{}{}", case.finding, if case.found { "" } else { " (not expected)" }),
                case.metric.clone(),
                number(case.start),
                number(case.end),
                format!("{:.4} ± {:.4}", case.healthy, case.healthy_sd),
                if case.repaired { "yes" } else { "no" }.into(),
                case.kept.join(", "),
                case.trainings.to_string(),
            ]);
        }
        for column in [3, 4, 5, 8] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.to_string()
    }

    pub fn totals(&self) -> String {
        let Self { broken, found, repaired, healthy, left_alone, harmless, made_worse, .. } = self;
        format!(
            "broken: {found} of {broken} found, {repaired} repaired; healthy: {left_alone} of {healthy} left alone; \
             with a fault that does little harm: {harmless}; made worse on the final rows: {made_worse}"
        )
    }
}
