//! The command line.
use super::{
    input::Rows,
    program::{flags, parse_with, settings, Failure},
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
/// classes or C values for N rows, and `targets` (N,) or (N, K). It may also have `names` (M,), `groups`
/// (N,), `inputs` (N, …), `weights` (N,) and `costs` (M,). The rows of the fit must be rows that no member
/// was fitted on.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, after_long_help = help())]
pub struct Args {
    /// The archive
    #[arg(long, value_name = "FILE.npz")]
    pub input: PathBuf,
    /// The combiner, with its arguments if you like (ridge:lambda=0.1); several, separated by commas, or
    /// `all` that go with the task, are ranked
    #[arg(long, default_value = "mean", value_name = "COMBINER", value_parser = combiners)]
    pub rule: String,
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
    /// Save the fitted combiner
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Use a combiner that was saved with --save on these predictions; nothing is fitted
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rule", "save", "fit_rows"])]
    pub apply: Option<PathBuf>,
    /// Write the combined predictions of all rows, (N, C), as a NumPy array
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

    pub fn fit_rows_or_default(&self) -> Rows {
        self.fit_rows.clone().unwrap_or(Rows::Even)
    }

    pub fn score_rows_or_default(&self) -> Rows {
        let applied = if self.apply.is_some() { Rows::All } else { Rows::Odd };
        self.score_rows.clone().unwrap_or(applied)
    }
}
