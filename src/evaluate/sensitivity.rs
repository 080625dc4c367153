//! How the validation loss depends on the learning rate and the batch size.
#[cfg(feature = "charts")]
use crate::chart::HeatTable;
use crate::{
    check::positive,
    data::{Dataset, Split},
    exec::{self, Executor},
    observe::{Event, Flow, Observer, Silent},
    plan::{BatchSize, RunSpec, Settings},
    statistics::Summary,
    store::EpochRecord,
    train::{check_run, train_observed, Learner},
    Error, Result, Seed,
};
use candle_core::Device;
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::OnceLock, time::Instant};

/// Trains networks at each pair of a learning rate and a batch size, several from different seeds, and
/// compares their validation losses.
///
/// All runs train on the same rows. The runs of one repeat have the same seed, and so the same initial
/// weights, at every pair. A run that diverges is a result: the [`SensitivityReport`] counts it.
///
/// The rates and sizes replace the learner's through the settings `"learning_rate"` and `"batch_size"` of the
/// runs, which the ready-made [`Trainer`](crate::train::Trainer) reads. Its schedule and its number of epochs
/// stay. With the same number of epochs larger batches make fewer steps, which is part of what is compared.
///
/// Use it to choose both for a new model, with rates a factor of 2 to 10 apart around the suggestion of a
/// [`RangeTest`](crate::train::RangeTest). Look for a broad region of low losses rather than the lowest
/// number: with 3 repeats, neighbours often differ by less than their spread. The best loss over the epochs
/// is optimistic, because the validation rows chose the epoch. Do not report it as the error of the model.
///
/// Cost: rates × sizes × repeats trainings, in parallel on the cores of the CPU.
///
/// # Errors
/// When a parameter is out of range; when the learner does not read the settings; when a run fails for
/// another reason than divergence; when no run finishes although a number was not finite for another reason
/// than its learning rate.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, evaluate::Sensitivity, train::{Optimizer, Trainer}};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((40, 1))?;
/// let data = TensorDataset::regression(x.clone(), &x.affine(2., 1.)?.squeeze(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(1, 1, vb)).optimizer(Optimizer::sgd(0.1)).epochs(5);
///
/// let report = Sensitivity::new(&trainer, &data)
///     .rates([0.01, 0.1, 1e6])
///     .batch_sizes([8, 32])
///     .repeats(2)
///     .run(42)?;
/// assert_eq!(report.cell(2, 0).unwrap().diverged, 2);
/// println!("{report}");
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone)]
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Sensitivity<'a, L> {
    learner: &'a L,
    data: &'a dyn Dataset,
    rates: Vec<f64>,
    batch_sizes: Vec<BatchSize>,
    repeats: usize,
    validation: f64,
    split: Option<Split>,
    settings: Settings,
    device: Device,
    executor: Option<&'a dyn Executor>,
    observer: &'a dyn Observer,
}

impl<'a, L: Learner> Sensitivity<'a, L> {
    /// A study with learning rates 10⁻⁴, 10⁻³, 10⁻² and 10⁻¹, batch sizes 16, 64 and 256, 3 repeats, and a
    /// fifth of the rows for validation. It trains the learner's first architecture.
    pub fn new(learner: &'a L, data: &'a dyn Dataset) -> Self {
        Self {
            learner,
            data,
            rates: vec![1e-4, 1e-3, 1e-2, 1e-1],
            batch_sizes: [16, 64, 256].map(BatchSize::Fixed).to_vec(),
            repeats: 3,
            validation: 0.2,
            split: None,
            settings: Settings::new(),
            device: Device::Cpu,
            executor: None,
            observer: &Silent,
        }
    }

    /// Sets the learning rates.
    #[must_use]
    pub fn rates(mut self, rates: impl IntoIterator<Item = f64>) -> Self {
        self.rates = rates.into_iter().collect();
        self
    }

