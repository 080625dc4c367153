//! The result of a study as a table and as a chart.
#[cfg(feature = "charts")]
use crate::evaluate::{EnsembleReport, SizeSummary};
use crate::{
    evaluate::VarianceReport,
    metrics::{Interval, Metrics, Summary},
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use std::collections::BTreeMap;

impl VarianceReport {
    /// The report as a Markdown table: a row for the single networks, and one for each strategy and combiner.
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
        table.set_header(["", "combiner"].into_iter().chain(names.iter().copied()).chain(columns));
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

    /// A chart of the metric against the size of the ensemble (feature `charts`).
    #[cfg(feature = "charts")]
    #[must_use]
    pub fn chart(&self, title: &str) -> crate::chart::SizeChart {
        use crate::chart::{Line, Point, SizeChart};
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

/// The number of digits after the decimal point for a metric of this size.
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
