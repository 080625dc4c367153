//! What a study found, as data and as a table.
use crate::metrics::{Interval, Metrics, Summary};
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
    /// The metric against the number of predictions.
    pub size_curve: Vec<SizeSummary>,
    /// Each repeat.
    pub repeats: Vec<RepeatReport>,
}

/// The metric of ensembles of one size, over all groups and repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeSummary {
    /// Predictions in each group.
    pub size: usize,
    /// Over all groups of all repeats.
    #[serde(flatten)]
    pub summary: Summary,
    /// The metric of each disjoint group of so many predictions, by repeat; the first group first.
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
