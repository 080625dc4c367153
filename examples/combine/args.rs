//! The command line.
use super::{input::Rows, rules::RuleName};
use candle_ensemble::combine::{stack::MetaFeatures, Calibration};
use candle_ensemble::metrics::RowLoss;
use clap::{error::ErrorKind, Parser, ValueEnum};
use std::path::PathBuf;

/// Combine predictions that are already there, whatever made them: fit a rule on some rows, score it on others.
///
/// The input is a NumPy archive (numpy.savez) with `predictions` (M, N, C), M members' probabilities of C classes or
/// C values for N rows, and `targets` (N,) or (N, K). It may also have `names` (M,), `groups` (N,), `inputs` (N, …),
/// `weights` (N,) and `costs` (M,). The rows of the fit must be rows that no member was fitted on.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Args {
    /// The archive
    #[arg(long, value_name = "FILE.npz")]
    pub input: PathBuf,
    /// The rule, or `all` for a ranked table of all that go with the task
    #[arg(long, value_enum, default_value_t = RuleName::Mean, value_name = "RULE")]
    pub rule: RuleName,
    /// What is predicted [default: classes where there is one target for several columns]
    #[arg(long, value_enum)]
    pub task: Option<TaskName>,
    /// Rows to fit on: A..B, even, odd or all [default: even]
    #[arg(long, value_name = "ROWS")]
    pub fit_rows: Option<Rows>,
    /// Rows to score on: A..B, even, odd or all [default: odd; all, with --apply]
    #[arg(long, value_name = "ROWS")]
    pub score_rows: Option<Rows>,
    /// Write the result as JSON; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Keep the fitted rule
    #[arg(long, value_name = "RULE_FILE")]
    pub save: Option<PathBuf>,
    /// Use a rule that was kept with --save on these predictions; nothing is fitted
    #[arg(long, value_name = "RULE_FILE", conflicts_with_all = ["rule", "save", "fit_rows"])]
    pub apply: Option<PathBuf>,
    /// Write the combined predictions of all rows, (N, C), as a NumPy array
    #[arg(long, value_name = "FILE.npy")]
    pub output: Option<PathBuf>,
    /// Print nothing
    #[arg(long)]
    pub quiet: bool,

    /// Draws of rules that draw: the same seed gives the same rule
    #[arg(long, default_value_t = 0, help_heading = "Settings of rules")]
    pub seed: u64,
    /// weighted-mean, weighted-vote: one weight a member
    #[arg(long, value_delimiter = ',', value_name = "W,…", help_heading = "Settings of rules")]
    pub weights: Vec<f64>,
    /// trimmed-mean, winsorized-mean: share cut off at each end
    #[arg(long, default_value_t = 0.2, value_name = "SHARE", help_heading = "Settings of rules")]
    pub cut: f64,
    /// inverse-error: the weights are 1/loss to this power
    #[arg(long, default_value_t = 1., help_heading = "Settings of rules")]
    pub power: f64,
    /// inverse-error, grid-search, differential-evolution, ensemble-selection, ordered pruning: what is made small
    /// [default: the rule's own]
    #[arg(long, value_enum, help_heading = "Settings of rules")]
    pub criterion: Option<LossName>,
    /// shrunk-*, ridge, stack-ridge, stack-elastic-net: strength of the penalty [default: by cross-validation]
    #[arg(long, help_heading = "Settings of rules")]
    pub lambda: Option<f64>,
    /// stack-elastic-net: share of the absolute penalty, 0 to 1
    #[arg(long, default_value_t = 0.5, value_name = "SHARE", help_heading = "Settings of rules")]
    pub l1_ratio: f64,
    /// grid-search: steps from 0 to 1
    #[arg(long, default_value_t = 10, help_heading = "Settings of rules")]
    pub grid_steps: usize,
    /// differential-evolution: most generations
    #[arg(long, default_value_t = 1000, help_heading = "Settings of rules")]
    pub generations: usize,
    /// pseudo-bma-plus, model-combination: draws
    #[arg(long, default_value_t = 1000, help_heading = "Settings of rules")]
    pub draws: usize,
    /// ensemble-selection: steps
    #[arg(long, default_value_t = 50, help_heading = "Settings of rules")]
    pub steps: usize,
    /// ensemble-selection: members it starts from, the best ones
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Settings of rules")]
    pub start: usize,
    /// ensemble-selection: bags of members
    #[arg(long, value_name = "B", help_heading = "Settings of rules")]
    pub bags: Option<usize>,
    /// ensemble-selection: share of the members in a bag
    #[arg(long, default_value_t = 0.5, value_name = "SHARE", help_heading = "Settings of rules")]
    pub bag_share: f64,
    /// ensemble-selection: most that the chosen members may cost together, in the unit of `costs` (1 each, without)
    #[arg(long, value_name = "COST", help_heading = "Settings of rules")]
    pub budget: Option<f64>,
    /// ensemble-selection: each member at most once
    #[arg(long, help_heading = "Settings of rules")]
    pub without_replacement: bool,
    /// stack-*: what the meta-learner sees
    #[arg(long, value_enum, default_value_t = FeatureName::Probabilities, help_heading = "Settings of rules")]
    pub features: FeatureName,
    /// stack-*: it also sees `inputs`
    #[arg(long, help_heading = "Settings of rules")]
    pub pass_through: bool,
    /// stack-logistic: inverse strength of the penalty
    #[arg(long, default_value_t = 1., help_heading = "Settings of rules")]
    pub c: f64,
    /// stack-network: widths of the hidden layers
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "10",
        value_name = "W,…",
        help_heading = "Settings of rules"
    )]
    pub hidden: Vec<usize>,
    /// stack-network: passes over the rows
    #[arg(long, default_value_t = 300, help_heading = "Settings of rules")]
    pub epochs: usize,
    /// knora-e, knora-u, meta-des: neighbours
    #[arg(long, default_value_t = 7, value_name = "K", help_heading = "Settings of rules")]
    pub neighbours: usize,
    /// knora-e, knora-u, meta-des, gating: look at the members' outputs in place of `inputs`
    #[arg(long, help_heading = "Settings of rules")]
    pub outputs: bool,
    /// gating: hidden units, 0 for a linear gate
    #[arg(long, default_value_t = 0, value_name = "UNITS", help_heading = "Settings of rules")]
    pub gate_units: usize,

    /// Calibrate each member before the rule
    #[arg(long, value_enum, help_heading = "Around any rule")]
    pub calibrate_members: Option<CalibrationName>,
    /// Calibrate what the rule says
    #[arg(long, value_enum, help_heading = "Around any rule")]
    pub calibrate: Option<CalibrationName>,
    /// Drop members first
    #[arg(long, value_enum, help_heading = "Around any rule")]
    pub prune: Option<PruneName>,
    /// Members that pruning keeps [default: as many as are best, or half]
    #[arg(long, value_name = "N", requires = "prune", help_heading = "Around any rule")]
    pub keep: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TaskName {
    Classification,
    Regression,
}

