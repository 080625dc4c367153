//! The result of a curve over training-set sizes.
use crate::{
    evaluate::study::LEVEL,
    metrics::{Interval, Metric, Summary},
    statistics::corrected_t_interval,
    Result,
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of a [`TrainingSizeCurve`](crate::evaluate::TrainingSizeCurve), which prints as a Markdown
/// table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSizeReport {
    /// The name of the metric.
    pub metric: String,
    /// Whether a higher value is the better one.
    pub higher_is_better: bool,
    /// Number of validation rows.
    pub validation_rows: usize,
    /// The sizes, smallest first.
    pub points: Vec<TrainingSizePoint>,
}

/// Networks that were trained on one number of rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSizePoint {
    /// Number of training rows.
    pub rows: usize,
    /// The metric on the training rows, by repeat.
    pub training: Vec<f64>,
    /// The metric on the validation rows, by repeat.
    pub validation: Vec<f64>,
    /// Mean and standard deviation of `training`.
    pub training_summary: Summary,
    /// Mean and standard deviation of `validation`.
    pub validation_summary: Summary,
    /// The 95 % interval of the mean of `training`, for repeated splits; `None` with one repeat.
    pub training_interval: Option<Interval>,
    /// The 95 % interval of the mean of `validation`, for repeated splits; `None` with one repeat.
    pub validation_interval: Option<Interval>,
}

impl TrainingSizeReport {
    /// The report of scores on training and validation rows, by number of rows and repeat.
    pub(super) fn of(
        metric: &Metric,
        validation_rows: usize,
        scores: impl Iterator<Item = (usize, (Vec<f64>, Vec<f64>))>,
    ) -> Result<Self> {
        let point = |(rows, (training, validation)): (usize, (Vec<f64>, Vec<f64>))| {
            let interval = |scores: &[f64]| match scores.len() {
                0 | 1 => Ok(None),
                _ => corrected_t_interval(scores, validation_rows, rows, LEVEL).map(Some),
            };
            Ok(TrainingSizePoint {
                rows,
                training_summary: Summary::of(&training)?,
                validation_summary: Summary::of(&validation)?,
                training_interval: interval(&training)?,
                validation_interval: interval(&validation)?,
                training,
                validation,
            })
        };
        let points = scores.map(point).collect::<Result<_>>()?;
        let (metric, higher_is_better) = (metric.name(), metric.higher_is_better());
        Ok(Self { metric, higher_is_better, validation_rows, points })
    }

    /// The curve as a chart (feature `charts`): both scores with their 95 % intervals. `title` begins its
    /// title.
    #[cfg(feature = "charts")]
    #[must_use]
    pub fn chart(&self, title: &str) -> crate::chart::TrainingSizeChart {
        use crate::chart::{Line, Point, TrainingSizeChart};
        let point = |rows: usize, summary: &Summary, interval: &Option<Interval>| {
            let (low, high) = interval.map_or((summary.mean, summary.mean), |i| (i.low, i.high));
            Point { size: rows, mean: summary.mean, low, high }
        };
        let training = |p: &TrainingSizePoint| point(p.rows, &p.training_summary, &p.training_interval);
        let validation = |p: &TrainingSizePoint| point(p.rows, &p.validation_summary, &p.validation_interval);
        let better = if self.higher_is_better { "higher" } else { "lower" };
        TrainingSizeChart {
            title: format!("{title}: mean and 95 % interval over repeated splits"),
            metric: format!("{} ({better} is better)", self.metric),
            lines: vec![
                Line { name: "training rows".into(), points: self.points.iter().map(training).collect() },
                Line { name: "validation rows".into(), points: self.points.iter().map(validation).collect() },
            ],
        }
    }
}

/// As a Markdown table.
impl fmt::Display for TrainingSizeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let metric = &self.metric;
        table.set_header([
            "training rows".to_string(),
            format!("{metric} on training rows"),
            format!("{metric} on validation rows"),
            "95 % interval".into(),
        ]);
        let score = |s: &Summary| match s.sd {
            Some(sd) => format!("{:.4} ± {sd:.4}", s.mean),
            None => format!("{:.4}", s.mean),
        };
        for point in &self.points {
            let interval = point.validation_interval;
            table.add_row([
                point.rows.to_string(),
                score(&point.training_summary),
                score(&point.validation_summary),
                interval.map_or_else(|| "–".into(), |i| format!("[{:.4}, {:.4}]", i.low, i.high)),
            ]);
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")
    }
}
