//! The command line.
use crate::{
    program::{parse, Failure},
    tabular::{
        args::{NetworkArgs, TableArgs},
        prepared::Prepared,
    },
    values::{chart, check_folders, count, number, page, whole},
};
use candle_ensemble::{
    data::Task,
    evaluate::{self, Combination},
    metrics::{self, MetricList},
    plan::Collect,
    registry::{split_list, Entry, Registry},
    remedy::Setup,
    strategy::{self, EnsembleBuilder},
    train::TrainConfig,
    Error, Result,
};
use clap::Parser;
use serde::Serialize;
use std::path::PathBuf;

/// Train ensembles in several ways, combine them in several ways, and compare them with single networks: test
/// metrics, their spread and the cost. Everything is scored on rows that no network was fitted on.
#[derive(Debug, Parser, Serialize)]
#[command(version, max_term_width = 100, allow_negative_numbers = true, after_long_help = help())]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    pub table: TableArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub network: NetworkArgs,
    /// Take the settings in this file, such as the one that the example improve writes, in place of those of the flags;
    /// its strategy and its combination are the defaults
    #[arg(long, value_name = "FILE.json", value_parser = setup)]
    #[serde(rename = "setup")]
    pub settings: Option<Setup>,
    /// How members are trained, separated by commas: names with their arguments, if you like
    /// (bootstrap:20:size=0.5); a rule for collecting members within each run follows after a plus sign
    /// (bootstrap:5+snapshot:3), as does a method by which each network holds many members (k-fold:5+efficient:tab-m:32) [default: multi-run,bootstrap,k-fold,horizontal,snapshot:5]
    #[arg(long, value_name = "NAME,…", value_parser = strategies)]
    pub strategy: Option<Names>,
    /// Members of each ensemble whose strategy does not say how many
    #[arg(long, default_value_t = 10, value_parser = count::<usize>)]
    pub members: usize,
    /// How members are combined, or made one network, separated by commas: names with their arguments, if you
    /// like (trimmed-mean:0.1) [default: mean,simplex-log-loss,stack-logistic,average-weights for classes,
    /// mean,simplex-squares,stack-ridge,average-weights for values]
    #[arg(long, value_name = "NAME,…", value_parser = combinations)]
    pub combine: Option<Names>,
    /// What is measured, separated by commas; the first is compared [default: accuracy,nll,brier,ece for
    /// classes, rmse,mae,r2 for values]
    #[arg(long, value_name = "NAME,…", value_parser = metric_names)]
    pub metrics: Option<Names>,
    /// Independent trainings of each strategy, for mean ± standard deviation
    #[arg(long, default_value_t = 10, value_name = "R", value_parser = count::<usize>)]
    pub repeats: usize,
    /// Splits of the data into rows to train on and rows to test on, each with its own repeats
    #[arg(long, default_value_t = 1, value_name = "S", value_parser = count::<usize>, conflicts_with = "train_rows")]
    pub splits: usize,
    /// Share of the training rows that is reserved for combinations that need rows no member was fitted on,
    /// between 0 and 1
    #[arg(
        long,
        default_value_t = 0.2,
        value_name = "SHARE",
        value_parser = number("between 0 and 1", |x| x > 0. && x < 1.)
    )]
    pub reserve: f64,
    /// The highest loss barrier at which networks are averaged into one
    #[arg(
        long,
        default_value_t = 0.05,
        value_name = "LOSS",
        allow_negative_numbers = true,
        value_parser = number("that is finite", |_| true)
    )]
    pub max_barrier: f64,
    /// Give each strategy, and each single network, this number of epochs in all, in place of --epochs a network
    #[arg(long, value_name = "EPOCHS", value_parser = count::<usize>)]
    pub budget_epochs: Option<usize>,
    /// The same seed gives the same figures, whatever the threads
    #[arg(long, default_value_t = 2, value_parser = whole)]
    pub seed: u64,
    /// Networks trained at a time [default: one on each core]
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    #[serde(skip)]
    pub threads: Option<usize>,
    /// Keep networks in this folder as they are trained: an interrupted run continues where it stopped
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip)]
    pub store: Option<PathBuf>,
    /// With --store: epochs after which an unfinished network is kept [default: five minutes]
    #[arg(long, value_name = "EPOCHS", value_parser = count::<usize>, requires = "store")]
    #[serde(skip)]
    pub checkpoint_every: Option<usize>,
    /// Write all figures, by repeat and by ensemble size, into this file
    #[arg(long, value_name = "FILE.json")]
    #[serde(skip)]
    pub json: Option<PathBuf>,
    /// Write a page with the table and all charts into this file
    #[arg(long, value_name = "FILE.html", value_parser = page)]
    #[serde(skip)]
    pub html: Option<PathBuf>,
    /// Write the chart of the metric against the size of the ensemble into this file, and the charts of the
    /// metric against the cost into files beside it
    #[arg(
        long,
        value_name = "FILE.svg|FILE.png",
        default_value = "variance_reduction.svg",
        value_parser = chart
    )]
    #[serde(skip)]
    pub chart: PathBuf,
    /// Print all strategies, combinations and metrics, and end
    #[arg(long)]
    #[serde(skip)]
    pub list: bool,
    /// Print nothing, neither progress nor warnings
    #[arg(long)]
    #[serde(skip)]
    pub quiet: bool,
}

