//! The command line.
use super::data::Prepared;
use candle_ensemble::{
    combine::{FittedCombiner, GeometricMean, HardVote, Mean, Median},
    data::Task,
    Error, Result,
};
use clap::{error::ErrorKind, Parser, ValueEnum};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// Train several ensembles and single networks, and show what the ensembles bought: test metric, its spread,
/// and what it cost. Everything is scored on rows that no network was fitted on.
#[derive(Debug, Parser, Serialize)]
#[command(version, about, max_term_width = 100, allow_negative_numbers = true)]
pub struct Args {
    /// `digits`, `wine` or `diabetes` (they come with the repository), or a CSV file with a header line
    #[arg(long, default_value = "digits", value_name = "NAME|FILE.csv")]
    pub data: String,
    /// Column of a CSV file to predict [default: the last]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Predict classes or values [default: inferred from the target column, and predicted]
    #[arg(long, value_enum)]
    pub task: Option<TaskName>,
    /// The first N rows train, the rest test, instead of a random split
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub train_rows: Option<usize>,
    /// Share of the rows that test, drawn at random, class by class; between 0 and 1
    #[arg(
        long,
        default_value_t = 0.3,
        value_name = "SHARE",
        conflicts_with = "train_rows",
        value_parser = number("between 0 and 1", |x| x > 0. && x < 1.)
    )]
    pub test_fraction: f64,
    /// Bring each column (and a regression target) to mean 0 and standard deviation 1 of the training rows
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub standardize: bool,
    /// Widths of the hidden layers, separated by commas
    #[arg(
        long,
        default_value = "64,32",
        value_delimiter = ',',
        value_name = "W,…",
        value_parser = count::<usize>
    )]
    pub hidden: Vec<usize>,
    /// How gradients become updates
    #[arg(long, value_enum, default_value_t = OptimizerName::Adam)]
    pub optimizer: OptimizerName,
    /// Learning rate
    #[arg(long, default_value_t = 1e-3, value_parser = number("above 0", |x| x > 0.))]
    pub lr: f64,
    /// Momentum of SGD, in [0, 1)
    #[arg(
        long,
        default_value_t = 0.9,
        value_parser = number("at least 0 and below 1", |x| (0. ..1.).contains(&x))
    )]
    pub momentum: f64,
    /// L2 penalty added to the gradient
    #[arg(long, default_value_t = 0., value_parser = number("at least 0", |x| x >= 0.))]
    pub weight_decay: f64,
    /// Adam's ε
    #[arg(long, default_value_t = 1e-8, value_parser = number("above 0", |x| x > 0.))]
    pub epsilon: f64,
    /// How initial weights are drawn: candle's own way, or Glorot-uniform with zero biases
    #[arg(long, value_enum, default_value_t = Initial::Default)]
    pub init: Initial,
    /// Rows a step
    #[arg(long, default_value_t = 32, value_name = "ROWS", value_parser = count::<usize>)]
    pub batch: usize,
    /// Passes over the training rows
    #[arg(long, default_value_t = 30, value_parser = count::<usize>)]
    pub epochs: usize,
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
    #[arg(long, default_value_t = 10, value_parser = count::<usize>)]
    pub members: usize,
    /// How members are combined, separated by commas [default: mean,mean-log,hard-vote for classes,
    /// mean,median for values]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    pub combine: Vec<RuleName>,
    /// Independent ensembles of each kind, for mean ± standard deviation
    #[arg(long, default_value_t = 20, value_name = "R", value_parser = count::<usize>)]
    pub repeats: usize,
    /// The same seed gives the same figures, whatever the threads
    #[arg(long, default_value_t = 2, value_parser = whole)]
    pub seed: u64,
    /// Networks trained at a time [default: one on each core]
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Keep networks in this folder as they are trained: a run that was interrupted goes on where it was
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip)]
    pub store: Option<PathBuf>,
    /// With --store: epochs after which a network under way is kept [default: five minutes]
    #[arg(long, value_name = "EPOCHS", value_parser = count::<usize>, requires = "store")]
    #[serde(skip)]
    pub checkpoint_every: Option<usize>,
    /// Write all figures, by repeat and by ensemble size, into this file
    #[arg(long, value_name = "FILE.json")]
    #[serde(skip)]
    pub json: Option<PathBuf>,
    /// Write the chart into this file
    #[arg(
        long,
        value_name = "FILE.svg|FILE.png",
        default_value = "variance_reduction.svg",
        value_parser = chart
    )]
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
    GeometricMean,
    /// Each network votes for a class; classes only
    HardVote,
    /// Median of values, or of each class's probabilities
    Median,
}

impl RuleName {
    fn rule(self) -> Box<dyn FittedCombiner> {
        match self {
            Self::Mean => Box::new(Mean),
            Self::GeometricMean => Box::new(GeometricMean),
            Self::HardVote => Box::new(HardVote),
            Self::Median => Box::new(Median),
        }
    }
}

/// A whole number, at least 1.
fn count<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|n| *n >= T::from(1)).ok_or_else(|| "must be a whole number, at least 1".into())
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "must be a whole number, at least 0".into())
}

fn number(
    must: &'static str,
    holds: fn(f64) -> bool,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse().ok().filter(|x: &f64| x.is_finite() && holds(*x));
        number.ok_or_else(|| format!("must be a number {must}"))
    }
}

fn chart(text: &str) -> Result<PathBuf, String> {
    let end = Path::new(text).extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    match ["svg", "png"].contains(&&*end) {
        true => Ok(text.into()),
        false => Err("must be a file that ends in .svg or .png".into()),
    }
}

/// clap's error on one line: what is wrong, and what would be right. Help and version are shown as usual.
fn on_one_line(e: &clap::Error) -> String {
    if !e.use_stderr() {
        e.exit();
    }
    let text = e.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let line = lines.collect::<Vec<_>>().join("; ");
    let hint = if e.kind() == ErrorKind::UnknownArgument { "; --help lists them all" } else { "" };
    format!("{}{hint}", line.trim_start_matches("error: "))
}

impl Args {
    /// The arguments of this process, or one line on what is wrong with them.
    pub fn read() -> Result<Self, String> {
        Self::try_parse().map_err(|e| on_one_line(&e))
    }

    /// Whether there is a place for the files, before hours are spent on what goes into them.
    pub fn check(&self) -> Result<()> {
        for (name, path) in [("--json", self.json.as_deref()), ("--chart", Some(&*self.chart))] {
            let folder = path.and_then(Path::parent).filter(|p| !p.as_os_str().is_empty());
            if let (Some(path), Some(false)) = (path, folder.map(Path::is_dir)) {
                return Err(Error::invalid(name, "in a folder that exists", path.display()));
            }
        }
        Ok(())
    }

    /// The rules for this task.
    pub fn rules(&self, task: Task) -> Result<Vec<Box<dyn FittedCombiner>>> {
        use RuleName::{GeometricMean, HardVote, Mean, Median};
        let values = matches!(task, Task::Regression { .. });
        let chosen: &[RuleName] = match (&self.combine[..], values) {
            ([], true) => &[Mean, Median],
            ([], false) => &[Mean, GeometricMean, HardVote],
            (chosen, _) => chosen,
        };
        if let Some(rule) = chosen.iter().find(|r| values && matches!(r, GeometricMean | HardVote)) {
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