    /// Sets the batch sizes.
    #[must_use]
    pub fn batch_sizes<S: Into<BatchSize>>(mut self, sizes: impl IntoIterator<Item = S>) -> Self {
        self.batch_sizes = sizes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the number of trainings at each pair, from different seeds.
    #[must_use]
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// Sets the share of the rows on which the loss is measured. They are drawn once from the seed, by
    /// [`Split::of`].
    #[must_use]
    pub fn validation(mut self, share: f64) -> Self {
        self.validation = share;
        self
    }

    /// Sets the rows to train on, and as test rows those on which the loss is measured.
    #[must_use]
    pub fn split(mut self, split: Split) -> Self {
        self.split = Some(split);
        self
    }

    /// Sets other settings of all runs, such as `"epochs"`.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the device on which networks train; the default is the CPU.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// Sets how many runs train at a time. The default is one on each core of the CPU, and on a GPU one after
    /// the other.
    #[must_use]
    pub fn executor(mut self, executor: &'a dyn Executor) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Sets an observer, such as a [`ProgressBar`](crate::ProgressBar).
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Trains the networks.
    ///
    /// # Errors
    /// See [`Sensitivity`].
    pub fn run(&self, seed: impl Into<Seed>) -> Result<SensitivityReport> {
        self.check()?;
        let seed = seed.into().child("sensitivity");
        let split = match &self.split {
            Some(split) => split.clone(),
            None => Split::of(self.data, self.validation, seed)?,
        };
        let runs = self.runs(&split, seed);
        for run in &runs {
            check_run(self.learner, run, self.data)?;
        }
        let outcomes = self.outcomes(&runs)?;
        let cells = self.cells(&outcomes)?;
        let (rates, batch_sizes) = (self.rates.clone(), self.batch_sizes.clone());
        let (train_rows, valid_rows) = (split.train.len(), split.test.len());
        Ok(SensitivityReport { rates, batch_sizes, repeats: self.repeats, train_rows, valid_rows, cells })
    }

    fn check(&self) -> Result<()> {
        for (what, empty) in [
            ("the learning rates of the study", self.rates.is_empty()),
            ("the batch sizes of the study", self.batch_sizes.is_empty()),
            ("the repeats of the study", self.repeats == 0),
        ] {
            if empty {
                return Err(Error::invalid(what, "at least 1", 0));
            }
        }
        self.rates.iter().try_for_each(|rate| positive("a learning rate of the study", *rate))?;
        self.batch_sizes.iter().try_for_each(BatchSize::check)
    }

    /// The pairs, in the order of the report.
    fn pairs(&self) -> impl Iterator<Item = (f64, &BatchSize)> {
        self.rates.iter().flat_map(|rate| self.batch_sizes.iter().map(|size| (*rate, size)))
    }

    fn runs(&self, split: &Split, seed: Seed) -> Vec<RunSpec> {
        let architecture = self.learner.architectures().into_iter().next().unwrap_or_default();
        let mut runs = vec![];
        for (rate, size) in self.pairs() {
            for repeat in 0..self.repeats {
                let seed = seed.nth("repeat", repeat as u64);
                let mut run = RunSpec::new(runs.len(), &architecture, seed, split.train.clone());
                run.valid = (&split.test).into();
                run.settings =
                    self.settings.clone().with("learning_rate", rate).with("batch_size", size.clone());
                runs.push(run);
            }
        }
        runs
    }

    /// What became of each run, in their order.
    fn outcomes(&self, runs: &[RunSpec]) -> Result<Vec<Outcome>> {
        let done: Vec<OnceLock<Outcome>> = runs.iter().map(|_| OnceLock::new()).collect();
        let epochs_of = |run: &RunSpec| self.learner.epochs(run);
        let epochs = runs.iter().map(epochs_of).sum();
        self.notify(&Event::BuildStarted { runs: runs.len(), finished: 0, epochs, planned: epochs })?;
        let train = |run: &RunSpec| {
            let started = Instant::now();
            self.notify(&Event::RunStarted { run })?;
            let trained = train_observed(self.learner, self.data, run, &self.device, self.observer);
            let epochs = trained.as_ref().map_or(0, |(_, curve)| curve.len());
            let outcome = match trained {
                Ok((_, curve)) => Outcome::of(&curve)?,
                Err(e @ (Error::Diverged { .. } | Error::NotFinite { .. })) => Outcome::Failed(e),
                Err(e) => return Err(e.in_run(run.id)),
            };
            if let Some(place) = done.get(run.id) {
                // A run is trained once.
                let _ = place.set(outcome);
            }
            let (planned, elapsed) = (epochs_of(run), started.elapsed());
            self.notify(&Event::RunFinished { run, epochs, planned, elapsed })
        };
        let default = exec::default_for(&self.device);
        let executor = self.executor.unwrap_or(&*default);
        executor.execute(&runs.iter().collect::<Vec<_>>(), &train)?;
        self.notify(&Event::BuildFinished)?;
        let outcomes: Vec<Option<Outcome>> = done.into_iter().map(OnceLock::into_inner).collect();
        let missing = (0..).zip(&outcomes).filter(|(_, outcome)| outcome.is_none()).map(|(id, _)| id);
        let missing: Vec<usize> = missing.collect();
        if !missing.is_empty() {
            return Err(Error::Incomplete { missing, of: runs.len() });
        }
        let mut outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
        let finished = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Finished(_)));
        let other =
            outcomes.iter().position(|outcome| matches!(outcome, Outcome::Failed(Error::NotFinite { .. })));
        match other {
            // The data or the network is more likely to be the cause than every learning rate.
            Some(at) if !finished => match outcomes.swap_remove(at) {
                Outcome::Failed(e) => Err(e),
                Outcome::Finished(_) | Outcome::Infinite => Ok(outcomes),
            },
            _ => Ok(outcomes),
        }
    }

