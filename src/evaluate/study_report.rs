//! The result of a study, as data.
use crate::{
    evaluate::{
        decomposition::{BiasVariance, BiasVarianceDiversity, DiversityEffect, ZeroOneBiasVariance},
        diversity::PairMatrix,
        KappaError, SizeFit,
    },
    metrics::ReliabilityBin,
    statistics::{Interval, Summary},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of a [`Study`](crate::evaluate::Study), as data: the metrics, spread and cost of single networks and
/// of ensembles.
///
/// It serializes to JSON, [`table`](Self::table) formats it, `charts` draws it, and `html` makes a page of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudyReport {
    /// The metric of the differences and of the size curves: the first of [`metrics`](Self::metrics).
    pub metric: String,
    /// Whether a higher value of it is better.
    pub higher_is_better: bool,
    /// The names of all metrics, in the order of tables.
    pub metrics: Vec<String>,
    /// Number of rows in the training data of the first split.
    pub train_rows: usize,
    /// Number of rows in the test data of the first split.
    pub test_rows: usize,
    /// Number of splits of the data into training and test rows.
    pub splits: usize,
    /// Number of trainings of each strategy in each split.
    pub repeats: usize,
    /// The epochs that each strategy was given, if they were set to be equal.
    pub budget_epochs: Option<usize>,
    /// The single networks.
    pub single: SingleReport,
    /// One report for each strategy and combination.
    pub ensembles: Vec<EnsembleReport>,
    /// The number of members beyond which no combination of the table gets better: the largest over all size curves
    /// of the size from which on more members change the fitted metric by no more than the standard error of its
    /// measurement ([`SizeFit`]). `None` where that is not known.
    pub enough_members: Option<usize>,
    /// One report for each strategy.
    pub strategies: Vec<StrategyReport>,
}

/// The single networks: the members of the baseline, each measured on its own. With a baseline of networks that hold several
/// members, these are single members, each at the cost of its whole network; with one of sequences, whole sequences.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SingleReport {
    /// Mean and standard deviation of each metric over all members of all repeats and splits.
    pub metrics: BTreeMap<String, Summary>,
    /// The standard deviation of the metric from one training to the next, and from one split to the next.
    pub spread: Spread,
    /// The cost of one network.
    pub cost: Cost,
    /// The training loss after each epoch: mean, lowest and highest over all networks.
    pub learning_curve: Vec<CurvePoint>,
    /// The counts of true classes (rows) and predicted classes (columns) over all networks, for up to 30 classes.
    pub confusion: Option<Vec<Vec<f64>>>,
    /// The bins of a reliability diagram over all networks; empty for values.
    pub reliability: Vec<ReliabilityBin>,
    /// The metrics of each network by name, by repeat.
    pub repeats: Vec<Vec<BTreeMap<String, f64>>>,
}

/// The training loss of several networks after one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean over the networks.
    pub mean: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

/// Standard deviations of a metric by their source. `None` where there is too little to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// From one training to the next on the same data: initial weights, order of rows, resampling.
    pub seeds: Option<f64>,
    /// From one split of the data to the next. 0 where the splits differ no more than the trainings within them.
    pub splits: Option<f64>,
    /// From both: the standard deviation of one training on one split.
    pub both: Option<f64>,
}

/// What one ensemble costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Epochs of all its networks together.
    pub trained_epochs: f64,
    /// Wall-clock time of their training, in seconds, as many side by side as there are threads.
    pub train_seconds: f64,
    /// Wall-clock time in which the combination was fitted or merged, in seconds.
    pub fit_seconds: f64,
    /// Forward passes for one prediction: the number of networks. Members with a weight of 0 are not counted. A network that
    /// holds several members is one, which may take longer than a plain one, as long as one of them counts. A sequence of
    /// members takes each of its networks.
    pub prediction_networks: f64,
    /// Size of the weights that a prediction needs, in bytes, of each network as a whole.
    pub bytes: f64,
}

/// The rows on which a combination was fitted, or on which it was decided whether a merge is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FittedOnRows {
    /// `out-of-bag`, `out-of-fold`, `held-out`, or `reserved`: rows that were kept back from all members because
    /// the strategy leaves none.
    pub source: String,
    /// Number of rows.
    pub rows: usize,
}

/// Why a combination gave no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The loss barrier of a merge that was refused.
    pub barrier: Option<f64>,
    /// The reason.
    pub why: String,
}

