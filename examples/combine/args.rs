//! The command line.
use super::{
    program::{flags, parse_with, settings, Failure},
    rows::Rows,
};
use candle_ensemble::{
    combine::{self, Calibration},
    registry::split_list,
};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Combine predictions that are already there, whatever made them: fit a combiner on some rows, score it on
/// others.
///
/// The input is a NumPy archive (numpy.savez) with `predictions` (M, N, C), M members' probabilities of C
/// classes or C values for N rows, and `targets`: labels (N,) or one column for each class, or values (N,)
/// or (N, C). Predictions (M, N) are values, or with --task classification the probability of the second of
/// two classes. A prediction that is NaN is missing.
///
/// It may also have `names` (M,), `groups` (N,), `inputs` (N, …), `weights` (N,), `costs` (M,), `classes`
/// (C,), the label of each column, and `mask` (M, N), true where a prediction is missing. Only the ratios of
/// weights count, except in combiners with a penalty, where a row of weight 2 counts as two rows. The rows
/// of the fit must be rows that no member was fitted on.
///
/// The exit status is 0 if at least one combiner was fitted and scored, and 2 otherwise. Combiners that
/// could not be fitted or scored are listed with the reason.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, after_long_help = help())]
pub struct Args {
    /// The archive, or predictions alone as FILE.npy
    #[arg(long, value_name = "FILE.npz")]
    pub input: PathBuf,
    /// The combiner, with its arguments if you like (ridge:lambda=0.1); several, separated by commas, or
    /// `all` that go with the task, are ranked
    #[arg(long, default_value = "mean", value_name = "COMBINER", value_parser = combiners)]
    pub rule: String,
    /// What is predicted [default: what the arrays look like, which is said where it is a guess]
    #[arg(long, value_enum)]
    pub task: Option<TaskName>,
    /// The predictions of classes are logits or log-probabilities
    #[arg(long)]
    pub logits: bool,
    /// Rows to fit on: A..B, even, odd or all [default: those not scored on; every second row or group]
    #[arg(long, value_name = "ROWS")]
    pub fit_rows: Option<Rows>,
    /// Rows to score on: A..B, even, odd or all [default: those not fitted on; all, with --apply]
    #[arg(long, value_name = "ROWS")]
    pub score_rows: Option<Rows>,
    /// Write the result as JSON; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Save the fitted combiner; of several the best
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Use a combiner that was saved with --save on these predictions; nothing is fitted
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rule", "save", "fit_rows"])]
    pub apply: Option<PathBuf>,
    /// Write the combined predictions of all rows, (N, C), as a NumPy array; of several combiners those of
    /// the best
    #[arg(long, value_name = "FILE.npy")]
    pub output: Option<PathBuf>,
    /// Print nothing
    #[arg(long)]
    pub quiet: bool,

    /// Calibrate each member before the combiner
    #[arg(long, value_enum, help_heading = "Around any combiner")]
    pub calibrate_members: Option<CalibrationName>,
    /// Calibrate the combined predictions
    #[arg(long, value_enum, help_heading = "Around any combiner")]
    pub calibrate: Option<CalibrationName>,
    /// Drop members first
    #[arg(long, value_enum, help_heading = "Around any combiner")]
    pub prune: Option<PruneName>,
    /// Members that pruning keeps [default: as many as are best, or half]
    #[arg(long, value_name = "N", requires = "prune", help_heading = "Around any combiner")]
    pub keep: Option<usize>,

    /// The settings of combiners that were given.
    #[arg(skip)]
    pub settings: Vec<(&'static str, String)>,
}

fn help() -> String {
    format!("Combiners:\n{}", combine::registry().help())
}

/// Known names; their arguments are read when the combiners are made.
fn combiners(text: &str) -> Result<String, String> {
    if text != "all" {
        for text in split_list(text) {
            combine::registry().get(&text).map_err(|e| e.to_string())?;
        }
    }
    Ok(text.into())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TaskName {
    Classification,
    Regression,
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

/// Which members are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PruneName {
    /// Members with a small weight in the best blend
    Weight,
    /// Members after the best point of an order by reduced error
    ReduceError,
    /// The same, ordered by complementarity (for classes)
    Complementarity,
    /// The same, ordered by margin distance (for classes)
    MarginDistance,
    /// Members that agree most with others, by κ (for classes)
    Kappa,
    /// The same, by disagreement (for classes)
    Disagreement,
}

impl Args {
    /// The command line. Every argument of a combiner is a flag.
    pub fn read() -> Result<Self, Failure> {
        let (mut args, matches) = parse_with::<Self>(flags(combine::registry(), "Settings of combiners"))?;
        args.settings = settings(combine::registry(), &matches);
        if args.setting("seed").is_none() {
            args.settings.push(("seed", "0".into()));
        }
        Ok(args)
    }

    /// Whether several combiners are ranked.
    pub fn ranks(&self) -> bool {
        self.rule == "all" || split_list(&self.rule).len() > 1
    }

    /// The value of a setting, if it was given.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}