    fn notify(&self, event: &Event<'_>) -> Result<()> {
        match self.observer.notify(event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(Error::Cancelled { done: 0, of: 0 }),
        }
    }

    fn cells(&self, outcomes: &[Outcome]) -> Result<Vec<SensitivityCell>> {
        let of_pairs = outcomes.chunks(self.repeats).zip(self.pairs());
        of_pairs.map(|(outcomes, (rate, size))| SensitivityCell::of(rate, size, outcomes)).collect()
    }
}

/// What became of a run.
#[derive(Debug)]
enum Outcome {
    Finished(Figures),
    /// A loss on the validation rows is infinite.
    Infinite,
    Failed(Error),
}

/// The figures of a run's validation rows.
#[derive(Clone, Copy, Debug)]
struct Figures {
    last: (f64, f64),
    best: (f64, f64),
    best_epoch: usize,
}

impl Outcome {
    fn of(curve: &[EpochRecord]) -> Result<Self> {
        let figures = |record: &EpochRecord| Some((record.epoch, (record.valid_loss?, record.valid_metric?)));
        let epochs: Vec<(usize, (f64, f64))> = curve.iter().filter_map(figures).collect();
        let best = epochs.iter().min_by(|a, b| a.1 .0.total_cmp(&b.1 .0));
        match (epochs.last(), best) {
            (Some((_, last)), Some((best_epoch, best))) if last.0.is_finite() && last.1.is_finite() => {
                Ok(Self::Finished(Figures { last: *last, best: *best, best_epoch: *best_epoch }))
            }
            (Some(_), _) => Ok(Self::Infinite),
            (None, _) => {
                let must = "one that records the loss and the metric of the validation rows";
                Err(Error::invalid("the learner", must, "one that records none"))
            }
        }
    }
}