/// Names with their arguments.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Names(pub Vec<String>);

/// A setup in a file.
fn setup(path: &str) -> Result<Setup, String> {
    let setup = Setup::read(path).map_err(|e| e.to_string())?;
    setup.check(&TrainConfig::default()).map_err(|e| e.to_string())?;
    Ok(setup)
}

/// Known strategies; their arguments are read when they are made.
fn strategies(list: &str) -> Result<Names, String> {
    let names = split_list(list);
    for name in &names {
        let mut parts = name.split('+');
        strategy::registry().get(parts.next().unwrap_or_default()).map_err(|e| e.to_string())?;
        for other in parts.filter(|other| strategy::registry().get(other).is_err()) {
            Collect::registry().get(other).map_err(|e| e.to_string())?;
        }
    }
    Ok(Names(names))
}

/// Known combinations; their arguments are read when they are made.
fn combinations(list: &str) -> Result<Names, String> {
    known(evaluate::combinations(), list)
}

/// Known metrics; their arguments are read when they are made.
fn metric_names(list: &str) -> Result<Names, String> {
    known(metrics::registry(), list)
}

fn known<T>(registry: &Registry<T>, list: &str) -> Result<Names, String> {
    let names = split_list(list);
    for name in &names {
        registry.get(name).map_err(|e| e.to_string())?;
    }
    Ok(Names(names))
}

/// All strategies, combinations and metrics.
pub fn help() -> String {
    let strategies = strategy::registry().help();
    let combinations = evaluate::combinations().help();
    let metrics = metrics::registry().help();
    format!("Strategies:\n{strategies}\nCombinations:\n{combinations}\nMetrics:\n{metrics}")
}

impl Args {
    /// The arguments of this process.
    pub fn read() -> Result<Self, Failure> {
        parse()
    }

    /// Checks that the folders of the output files exist, before the networks are trained.
    pub fn check(&self) -> Result<()> {
        check_folders([
            ("--json", self.json.as_deref()),
            ("--html", self.html.as_deref()),
            ("--chart", Some(&*self.chart)),
        ])
    }

    /// The strategies with their names, whose number of members is `--members` where they do not say it
    /// themselves.
    pub fn strategies(&self) -> Result<Vec<(String, Box<dyn EnsembleBuilder>)>> {
        let members = ["runs", "k", "folds", "epochs", "cycles"].map(|name| (name, self.members.to_string()));
        let make = |text: &String| {
            // Within the runs of another strategy, a rule for collecting members has its own defaults.
            let settings = if text.contains('+') { &members[..3] } else { &members[..] };
            Ok((text.clone(), self.made(text, settings)?))
        };
        self.strategy_names().iter().map(make).collect()
    }

    /// The strategy of the single networks.
    pub fn baseline(&self) -> Result<Box<dyn EnsembleBuilder>> {
        self.made("multi-run", &[("runs", self.members.to_string())])
    }

