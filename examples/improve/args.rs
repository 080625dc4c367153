//! The command line.
use crate::{
    program::{parse, Failure},
    tabular::args::{NetworkArgs, TableArgs},
    values::{check_folders, count, page, whole},
};
use candle_ensemble::{
    improve::Budget,
    metrics::{self, Metric},
    remedy::Setup,
    Error, Result,
};
use clap::Parser;
use serde::Serialize;
use std::{path::PathBuf, time::Duration};

/// Find out what is wrong with a network, try what helps against it, keep what is certain to help, and repeat. At the
/// end, the network of the start and the result are compared on rows that no decision saw.
#[derive(Debug, Parser, Serialize)]
#[command(version, max_term_width = 100, allow_negative_numbers = true)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    pub table: TableArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub network: NetworkArgs,
    /// Start from the settings in this file, which replace those of the flags
    #[arg(long, value_name = "FILE.json")]
    pub settings: Option<PathBuf>,
    /// How much is trained: a time (90s, 10m, 1h), "200 trainings", "5000 epochs" or unlimited. With a time, the steps
    /// that fit in depend on the machine [default: 10m, and 300 trainings for each case of --suite]
    #[arg(long, value_name = "BUDGET", value_parser = budget)]
    pub budget: Option<Budget>,
    /// The metric that decides [default: nll for classes, rmse for values]
    #[arg(long, value_name = "NAME", value_parser = metric)]
    pub metric: Option<String>,
    /// Splits into rows to train on and rows to validate on, on which each change is compared
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = count::<usize>)]
    pub splits: usize,
    /// Runs of a network on each split, whose mean is compared
    #[arg(long, default_value_t = 3, value_name = "R", value_parser = count::<usize>)]
    pub runs_per_split: usize,
    /// Runs whose learning curves are diagnosed
    #[arg(long, default_value_t = 5, value_name = "R", value_parser = count::<usize>)]
    pub runs: usize,
    /// Changes that are tried for one finding
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = count::<usize>)]
    pub attempts: usize,
    /// The smallest share of the loss that a change has to take away to be kept
    #[arg(long, default_value_t = 0.02, value_name = "SHARE")]
    pub min_gain: f64,
    /// The same seed gives the same result, whatever the threads
    #[arg(long, default_value_t = 2, value_parser = whole)]
    pub seed: u64,
    /// Networks trained at a time [default: one on each core]
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Keep networks and decisions in this folder: an interrupted run continues where it stopped
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip)]
    pub store: Option<PathBuf>,
    /// Ask before each change is tried, and before it is kept
    #[arg(long)]
    pub interactive: bool,
    /// Write all figures into this file
    #[arg(long, value_name = "FILE.json")]
    #[serde(skip)]
    pub json: Option<PathBuf>,
    /// Write the report into this file
    #[arg(long, value_name = "FILE.html", default_value = "improve.html", value_parser = page)]
    #[serde(skip)]
    pub html: PathBuf,
    /// Write the improved settings into this file, which --settings of this program and of variance_reduction and
    /// Setup::read take
    #[arg(long, value_name = "FILE.json", default_value = "improve_settings.json")]
    #[serde(skip)]
    pub write_settings: PathBuf,
    /// Write the improved network, or the ensemble, into this file, which Ensemble::load takes
    #[arg(long, value_name = "FILE", default_value = "improve.ensemble")]
    #[serde(skip)]
    pub save: PathBuf,
    /// Run the suite instead: networks that are broken in known ways, and healthy ones; each is found and repaired, or
    /// left alone
    #[arg(long)]
    #[serde(skip)]
    pub suite: bool,
    /// With --suite: only the cases whose names contain this text; several, separated by commas
    #[arg(long, value_name = "TEXT,…", requires = "suite", value_delimiter = ',')]
    #[serde(skip)]
    pub only: Vec<String>,
    /// With --suite: print the names of the cases, and end
    #[arg(long, requires = "suite")]
    #[serde(skip)]
    pub list: bool,
    /// Print nothing but errors
    #[arg(long)]
    #[serde(skip)]
    pub quiet: bool,
}

/// The budget without a flag.
const USUAL: Budget = Budget::Time(Duration::from_secs(600));
/// The budget of a case of the suite without a flag. It is in trainings, so that the table is the same on every machine.
const SUITE: Budget = Budget::Trainings(300);

fn budget(text: &str) -> Result<Budget, String> {
    text.parse().map_err(|e: Error| e.to_string())
}

fn metric(name: &str) -> Result<String, String> {
    metrics::registry().get(name).map_err(|e| e.to_string())?;
    Ok(name.into())
}

impl Args {
    /// The arguments of this process.
    pub fn read() -> Result<Self, Failure> {
        parse()
    }

    /// Checks that the folders of the output files exist, before networks are trained.
    pub fn check(&self) -> Result<()> {
        check_folders([
            ("--json", self.json.as_deref()),
            ("--html", Some(&*self.html)),
            ("--write-settings", Some(&*self.write_settings)),
            ("--save", Some(&*self.save)),
        ])
    }

    /// The setup at the start: what the flags say, and then what the file says.
    pub fn setup(&self) -> Result<Setup> {
        let mut setup = Setup { settings: self.network.settings(), ..Setup::default() };
        if let Some(path) = &self.settings {
            let file = Setup::read(path)?;
            setup.settings = setup.settings.with_all(file.settings.iter());
            (setup.strategy, setup.combination, setup.validation) =
                (file.strategy, file.combination, file.validation);
        }
        Ok(setup)
    }

    /// How much is trained.
    pub fn budget(&self) -> Budget {
        let usual = if self.suite { SUITE } else { USUAL };
        self.budget.unwrap_or(usual)
    }

    /// The metric that decides, if one is named.
    pub fn metric(&self) -> Result<Option<Metric>> {
        self.metric.as_deref().map(Metric::parse).transpose()
    }
}
