//! What a remedy starts from.
use crate::{
    data::Task,
    diagnose::ScaleCheck,
    network::Output,
    plan::{RunSpec, Settings, Value},
    remedy::{Change, Setup},
    train::{RangeTestReport, TrainConfig},
    Result, Seed,
};

/// What is to be changed: the trainer, the setup, and what is known about model and data.
///
/// ```
/// use candle_ensemble::{data::Task, plan::Settings, remedy::{Setup, Start}, train::TrainConfig};
///
/// let trainer = TrainConfig::default();
/// let mut setup = Setup::default();
/// setup.settings = Settings::new().with("epochs", 60).with("hidden", "64,32");
/// let task = Task::Classification { classes: 3 };
/// let start = Start::new(&trainer, &setup)?.reads(["hidden"]).task(task).rows(400);
/// assert_eq!(start.config.epochs, 60);
/// assert_eq!(start.text("hidden").as_deref(), Some("64,32"));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Start<'a> {
    /// The trainer's own configuration.
    pub trainer: &'a TrainConfig,
    /// The setup.
    pub setup: &'a Setup,
    /// The trainer's configuration with the settings of the setup.
    pub config: TrainConfig,
    /// The settings that the model's constructor reads, such as `hidden`, `dropout`, `activation` and
    /// `batch_norm`.
    pub reads: Vec<String>,
    /// What the networks output for classes.
    pub output: Output,
    /// The task.
    pub task: Option<Task>,
    /// The number of rows that a run trains on, its validation rows included.
    pub rows: Option<usize>,
    /// The number of input columns.
    pub features: Option<usize>,
    /// A learning-rate range test of the setup.
    pub range_test: Option<&'a RangeTestReport>,
    /// The scales of inputs and targets before the trainer scales them.
    pub scales: Option<&'a ScaleCheck>,
}

/// Validation rows below which early stopping follows noise.
const FEW_ROWS: usize = 200;

impl<'a> Start<'a> {
    /// A trainer's configuration and a setup. The other fields are not known before they are set.
    ///
    /// # Errors
    /// When a setting of the setup cannot be read.
    pub fn new(trainer: &'a TrainConfig, setup: &'a Setup) -> Result<Self> {
        let config = setup.config(trainer)?;
        let (reads, output) = (vec![], Output::default());
        let (task, rows, features, range_test, scales) = (None, None, None, None, None);
        Ok(Self { trainer, setup, config, reads, output, task, rows, features, range_test, scales })
    }

    /// Names the settings that the model's constructor reads.
    #[must_use]
    pub fn reads<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.reads = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets what the networks output for classes. The default is logits.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Sets the task.
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        self.task = Some(task);
        self
    }

    /// Sets the number of rows that a run trains on.
    #[must_use]
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = Some(rows);
        self
    }

    /// Sets the number of input columns.
    #[must_use]
    pub fn features(mut self, columns: usize) -> Self {
        self.features = Some(columns);
        self
    }

    /// Gives the result of a learning-rate range test.
    #[must_use]
    pub fn range_test(mut self, report: &'a RangeTestReport) -> Self {
        self.range_test = Some(report);
        self
    }

    /// Gives the scales of inputs and targets. Without them it is not known whether scaling changes anything.
    #[must_use]
    pub fn scales(mut self, scales: &'a ScaleCheck) -> Self {
        self.scales = Some(scales);
        self
    }

    /// Whether the model's constructor reads a setting.
    #[must_use]
    pub fn can_set(&self, name: &str) -> bool {
        self.reads.iter().any(|read| read == name)
    }

    /// The value that the setup gives a setting.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.setup.settings.iter().find(|(set, _)| *set == name).map(|(_, value)| value)
    }

    /// The value that the setup gives a setting, as text: `64,32`, or `64` for a number.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| match value {
            Value::Text(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// The share of each run's rows for settings that watch validation rows: that of the setup or, if it has
    /// none, 15 %, or 25 % of few rows.
    #[must_use]
    pub fn validation(&self) -> f64 {
        let few = self.rows.is_some_and(|rows| rows < FEW_ROWS);
        self.setup.validation.unwrap_or(if few { 0.25 } else { 0.15 })
    }

    /// Whether the task is to predict classes. `false` if the task is not known.
    #[must_use]
    pub fn classes(&self) -> bool {
        matches!(self.task, Some(Task::Classification { .. }))
    }

    /// Whether the task is to predict values. `false` if the task is not known.
    #[must_use]
    pub fn values(&self) -> bool {
        matches!(self.task, Some(Task::Regression { .. }))
    }

    /// Whether a change has an effect: it has to be done by hand, or it leads to another configuration,
    /// another strategy or other settings of the model. A change that cannot be read has none.
    #[must_use]
    pub fn changes(&self, change: &Change) -> bool {
        if change.by_hand.is_some() {
            return true;
        }
        let setup = change.apply(self.setup);
        let Ok(config) = setup.config(self.trainer) else { return false };
        config != self.config
            || (&setup.strategy, &setup.combination, setup.validation)
                != (&self.setup.strategy, &self.setup.combination, self.setup.validation)
            || self.of_model(&setup.settings) != self.of_model(&self.setup.settings)
    }

    /// Checks that a trainer accepts the setup after a change, as far as that can be known without the data.
    ///
    /// # Errors
    /// When a setting is unknown or cannot be read, or settings do not go together, such as early stopping
    /// without validation rows.
    pub fn check(&self, change: &Change) -> Result<()> {
        let setup = change.apply(self.setup);
        setup.check(self.trainer)?;
        let mut run = RunSpec::new(0, "", Seed::from(0), vec![0]);
        run.collect = setup.collect()?;
        if setup.validation.is_some() || setup.runs_and_collect().contains("validation=") {
            run.valid = vec![1].into();
        }
        let task = self.task.unwrap_or(Task::Regression { outputs: 1 });
        let mut config = setup.config(self.trainer)?;
        if self.task.is_none() {
            // What depends on the task cannot be checked.
            (config.loss, config.target_scaling) = (None, None);
        }
        config.check(&run, task, self.output)
    }

    /// The settings that the constructor reads.
    fn of_model(&self, settings: &Settings) -> Settings {
        Settings::new().with_all(settings.iter().filter(|(name, _)| self.can_set(name)))
    }
}