    /// A strategy with the settings of `--settings`.
    fn made(&self, text: &str, arguments: &[(&str, String)]) -> Result<Box<dyn EnsembleBuilder>> {
        let Some(setup) = &self.settings else { return strategy::parse_with(text, arguments) };
        let validation = setup.validation.map(|share| ("validation", share.to_string()));
        let arguments: Vec<_> = arguments.iter().cloned().chain(validation).collect();
        Ok(setup.with_settings(strategy::parse_with(text, &arguments)?))
    }

    /// The names of the strategies. The usual ones collect no more members than there are epochs.
    fn strategy_names(&self) -> Vec<String> {
        if let Some(names) = &self.strategy {
            return names.0.clone();
        }
        if let Some(strategy) = self.settings.as_ref().and_then(|setup| setup.strategy.clone()) {
            return vec![strategy];
        }
        let set = self.settings.as_ref().and_then(|setup| setup.settings.count("epochs").ok().flatten());
        let epochs = self.budget_epochs.or(set).unwrap_or(self.network.epochs);
        let mut names = vec!["multi-run".to_string(), "bootstrap".into()];
        names.extend((self.members > 1).then(|| "k-fold".to_string()));
        names.push(match epochs < self.members {
            true => format!("horizontal:{epochs}"),
            false => "horizontal".into(),
        });
        names.push(format!("snapshot:{}", epochs.min(5)));
        names
    }

    /// The combinations for this task, with their names. With several data sets, those of the other task are left
    /// out.
    pub fn combinations(&self, task: Task) -> Result<Vec<(String, Combination)>> {
        let usual = match task {
            Task::Regression { .. } => "mean,simplex-squares,stack-ridge,average-weights",
            Task::Classification { .. } => "mean,simplex-log-loss,stack-logistic,average-weights",
        };
        let set = self.settings.as_ref().and_then(|setup| setup.combination.as_deref());
        let names = self.combine.clone().unwrap_or_else(|| Names(split_list(set.unwrap_or(usual))));
        self.of_task("--combine", "combinations", evaluate::combinations(), &names, task)
    }

    /// The metrics for this task; none where the usual ones are meant.
    pub fn metrics(&self, task: Task) -> Result<Option<MetricList>> {
        let Some(names) = &self.metrics else { return Ok(None) };
        let metrics = self.of_task("--metrics", "metrics", metrics::registry(), names, task)?;
        MetricList::new(metrics.into_iter().map(|(_, metric)| metric).collect()).map(Some)
    }

    fn of_task<T>(
        &self,
        flag: &str,
        what: &str,
        registry: &Registry<T>,
        names: &Names,
        task: Task,
    ) -> Result<Vec<(String, T)>> {
        let goes = |entry: &Entry<T>| match task {
            Task::Regression { .. } => entry.tasks().regression(),
            Task::Classification { .. } => entry.tasks().classification(),
        };
        let (mut made, several) = (vec![], self.table.data_sets().len() > 1);
        for name in &names.0 {
            let entry = registry.get(name)?;
            match goes(entry) {
                true => made.push((name.clone(), registry.parse(name)?)),
                false if several => {}
                false => {
                    let of = if matches!(task, Task::Regression { .. }) { "values" } else { "classes" };
                    return Err(Error::invalid(flag, format!("{what} for {of} (see --list)"), entry.name()));
                }
            }
        }
        match made.is_empty() {
            true => {
                Err(Error::invalid(flag, format!("{what} that go with every data set"), names.0.join(",")))
            }
            false => Ok(made),
        }
    }

    /// The settings, for the JSON file. Threads and file names are left out: they change no figure.
    pub fn settings(&self, prepared: &Prepared) -> Result<serde_json::Value> {
        let mut settings = serde_json::to_value(self).unwrap_or_default();
        settings["data"] = serde_json::json!(prepared.source);
        settings["task"] = serde_json::json!(prepared.task);
        settings["target"] = serde_json::json!(prepared.target);
        settings["strategy"] = serde_json::json!(self.strategy_names());
        let combinations = self.combinations(prepared.train_task())?;
        settings["combine"] =
            serde_json::json!(combinations.iter().map(|(name, _)| name).collect::<Vec<_>>());
        if self.table.train_rows.is_some() {
            settings["test_fraction"] = serde_json::Value::Null;
        }
        Ok(settings)
    }
}
