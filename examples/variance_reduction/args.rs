//! The command line.
use super::data::Prepared;
use candle_ensemble::{
    combine::{HardVote, Head, Mean, MeanLog, Median},
    data::Task,
    Error, Result,
};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;

/// Train several ensembles and single networks, and show what the ensembles bought: test metric, its spread,
/// and what it cost. Everything is scored on rows that no network was fitted on.
#[derive(Debug, Parser, Serialize)]
#[command(version, about, max_term_width = 100)]
pub struct Args {
    /// `digits`, `wine` or `diabetes` (they come with the repository), or a CSV file with a header line
    #[arg(long, default_value = "digits", value_name = "NAME|FILE.csv")]
    pub data: String,
    /// Column of a CSV file to predict [default: the last]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Predict classes or values [default: inferred from the target column, and said]
    #[arg(long, value_enum)]
    pub task: Option<TaskName>,
    /// The first N rows train, the rest test, instead of a random split
    #[arg(long, value_name = "N")]
    pub train_rows: Option<usize>,
    /// Share of the rows that test, drawn at random, class by class; between 0 and 1
    #[arg(long, default_value_t = 0.3, value_name = "SHARE", conflicts_with = "train_rows")]
    pub test_fraction: f64,
    /// Bring each column (and a regression target) to mean 0 and standard deviation 1 of the training rows
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub standardize: bool,
    /// Widths of the hidden layers, separated by commas
    #[arg(long, default_value = "64,32", value_delimiter = ',', value_name = "W,…")]
    pub hidden: Vec<usize>,
    /// How gradients become updates
    #[arg(long, value_enum, default_value_t = OptimizerName::Adam)]
    pub optimizer: OptimizerName,
    /// Learning rate
    #[arg(long, default_value_t = 1e-3)]
    pub lr: f64,
    /// Momentum of SGD, in [0, 1)
    #[arg(long, default_value_t = 0.9)]
    pub momentum: f64,
    /// L2 penalty added to the gradient
    #[arg(long, default_value_t = 0.)]
    pub weight_decay: f64,
    /// Adam's ε
    #[arg(long, default_value_t = 1e-8)]
    pub epsilon: f64,
    /// How initial weights are drawn: candle's own way, or Glorot-uniform with zero biases
    #[arg(long, value_enum, default_value_t = Initial::Default)]
    pub init: Initial,
    /// Rows a step
    #[arg(long, default_value_t = 32, value_name = "ROWS")]
    pub batch: usize,
    /// Passes over the training rows
    #[arg(long, default_value_t = 30)]
    pub epochs: u32,
    /// How members are grown, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "multi-run,bootstrap",
        value_name = "NAME,…"
    )]
    pub strategy: Vec<StrategyName>,
    /// Members of each ensemble
    #[arg(long, default_value_t = 10)]
    pub members: usize,
    /// How members are combined, separated by commas [default: mean,mean-log,hard-vote for classes,
    /// mean,median for values]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    pub combine: Vec<RuleName>,
    /// Independent ensembles of each kind, for mean ± standard deviation
    #[arg(long, default_value_t = 20, value_name = "R")]
    pub repeats: usize,
    /// The same seed gives the same figures, whatever the threads
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Networks trained at a time [default: one on each core]
    #[arg(long, value_name = "N")]
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Write all figures, by repeat and by ensemble size, into this file
    #[arg(long, value_name = "FILE.json")]
    #[serde(skip)]
    pub json: Option<PathBuf>,
    /// Write the chart into this file
    #[arg(long, value_name = "FILE.svg|FILE.png", default_value = "variance_reduction.svg")]
    #[serde(skip)]
    pub chart: PathBuf,
    /// Print nothing, not even progress
    #[arg(long)]
    #[serde(skip)]
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TaskName {
    Classification,
    Regression,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    Adam,
    Sgd,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Initial {
    Default,
    GlorotUniform,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// Several runs on the same rows, from other initial weights, in another order
    MultiRun,
    /// Each run on a bootstrap sample of the rows
    Bootstrap,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RuleName {
    /// Mean of probabilities (soft vote), or of values
    Mean,
    /// Mean of log-probabilities (geometric mean); classes only
    MeanLog,
    /// Each network votes for a class; classes only
    HardVote,
    /// Median of values, or of each class's probabilities
    Median,
}

impl RuleName {
    fn rule(self) -> Box<dyn Head> {
        match self {
            Self::Mean => Box::new(Mean),
            Self::MeanLog => Box::new(MeanLog),
            Self::HardVote => Box::new(HardVote),
            Self::Median => Box::new(Median),
        }
    }
}

impl Args {
    /// What can be told before any data is read.
    pub fn check(&self) -> Result<()> {
        let at_least_one = [
            ("--members", self.members),
            ("--repeats", self.repeats),
            ("--batch", self.batch),
            ("--epochs", self.epochs as usize),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(Error::invalid(name, "at least 1", 0));
            }
        }
        if self.hidden.contains(&0) {
            return Err(Error::invalid("--hidden", "widths of at least 1", 0));
        }
        if self.threads == Some(0) {
            return Err(Error::invalid("--threads", "at least 1", 0));
        }
        if !(self.test_fraction > 0. && self.test_fraction < 1.) {
            return Err(Error::invalid("--test-fraction", "between 0 and 1", self.test_fraction));
        }
        if !(self.lr > 0. && self.lr.is_finite()) {
            return Err(Error::invalid("--lr", "above 0", self.lr));
        }
        if !(0. ..1.).contains(&self.momentum) {
            return Err(Error::invalid("--momentum", "at least 0 and below 1", self.momentum));
        }
        if !(self.weight_decay >= 0. && self.weight_decay.is_finite()) {
            return Err(Error::invalid("--weight-decay", "at least 0", self.weight_decay));
        }
        if !(self.epsilon > 0. && self.epsilon.is_finite()) {
            return Err(Error::invalid("--epsilon", "above 0", self.epsilon));
        }
        let chart = self.chart.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        if !["svg", "png"].contains(&chart.as_str()) {
            return Err(Error::invalid("--chart", "a file that ends in .svg or .png", self.chart.display()));
        }
        Ok(())
    }

    /// The rules for this task.
    pub fn rules(&self, task: Task) -> Result<Vec<Box<dyn Head>>> {
        use RuleName::{HardVote, Mean, MeanLog, Median};
        let values = matches!(task, Task::Regression { .. });
        let chosen: &[RuleName] = match (&self.combine[..], values) {
            ([], true) => &[Mean, Median],
            ([], false) => &[Mean, MeanLog, HardVote],
            (chosen, _) => chosen,
        };
        if let Some(rule) = chosen.iter().find(|r| values && matches!(r, MeanLog | HardVote)) {
            let name = rule.to_possible_value().map(|v| v.get_name().to_string()).unwrap_or_default();
            return Err(Error::invalid("--combine", "mean or median where values are predicted", name));
        }
        Ok(chosen.iter().map(|r| r.rule()).collect())
    }

    /// The settings, for the JSON file. Threads and file names are left out: they change no figure.
    pub fn settings(&self, prepared: &Prepared) -> serde_json::Value {
        let mut settings = serde_json::to_value(self).unwrap_or_default();
        settings["task"] = serde_json::json!(prepared.task);
        settings["target"] = serde_json::json!(prepared.target);
        let rules = self.rules(prepared.train_task()).unwrap_or_default();
        settings["combine"] = serde_json::json!(rules.iter().map(|r| r.name()).collect::<Vec<_>>());
        if self.train_rows.is_some() {
            settings["test_fraction"] = serde_json::Value::Null;
        }
        settings
    }
}