/// The ensembles of one strategy and one combination.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnsembleReport {
    /// The strategy, by the name under which it was added to the study.
    pub strategy: String,
    /// The combination, by the name under which it was added to the study.
    pub combine: String,
    /// Whether it is one network in place of an ensemble.
    pub one_network: bool,
    /// Number of members that predict by themselves: networks, or the members that these hold. The networks of a sequence, which
    /// predict together, are one.
    pub members: usize,
    /// Mean and standard deviation of each metric over the repeats; empty where no repeat gave a result.
    pub metrics: BTreeMap<String, Summary>,
    /// The standard deviation of the metric from one training to the next, and from one split to the next.
    pub spread: Spread,
    /// The metric minus that of a single network, with a 95 % interval. The interval is for the mean over splits
    /// if there are several (corrected resampled t), over repeats if there is one split (t), and over test rows
    /// if there is one repeat (bootstrap, of whole groups where the test data has groups).
    pub difference: Option<Interval>,
    /// The p-value of the difference. `None` where the interval is over test rows.
    pub p_value: Option<f64>,
    /// The same after Holm's correction for the number of rows in the table.
    pub p_holm: Option<f64>,
    /// The standard deviation of the metric of single networks over trainings, divided by that of ensembles.
    /// `None` where there is only one repeat, or the ensembles do not vary.
    pub sd_ratio: Option<f64>,
    /// The mean cost of one ensemble.
    pub cost: Cost,
    /// The rows that the combination was fitted on; `None` where it learns nothing.
    pub fitted_on: Option<FittedOnRows>,
    /// Mean loss barrier of the merges, refused ones included.
    pub barrier: Option<f64>,
    /// Why there is no result, and in how many of the trainings.
    pub failed: Vec<Failure>,
    /// The mean weight of each slot, for combinations that are weighted means.
    pub weights: Option<Vec<f64>>,
    /// The metric against the number of members; empty for combinations that learn and for one network.
    pub size_curve: Vec<SizeSummary>,
    /// The curve `a + b/M` that is fitted to it; `None` where there are too few sizes.
    pub size_fit: Option<SizeFit>,
    /// The counts of true classes (rows) and predicted classes (columns) over all repeats, for up to 30 classes.
    pub confusion: Option<Vec<Vec<f64>>>,
    /// The bins of a reliability diagram over all repeats; empty for values, and for combinations whose result is no
    /// distribution.
    pub reliability: Vec<ReliabilityBin>,
    /// Bias and variance of the predictions over the repeats of the first split, whose sum is the mean loss:
    /// cross-entropy for classes, squared error for values. `None` for one repeat, and for combinations whose
    /// result is no distribution.
    pub bias_variance: Option<BiasVariance>,
    /// The same for the error rate of classes.
    pub zero_one: Option<ZeroOneBiasVariance>,
    /// The repeats, split by split.
    pub repeats: Vec<RepeatReport>,
}

/// What the members of one strategy are like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StrategyReport {
    /// The strategy, by the name under which it was added to the study.
    pub strategy: String,
    /// Number of members that predict by themselves, as of [`EnsembleReport::members`].
    pub members: usize,
    /// Number of networks that hold them: fewer where a network holds several members, more where those of a sequence predict
    /// together.
    pub networks: usize,
    /// Mean of the metric over the members, each on its own.
    pub members_mean: f64,
    /// How different the members are, by each [measure](crate::evaluate::Diversity), over all trainings. Empty for
    /// a single member.
    pub diversity: Vec<DiversityMeasure>,
    /// The points of the κ–error diagram of the first training; empty for values.
    pub kappa_error: Vec<KappaError>,
    /// The name of the measure of [`pairs`](Self::pairs).
    pub pair_measure: Option<String>,
    /// A measure of each pair of members of the first training.
    pub pairs: Option<PairMatrix>,
    /// The loss of the members and of their ensemble in parts that add up, over the repeats of the first split:
    /// cross-entropy and squared error for classes, squared error for values. Empty for one repeat.
    pub decompositions: Vec<BiasVarianceDiversity>,
    /// The same for the error rate of majority votes.
    pub diversity_effect: Option<DiversityEffect>,
}

/// A measure of diversity over several trainings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiversityMeasure {
    /// Its name.
    pub name: String,
    /// Mean and standard deviation over the trainings in which it is defined.
    pub summary: Option<Summary>,
    /// Whether a larger value means that the members differ more.
    pub more_is_more_diverse: bool,
}

/// The metric of ensembles of one size, over all groups and repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeSummary {
    /// Number of slots in each group. Members of one network cost that network, whatever their number.
    pub size: usize,
    /// Summary over all groups of all repeats.
    #[serde(flatten)]
    pub summary: Summary,
    /// The metric of each disjoint group of this size, by repeat, in the order of the slots.
    pub repeats: Vec<Vec<f64>>,
}

/// One repeat of one strategy and combination.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepeatReport {
    /// Number of the split, from 0.
    pub split: usize,
    /// Number of the repeat within its split, from 0.
    pub repeat: usize,
    /// The metrics of the ensemble, by name; empty where the combination gave no result.
    pub metrics: BTreeMap<String, f64>,
    /// Mean of the metric over the members of this ensemble, each on its own.
    pub members_mean: f64,
    /// Mean of the metric over the single networks of this repeat.
    pub single_mean: f64,
    /// The cost.
    pub cost: Cost,
}