/// The result of a [`Sensitivity`] study, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SensitivityReport {
    /// The learning rates.
    pub rates: Vec<f64>,
    /// The batch sizes.
    pub batch_sizes: Vec<BatchSize>,
    /// Trainings at each pair.
    pub repeats: usize,
    /// Number of rows that were trained on.
    pub train_rows: usize,
    /// Number of rows on which the losses were measured.
    pub valid_rows: usize,
    /// One cell for each pair, by learning rate and then by batch size.
    pub cells: Vec<SensitivityCell>,
}

/// The trainings at one learning rate and batch size.
///
/// The summaries are over the runs that did not diverge, and `None` where all did. The metric is the one that
/// the learning curve records: the accuracy or the root mean squared error, unless early stopping watches
/// another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SensitivityCell {
    /// The learning rate.
    pub rate: f64,
    /// The batch size.
    pub batch_size: BatchSize,
    /// Number of runs that diverged.
    pub diverged: usize,
    /// Why the first of them did.
    pub why: Option<String>,
    /// The validation loss after the last epoch.
    pub last_loss: Option<Summary>,
    /// The smallest validation loss of all epochs.
    pub best_loss: Option<Summary>,
    /// The metric of the validation rows after the last epoch.
    pub last_metric: Option<Summary>,
    /// The metric of the validation rows in the epoch with the smallest loss.
    pub best_metric: Option<Summary>,
    /// The epoch with the smallest loss, from 0.
    pub best_epoch: Option<Summary>,
}

impl SensitivityCell {
    fn of(rate: f64, size: &BatchSize, outcomes: &[Outcome]) -> Result<Self> {
        let finished: Vec<Figures> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Finished(figures) => Some(*figures),
                Outcome::Infinite | Outcome::Failed(_) => None,
            })
            .collect();
        let why = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Finished(_) => None,
            Outcome::Infinite => Some("the loss of the validation rows is infinite".to_string()),
            Outcome::Failed(e) => Some(e.to_string()),
        });
        let summary = |of: fn(&Figures) -> f64| match finished.is_empty() {
            true => Ok(None),
            false => Summary::of(&finished.iter().map(of).collect::<Vec<_>>()).map(Some),
        };
        Ok(Self {
            rate,
            batch_size: size.clone(),
            diverged: outcomes.len() - finished.len(),
            why,
            last_loss: summary(|figures| figures.last.0)?,
            best_loss: summary(|figures| figures.best.0)?,
            last_metric: summary(|figures| figures.last.1)?,
            best_metric: summary(|figures| figures.best.1)?,
            best_epoch: summary(|figures| figures.best_epoch as f64)?,
        })
    }

    /// The summary of one of the figures.
    #[must_use]
    pub fn figure(&self, figure: SensitivityFigure) -> Option<Summary> {
        match figure {
            SensitivityFigure::LastLoss => self.last_loss,
            SensitivityFigure::BestLoss => self.best_loss,
            SensitivityFigure::LastMetric => self.last_metric,
            SensitivityFigure::BestMetric => self.best_metric,
        }
    }
}

/// A figure of a [`SensitivityCell`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SensitivityFigure {
    /// The validation loss after the last epoch.
    LastLoss,
    /// The smallest validation loss of all epochs.
    BestLoss,
    /// The metric after the last epoch.
    LastMetric,
    /// The metric in the epoch with the smallest loss.
    BestMetric,
}

impl SensitivityFigure {
    fn name(self) -> &'static str {
        match self {
            Self::LastLoss => "validation loss after the last epoch",
            Self::BestLoss => "smallest validation loss",
            Self::LastMetric => "metric of the validation rows after the last epoch",
            Self::BestMetric => "metric of the validation rows in the best epoch",
        }
    }
}

impl SensitivityReport {
    /// The cell of a learning rate and a batch size, by their numbers.
    #[must_use]
    pub fn cell(&self, rate: usize, batch_size: usize) -> Option<&SensitivityCell> {
        let columns = self.batch_sizes.len();
        if batch_size >= columns {
            return None;
        }
        self.cells.get(rate.checked_mul(columns)?.checked_add(batch_size)?)
    }