/// What a rule makes small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LossName {
    Error,
    LogLoss,
    Brier,
    Squared,
    Absolute,
}

impl LossName {
    pub fn loss(self) -> RowLoss {
        match self {
            Self::Error => RowLoss::Error,
            Self::LogLoss => RowLoss::LogLoss,
            Self::Brier => RowLoss::Brier,
            Self::Squared => RowLoss::Squared,
            Self::Absolute => RowLoss::Absolute,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FeatureName {
    Probabilities,
    LogOdds,
    Classes,
}

impl FeatureName {
    pub fn features(self) -> MetaFeatures {
        match self {
            Self::Probabilities => MetaFeatures::Probabilities,
            Self::LogOdds => MetaFeatures::LogOdds,
            Self::Classes => MetaFeatures::Classes,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CalibrationName {
    Temperature,
    Vector,
    Isotonic,
}

impl CalibrationName {
    pub fn calibration(self) -> Calibration {
        match self {
            Self::Temperature => Calibration::Temperature,
            Self::Vector => Calibration::Vector,
            Self::Isotonic => Calibration::Isotonic,
        }
    }
}

/// Which members go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PruneName {
    /// Those of small weight in the best blend
    Weight,
    /// Those behind the best point of an order by reduced error
    ReduceError,
    /// The same, ordered by complementarity (classes)
    Complementarity,
    /// The same, ordered by margin distance (classes)
    MarginDistance,
    /// Those that agree most with others, by κ (classes)
    Kappa,
    /// The same, by disagreement
    Disagreement,
}

impl Args {
    /// The command line, or its error in one piece; help and version are printed.
    pub fn read() -> Result<Self, String> {
        match Self::try_parse() {
            Ok(args) => Ok(args),
            Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => e.exit(),
            Err(e) => Err(e.to_string().trim_start_matches("error: ").trim_end().to_string()),
        }
    }

    pub fn all(&self) -> bool {
        self.rule == RuleName::All
    }

    pub fn rows_of_the_fit(&self) -> Rows {
        self.fit_rows.clone().unwrap_or(Rows::Even)
    }

    pub fn rows_of_the_score(&self) -> Rows {
        let applied = if self.apply.is_some() { Rows::All } else { Rows::Odd };
        self.score_rows.clone().unwrap_or(applied)
    }
}
