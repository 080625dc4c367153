//! The result of a transfer study.
use crate::{
    evaluate::study::LEVEL,
    metrics::{Interval, Metric, Summary},
    statistics::{quantile, t_interval, variance_components, VarianceComponents},
    Result,
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of a [`TransferStudy`](crate::evaluate::TransferStudy), which prints as a Markdown table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferReport {
    /// The name of the metric.
    pub metric: String,
    /// Whether a higher value is the better one.
    pub higher_is_better: bool,
    /// Number of source networks.
    pub sources: usize,
    /// Number of target runs of each source network.
    pub runs_per_source: usize,
    /// The fresh networks, then each number of frozen layers.
    pub rows: Vec<TransferRow>,
}

/// One setting of a transfer study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferRow {
    /// The number of frozen layers; `None` for fresh networks.
    pub frozen: Option<usize>,
    /// The metric of each run on the test rows, by source network. Fresh networks are in the groups of the
    /// runs that they are compared with.
    pub scores: Vec<Vec<f64>>,
    /// The mean and standard deviation over all runs.
    pub summary: Summary,
    /// The median over all runs, for settings of which some runs fail.
    pub median: f64,
    /// The mean difference from the fresh networks, with its 95 % interval over source networks; `None` for
    /// the fresh networks, and with one source network.
    pub difference: Option<Interval>,
    /// Number of source networks whose runs are better on average than the fresh ones.
    pub better: usize,
    /// Number of source networks whose runs are exactly as good.
    pub equal: usize,
    /// The spread between source networks and between the runs of one source network. They cannot be told
    /// apart with one run for each.
    pub spread: VarianceComponents,
}

impl TransferReport {
    /// The report of scores by setting, source network and run. The fresh networks come first.
    pub(super) fn of(
        metric: &Metric,
        runs_per_source: usize,
        all: Vec<(Option<usize>, Vec<Vec<f64>>)>,
    ) -> Result<Self> {
        let higher = metric.higher_is_better();
        let mean = |scores: &Vec<f64>| scores.iter().sum::<f64>() / scores.len() as f64;
        let fresh: Vec<f64> =
            all.first().map_or_else(Vec::new, |(_, scores)| scores.iter().map(mean).collect());
        let row = |(frozen, scores): (Option<usize>, Vec<Vec<f64>>)| {
            let differences: Vec<f64> =
                scores.iter().zip(&fresh).map(|(own, fresh)| mean(own) - fresh).collect();
            let difference = match frozen {
                Some(_) if differences.len() > 1 => Some(t_interval(&differences, LEVEL)?),
                _ => None,
            };
            let is_better = |difference: &&f64| if higher { **difference > 0. } else { **difference < 0. };
            let mut flat = scores.concat();
            let summary = Summary::of(&flat)?;
            flat.sort_by(f64::total_cmp);
            Ok(TransferRow {
                frozen,
                summary,
                median: quantile(&flat, 0.5),
                difference,
                better: differences.iter().filter(is_better).count(),
                equal: differences.iter().filter(|difference| **difference == 0.).count(),
                spread: variance_components(&scores)?,
                scores,
            })
        };
        let rows = all.into_iter().map(row).collect::<Result<_>>()?;
        let (metric, sources) = (metric.name(), fresh.len());
        Ok(Self { metric, higher_is_better: higher, sources, runs_per_source, rows })
    }

    /// The fresh networks.
    #[must_use]
    pub fn fresh(&self) -> Option<&TransferRow> {
        self.rows.iter().find(|row| row.frozen.is_none())
    }

    /// The networks that start from source networks with this many frozen layers.
    #[must_use]
    pub fn with_frozen(&self, layers: usize) -> Option<&TransferRow> {
        self.rows.iter().find(|row| row.frozen == Some(layers))
    }
}

impl TransferRow {
    /// What the row is about.
    #[must_use]
    pub fn name(&self) -> String {
        match self.frozen {
            None => "fresh".into(),
            Some(1) => "warm, 1 layer frozen".into(),
            Some(layers) => format!("warm, {layers} layers frozen"),
        }
    }
}

/// As a Markdown table.
impl fmt::Display for TransferReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let several = self.runs_per_source > 1;
        let mut header = vec![String::new(), self.metric.clone(), "median".into()];
        header.extend(["difference from fresh [95 %]".into(), format!("better of {}", self.sources)]);
        header.extend(
            several
                .then(|| ["sd between sources".to_string(), "sd within one".to_string()])
                .into_iter()
                .flatten(),
        );
        table.set_header(header);
        let sd = |sd: Option<f64>| sd.map_or_else(|| "–".into(), |sd| format!("{sd:.4}"));
        for row in &self.rows {
            let Summary { mean, sd: spread, .. } = row.summary;
            let score = spread.map_or_else(|| format!("{mean:.4}"), |sd| format!("{mean:.4} ± {sd:.4}"));
            let mut cells = vec![row.name(), score, format!("{:.4}", row.median)];
            match (row.frozen, &row.difference) {
                (Some(_), Some(Interval { estimate, low, high, .. })) => {
                    cells.push(format!("{estimate:+.4} [{low:+.4}, {high:+.4}]"));
                }
                _ => cells.push("–".into()),
            }
            cells.push(match (row.frozen, row.equal) {
                (None, _) => "–".into(),
                (Some(_), 0) => row.better.to_string(),
                (Some(_), equal) => format!("{} ({equal} equal)", row.better),
            });
            cells.extend(
                several.then(|| [sd(row.spread.between), sd(row.spread.within)]).into_iter().flatten(),
            );
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")
    }
}
