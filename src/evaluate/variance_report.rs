//! The result of a study, as data.
use crate::metrics::{Interval, Metrics, Summary};
use serde::Serialize;
use std::collections::BTreeMap;

/// The result of a [`Study`](crate::evaluate::Study): metrics of single networks and of ensembles, as data.
/// It serializes to JSON, [`table`](Self::table) formats it, and `chart` draws it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VarianceReport {
    /// The metric of the size curves and the differences: `"accuracy"`, or `"rmse"`.
    pub metric: String,
    /// Number of rows in the training data.
    pub train_rows: usize,
    /// Number of rows in the test data.
    pub test_rows: usize,
    /// Number of independent repeats.
    pub repeats: usize,
    /// The single networks.
    pub single: SingleReport,
    /// One report for each strategy and combiner.
    pub ensembles: Vec<EnsembleReport>,
}

/// The single networks: the members of the baseline, each measured on its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SingleReport {
    /// Mean and standard deviation of each metric over all members of all repeats.
    pub metrics: BTreeMap<String, Summary>,
    /// Mean wall-clock time to train one network, in seconds, while the others of its ensemble train in
    /// parallel.
    pub train_seconds: f64,
    /// Metrics of each network, by repeat.
    pub repeats: Vec<Vec<Metrics>>,
}

/// The ensembles of one strategy and one combiner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnsembleReport {
    /// Name of the strategy.
    pub strategy: String,
    /// Name of the combiner.
    pub combine: String,
    /// Number of members of one ensemble.
    pub members: usize,
    /// Mean and standard deviation of each metric over the repeats.
    pub metrics: BTreeMap<String, Summary>,
    /// The metric minus that of a single network, with a 95 % interval. For two or more repeats it is the t
    /// interval of the repeats' differences (each from the mean of the repeat's single networks); for one
    /// repeat it is the bootstrap interval over the test rows.
    pub difference: Interval,
    /// The standard deviation of the metric of single networks divided by that of ensembles. `None` where
    /// there is only one repeat, or the ensembles do not vary.
    pub sd_ratio: Option<f64>,
    /// Mean wall-clock time to train one ensemble, in seconds.
    pub train_seconds: f64,
    /// Forward passes for one prediction, in units of one network.
    pub prediction_cost: f64,
    /// The metric against the number of slots.
    pub size_curve: Vec<SizeSummary>,
    /// The repeats.
    pub repeats: Vec<RepeatReport>,
}

/// The metric of ensembles of one size, over all groups and repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeSummary {
    /// Number of slots in each group.
    pub size: usize,
    /// Summary over all groups of all repeats.
    #[serde(flatten)]
    pub summary: Summary,
    /// The metric of each disjoint group of this size, by repeat, in the order of the slots.
    pub repeats: Vec<Vec<f64>>,
}

/// One repeat of one strategy and combiner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepeatReport {
    /// Number of the repeat, from 0.
    pub repeat: usize,
    /// Metrics of the ensemble.
    pub metrics: Metrics,
    /// Mean of the metric over the members of this ensemble, each on its own.
    pub members_mean: f64,
    /// Wall-clock time to train the ensemble, in seconds.
    pub train_seconds: f64,
}
