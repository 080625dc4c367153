//! What a loop of improvement did, as data.
use crate::{
    codec::real,
    diagnose::{Curves, Finding},
    remedy::{Proposal, Setup},
    statistics::Interval,
    train::RangeTestReport,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a loop of improvement did: where it started, each step with its figures, and the final scores on rows
/// that no decision saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImproveReport {
    /// The seed.
    pub seed: String,
    /// The metric that decided, and whether higher is better.
    pub metric: String,
    /// Whether a higher metric is better.
    pub higher_is_better: bool,
    /// The metric of the prediction without a model: the shares of the classes, or the mean of the values.
    #[serde(with = "real")]
    pub no_model: f64,
    /// Numbers of rows: those that decisions were made on, and those of the final scores.
    pub rows: usize,
    /// The rows of the final scores.
    pub test_rows: usize,
    /// The setup at the start.
    pub start_setup: Setup,
    /// The setup at the end.
    pub final_setup: Setup,
    /// The scores of the start on the final rows.
    pub start: FinalScores,
    /// The scores of the result on the final rows.
    #[serde(rename = "final")]
    pub end: FinalScores,
    /// The gain from start to end on the final rows, in the metric, positive for better, with its 95 %
    /// interval; `None` if nothing was kept or all runs of one of them diverged. It covers the choice of the
    /// final rows and the spread from run to run, not that of the rows that the networks were trained on.
    pub gain: Option<Interval>,
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// The learning curves and findings at the start and after each change that was kept.
    pub diagnoses: Vec<Diagnosed>,
    /// The range tests of the learning rate, in their order.
    #[serde(default)]
    pub range_tests: Vec<RangeTested>,
    /// Why it ended.
    pub stopped: StopReason,
    /// Networks that were trained, those that diverged included.
    pub trainings: usize,
    /// Their epochs together.
    pub epochs: usize,
}

/// A range test of the learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangeTested {
    /// The number of steps that were done before it.
    pub after_steps: usize,
    /// Its result.
    pub report: RangeTestReport,
}

/// The diagnosis of a setup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosed {
    /// The number of steps that were done before it.
    pub after_steps: usize,
    /// The learning curves.
    pub curves: Curves,
    /// The findings, the likeliest first.
    pub findings: Vec<Finding>,
}

/// Scores on the final rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FinalScores {
    /// The mean of each metric over the runs.
    #[serde(with = "real::map")]
    pub metrics: BTreeMap<String, f64>,
    /// The standard deviation of each metric over the runs; NaN for a single run.
    #[serde(with = "real::map")]
    pub spread: BTreeMap<String, f64>,
    /// Runs whose training diverged.
    pub diverged: usize,
    /// Runs, those that diverged included.
    pub runs: usize,
}

/// The scores of a setup and of its change in one pair of runs, of the same split and seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunScores {
    /// The split.
    pub split: usize,
    /// The metric without the change; NaN if the training diverged.
    #[serde(with = "real")]
    pub without: f64,
    /// The metric with the change; NaN if the training diverged.
    #[serde(with = "real")]
    pub with: f64,
}

/// One remedy that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// The finding that it was for.
    pub finding: Finding,
    /// The remedy.
    pub remedy: Proposal,
    /// The scores in pairs, one for each split. They are fewer than the splits where the first ones showed no
    /// gain.
    pub pairs: Vec<RunScores>,
    /// The gain, positive for better, with its corrected interval; `None` where it could not be judged.
    ///
    /// It is the share by which the change reduces the loss: the metric or, where higher is better, 1 minus
    /// the metric. A gain of 0.2 is a loss that is a fifth smaller. A training that diverges has an infinite
    /// loss.
    #[serde(default)]
    pub gain: Option<Interval>,
    /// The level of the interval after correction for the number of remedies tried.
    #[serde(with = "real")]
    pub level: f64,
    /// The change of the second metric, which must not become worse, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Networks that were trained for it, and their epochs.
    pub trainings: usize,
    /// Their epochs together.
    pub epochs: usize,
    /// What was decided, and why.
    pub verdict: Verdict,
    /// Whether the change was kept.
    pub kept: bool,
}

impl Step {
    /// The number of splits on which it was compared.
    #[must_use]
    pub fn splits(&self) -> usize {
        self.pairs.chunk_by(|a, b| a.split == b.split).count()
    }
}

/// The change of a second metric by a remedy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// The metric.
    pub metric: String,
    /// Its gain, positive for better, as [`Step::gain`].
    pub gain: Interval,
}

/// What was decided about a remedy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The interval of the gain lies above zero.
    Better,
    /// The interval of the gain lies above zero, and the gain is smaller than
    /// [`Improve::min_gain`](crate::improve::Improve::min_gain).
    SmallGain,
    /// The interval of the gain holds zero.
    NoGain,
    /// The interval of the gain lies below zero.
    Worse,
    /// The interval of the gain lies above zero, and that of this other metric lies below it.
    WorseOn(String),
    /// Too many runs with the change diverged.
    Diverged,
    /// The change does not fit the trainer or the data: the reason.
    Refused(String),
    /// The user decided against it before it was tried.
    Skipped,
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// Nothing is wrong.
    NothingWrong,
    /// No remedy that is left helps.
    NothingHelps,
    /// The budget is spent.
    BudgetSpent,
    /// The user ended it.
    Ended,
}
