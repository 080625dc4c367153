//! What a study found, as data and as a table.
use super::{Interval, Metrics, Summary};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a study found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VarianceReport {
    /// The metric of the size curves and the differences: `"accuracy"`, or `"rmse"`.
    pub metric: String,
    /// Rows in the training data.
    pub train_rows: usize,
    /// Rows in the test data.
    pub test_rows: usize,
    /// Independent repeats.
    pub repeats: usize,
    /// One network on its own.
    pub single: SingleReport,
    /// One for each strategy and rule.
    pub ensembles: Vec<EnsembleReport>,
}

/// Single networks: the members of the baseline, each on its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SingleReport {
    /// Mean and standard deviation of each metric over all members of all repeats.
    pub metrics: BTreeMap<String, Summary>,
    /// Mean time to train one, in seconds of the wall clock, beside the others of its ensemble.
    pub train_seconds: f64,
    /// Metrics of each member, by repeat.
    pub repeats: Vec<Vec<Metrics>>,
}

/// One strategy, combined by one rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnsembleReport {
    /// The strategy's name.
    pub strategy: String,
    /// The rule's name.
    pub combine: String,
    /// Members of one ensemble.
    pub members: usize,
    /// Mean and standard deviation of each metric over the repeats.
    pub metrics: BTreeMap<String, Summary>,
    /// The metric less that of a single network, with a 95 % interval. Over two or more repeats it is the t
    /// interval of the repeats' differences (each against the mean of the repeat's single networks); of one
    /// repeat, the bootstrap interval over the test rows.
    pub difference: Interval,
    /// By how much the standard deviation over repeats fell: that of single networks divided by that of
    /// ensembles. `None` where there is but one repeat, or the ensembles don't vary.
    pub sd_ratio: Option<f64>,
    /// Mean time to train one ensemble, in seconds of the wall clock.
    pub train_seconds: f64,
    /// Forward passes a prediction takes, in units of one network.
    pub prediction_cost: f64,
    /// The metric against the number of voices.
    pub size_curve: Vec<SizeSummary>,
    /// Each repeat.
    pub repeats: Vec<RepeatReport>,
}

/// The metric of ensembles of one size, over all groups and repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeSummary {
    /// Voices in each group.
    pub size: usize,
    /// Over all groups of all repeats.
    #[serde(flatten)]
    pub summary: Summary,
    /// The metric of each disjoint group of so many voices, by repeat; the first group first.
    pub repeats: Vec<Vec<f64>>,
}

/// One repeat of one strategy and rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepeatReport {
    /// From 0.
    pub repeat: usize,
    /// Metrics of the ensemble.
    pub metrics: Metrics,
    /// Mean of the metric over this ensemble's own members.
    pub members_mean: f64,
    /// Wall clock.
    pub train_seconds: f64,
}

impl VarianceReport {
    /// The report as a table in Markdown, for people.
    #[must_use]
    pub fn table(&self) -> String {
        let names = self.first().map(Metrics::names).unwrap_or_default();
        let digits = self.single.metrics.get(&self.metric).map_or(4, |s| digits(s.mean));
        let cells = |of: &BTreeMap<String, Summary>| -> Vec<String> {
            names.iter().map(|name| of.get(*name).map(plus_minus).unwrap_or_default()).collect()
        };
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let columns = ["difference (95 %)", "sd fell by", "training", "prediction"];
        table.set_header(["", "rule"].into_iter().chain(names.iter().copied()).chain(columns));
        let name = ["single network".to_string(), "–".into()];
        let rest = [String::new(), String::new(), seconds(self.single.train_seconds), "1 ×".into()];
        table.add_row(name.into_iter().chain(cells(&self.single.metrics)).chain(rest));
        for e in &self.ensembles {
            let name = [format!("{} of {}", e.strategy, e.members), e.combine.clone()];
            let fell = e.sd_ratio.map_or_else(|| "–".into(), |x| format!("{x:.1} ×"));
            let cost = format!("{} ×", e.prediction_cost);
            let rest = [interval(&e.difference, digits), fell, seconds(e.train_seconds), cost];
            table.add_row(name.into_iter().chain(cells(&e.metrics)).chain(rest));
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    fn first(&self) -> Option<&Metrics> {
        self.single.repeats.iter().flatten().next()
    }

    /// The headline metric against ensemble size, as a chart (feature `charts`).
    #[cfg(feature = "charts")]
    #[must_use]
    pub fn chart(&self, title: &str) -> crate::report::chart::SizeChart {
        use crate::report::chart::{Line, Point, SizeChart};
        let point = |s: &SizeSummary| {
            let sd = s.summary.sd.unwrap_or(0.);
            Point { size: s.size, mean: s.summary.mean, low: s.summary.mean - sd, high: s.summary.mean + sd }
        };
        let line = |e: &EnsembleReport| Line {
            name: format!("{}, {}", e.strategy, e.combine),
            points: e.size_curve.iter().map(point).collect(),
        };
        let better = match self.first().is_some_and(Metrics::larger_is_better) {
            true => "higher is better",
            false => "lower is better",
        };
        SizeChart {
            title: title.into(),
            metric: format!("test {} ({better})", self.metric),
            singles: self.single.repeats.iter().flatten().map(Metrics::headline).collect(),
            lines: self.ensembles.iter().map(line).collect(),
        }
    }
}

/// Digits after the point that tell something for a metric of this size.
fn digits(metric: f64) -> usize {
    match metric.abs() {
        x if x < 10. => 4,
        x if x < 1000. => 2,
        _ => 0,
    }
}

fn plus_minus(summary: &Summary) -> String {
    let (mean, digits) = (summary.mean, digits(summary.mean));
    match summary.sd {
        Some(sd) => format!("{mean:.digits$} ± {sd:.digits$}"),
        None => format!("{mean:.digits$}"),
    }
}

fn interval(i: &Interval, digits: usize) -> String {
    let (x, low, high) = (i.estimate, i.low, i.high);
    format!("{x:+.digits$} ({low:+.digits$} … {high:+.digits$})")
}

fn seconds(s: f64) -> String {
    match s {
        s if s < 1. => format!("{:.0} ms", s * 1e3),
        s if s < 120. => format!("{s:.1} s"),
        s => format!("{:.1} min", s / 60.),
    }
}