    /// The cell with the smallest mean of a loss among those where no run diverged.
    #[must_use]
    pub fn best(&self) -> Option<&SensitivityCell> {
        let safe = self.cells.iter().filter(|cell| cell.diverged == 0);
        let with_loss = safe.filter_map(|cell| Some((cell, cell.best_loss?.mean)));
        with_loss.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(cell, _)| cell)
    }

    /// One of the figures as a table: a row for each learning rate, a column for each batch size, and in each
    /// cell the mean and standard deviation over the runs that did not diverge.
    #[must_use]
    pub fn table(&self, figure: SensitivityFigure) -> String {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let sizes = self.batch_sizes.iter().map(|size| format!("batch size {}", size.text()));
        table.set_header(std::iter::once("learning rate".to_string()).chain(sizes));
        for (i, rate) in self.rates.iter().enumerate() {
            let cells = (0..self.batch_sizes.len()).filter_map(|j| self.cell(i, j));
            let texts = cells.map(|cell| self.text(cell, figure));
            table.add_row(std::iter::once(rate_text(*rate)).chain(texts));
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    fn text(&self, cell: &SensitivityCell, figure: SensitivityFigure) -> String {
        let Some(Summary { mean, sd, .. }) = cell.figure(figure) else { return "diverged".into() };
        let number = match mean.abs() {
            size if size == 0. || (1e-3..1e4).contains(&size) => format!("{mean:.4}"),
            _ => format!("{mean:.2e}"),
        };
        let spread = match sd {
            Some(sd) if sd == 0. || (1e-3..1e4).contains(&sd) => format!(" ± {sd:.4}"),
            Some(sd) => format!(" ± {sd:.1e}"),
            None => String::new(),
        };
        match cell.diverged {
            0 => number + &spread,
            n => format!("{number}{spread} ({n} of {} diverged)", self.repeats),
        }
    }

    /// One of the figures as a heat map. Cells in which a run diverged have no value.
    #[cfg(feature = "charts")]
    #[cfg_attr(docsrs, doc(cfg(feature = "charts")))]
    #[must_use]
    pub fn chart(&self, title: impl Into<String>, figure: SensitivityFigure) -> HeatTable {
        let value = |cell: &SensitivityCell| match cell.diverged {
            0 => cell.figure(figure).map(|summary| summary.mean),
            _ => None,
        };
        let columns = self.batch_sizes.len().max(1);
        HeatTable {
            title: title.into(),
            measure: figure.name().into(),
            rows: ("learning rate".into(), self.rates.iter().map(|rate| rate_text(*rate)).collect()),
            columns: ("batch size".into(), self.batch_sizes.iter().map(BatchSize::text).collect()),
            values: self.cells.chunks(columns).map(|row| row.iter().map(value).collect()).collect(),
            missing: "diverged".into(),
        }
    }
}

fn rate_text(rate: f64) -> String {
    match rate {
        rate if (1e-3..1e4).contains(&rate) => rate.to_string(),
        rate => format!("{rate:e}"),
    }
}

/// The smallest and the last validation losses as tables, and the best pair.
impl fmt::Display for SensitivityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repeats, train_rows, valid_rows, .. } = self;
        for figure in [SensitivityFigure::BestLoss, SensitivityFigure::LastLoss] {
            writeln!(
                f,
                "{} ({repeats} runs, {train_rows} training and {valid_rows} validation rows)",
                figure.name()
            )?;
            writeln!(f, "{}\n", self.table(figure))?;
        }
        match self.best() {
            Some(SensitivityCell { rate, batch_size, .. }) => {
                write!(
                    f,
                    "smallest loss: learning rate {}, batch size {}",
                    rate_text(*rate),
                    batch_size.text()
                )
            }
            None => f.write_str("runs diverged at every learning rate and batch size"),
        }
    }
}
