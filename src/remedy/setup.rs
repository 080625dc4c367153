//! How a network is trained and used, as data.
use crate::{
    check,
    data::Dataset,
    evaluate::{combinations, Combination},
    files,
    plan::{Collect, Plan, Settings},
    remedy::plain::not_json,
    strategy::{self, EnsembleBuilder},
    train::TrainConfig,
    Error, Result, Seed,
};
use std::{fs, path::Path};

/// How networks are trained and combined: settings of the runs, a strategy and a combination.
///
/// It is what a remedy changes, and what an improvement leaves behind as a file. The trainer gives everything
/// that the setup does not name. In JSON, a setup is
///
/// ```json
/// {
///   "settings": {"learning_rate": 0.01, "schedule": "cosine", "epochs": 60},
///   "strategy": "bootstrap:10",
///   "combination": "mean",
///   "validation": 0.15
/// }
/// ```
///
/// where each key may be left out. The settings are those of a run: the ones that
/// [`TrainConfig`](crate::train::TrainConfig) lists, and the ones that the model's constructor reads.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, plan::Settings, remedy::Setup, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 32., &Device::Cpu)?.affine(1. / 16., -1.)?.reshape((32, 1))?;
/// let data = TensorDataset::regression(x.clone(), &x.squeeze(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(1, 1, vb));
///
/// let mut setup = Setup::default();
/// setup.settings = Settings::new().with("learning_rate", 0.01).with("epochs", 5);
/// setup.strategy = Some("bootstrap:3".into());
/// setup.check(trainer.config())?;
/// let pool = Session::new(&trainer, &data).fit(&*setup.strategy()?, 42)?;
/// assert_eq!(pool.members().len(), 3);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setup {
    /// The settings of every run, which replace those of the trainer.
    pub settings: Settings,
    /// How members are trained, as in [`strategy::parse`](crate::strategy::parse), such as `bootstrap:10`.
    /// `None` trains a single network on all rows.
    pub strategy: Option<String>,
    /// How members are combined, as in [`combinations`](crate::evaluate::combinations()), such as `mean`.
    /// `None` is the mean of the members' predictions.
    pub combination: Option<String>,
    /// The share of each run's rows that early stopping and reduction on plateaus watch, between 0 and 1. No
    /// run trains on its validation rows, so set it only where a setting needs it. A share that the
    /// strategy's text has comes first.
    pub validation: Option<f64>,
}

/// One network on all rows.
const SINGLE: &str = "multi-run:1";

impl Setup {
    /// Reads a setup from a file in JSON.
    ///
    /// # Errors
    /// When the file cannot be read, is not JSON, or has an unknown key or a value of the wrong type. The
    /// error names the file and the key.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let json = serde_json::from_str(&text).map_err(|e| not_json(path.display().to_string(), e))?;
        Self::of_json(json).map_err(|e| match e {
            Error::Invalid { what, must, got } => {
                Error::Invalid { what: format!("{what} in {}", path.display()), must, got }
            }
            e => e,
        })
    }

    /// Writes the setup to a file in JSON, whole or not at all.
    ///
    /// ```
    /// use candle_ensemble::{plan::Settings, remedy::Setup};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("setup.json");
    /// let mut setup = Setup::default();
    /// setup.settings = Settings::new().with("schedule", "cosine").with("epochs", 60);
    /// setup.write(&path)?;
    /// assert_eq!(Setup::read(&path)?, setup);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the file cannot be written, or a setting is NaN or infinite.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::invalid("the setup", "writable as JSON", format!("not: {e}")))?;
        files::write_whole(path, (text + "\n").as_bytes())
    }

    /// The configuration of a trainer with these settings. Settings that the model's constructor reads have
    /// no effect on it.
    ///
    /// # Errors
    /// When a setting has the wrong type, or its text cannot be read.
    pub fn config(&self, trainer: &TrainConfig) -> Result<TrainConfig> {
        trainer.for_run(&self.settings)
    }

    /// Checks what can be checked without data and networks: the strategy, the combination, the validation
    /// share, and the settings that the trainer reads. A session checks the rest before it trains.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names what is wrong.
    pub fn check(&self, trainer: &TrainConfig) -> Result<()> {
        self.strategy()?;
        self.combination()?;
        let config = self.config(trainer)?;
        self.collect()?.check(config.epochs)
    }

    /// The strategy, which gives the settings to each of its runs. Settings that the strategy itself assigns
    /// to a run come first, such as the number of inputs where it draws features.
    ///
    /// # Errors
    /// When the strategy's text cannot be read, or the validation share is not between 0 and 1.
    pub fn strategy(&self) -> Result<Box<dyn EnsembleBuilder>> {
        let given = match self.validation {
            Some(share) => {
                check::share("the validation share", share)?;
                vec![("validation", share.to_string())]
            }
            None => vec![],
        };
        Ok(self.with_settings(strategy::parse_with(&self.runs_and_collect(), &given)?))
    }

    /// Another strategy, which gives the settings of this setup to each of its runs, as
    /// [`strategy`](Self::strategy) does.
    #[must_use]
    pub fn with_settings(&self, builder: Box<dyn EnsembleBuilder>) -> Box<dyn EnsembleBuilder> {
        Box::new(WithSettings { builder, settings: self.settings.clone() })
    }

    /// The combination of the members.
    ///
    /// # Errors
    /// When its text cannot be read.
    pub fn combination(&self) -> Result<Combination> {
        combinations().parse(self.combination.as_deref().unwrap_or("mean"))
    }

    /// The text of a strategy that has runs: a rule for collecting members by itself has one run.
    pub(super) fn runs_and_collect(&self) -> String {
        match self.strategy.as_deref().map(str::trim) {
            None => SINGLE.into(),
            Some(text) if Collect::registry().get(text).is_ok() => format!("{SINGLE}+{text}"),
            Some(text) => text.into(),
        }
    }

    /// When members are collected within a run.
    pub(super) fn collect(&self) -> Result<Collect> {
        strategy::collect_in(&self.runs_and_collect())
    }
}

/// A strategy whose runs have further settings.
#[derive(Debug)]
struct WithSettings {
    builder: Box<dyn EnsembleBuilder>,
    settings: Settings,
}

impl EnsembleBuilder for WithSettings {
    fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan> {
        let mut plan = self.builder.plan(data, architectures, seed)?;
        for run in &mut plan.runs {
            run.settings = self.settings.clone().with_all(run.settings.iter());
        }
        Ok(plan)
    }

    fn name(&self) -> String {
        self.builder.name()
    }
}
