//! Whether a network can fit a single batch.
use super::table::{Table, Targets};
use crate::{
    codec::real,
    data::{Dataset, Task},
    observe::{Event, Flow, Observer},
    plan::{BatchSize, Collect, LrSchedule, RunSpec},
    resample::PlannedRows,
    store::EpochRecord,
    train::{
        train_run, Configured, Constraints, Loss, Noises, Regularizers, RunParts, TrainConfig, Trainer,
        Unfreeze,
    },
    Error, Network, Result, Rows,
};
use candle_core::Device;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// Trains a network on one batch of rows, over and over. A network that cannot fit a few rows cannot fit many.
///
/// ```text
/// fitted: every class right, or R² ≥ 0.99 for values, in evaluation mode after one of the steps;
///         for rows with several positions 99 % of their classes or labels
/// ```
///
/// The optimizer, the loss, clipping, scaling, initial weights and frozen variables are the trainer's. What keeps a
/// network from fitting is off: penalties, weight decay, constraints, noise, label smoothing, the schedule, early
/// stopping, and the setting `dropout`, if the constructor reads it. Dropout that is fixed in the constructor stays. If
/// the learning rate of the trainer does not fit the batch, ten times and a tenth of it are tried.
///
/// The rows are drawn from the training rows of the run, with different inputs and, for classes, as many of each class as
/// possible.
///
/// Use it when the training loss does not fall: a failure means a fault of the network, its initial weights or its loss,
/// and not one of the data or of the number of epochs.
///
/// Cost: for each learning rate, at most as many steps, each with a forward pass for the evaluation.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, diagnose::OneBatchTest, plan::RunSpec, train::{Optimizer, Trainer}, Seed};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).optimizer(Optimizer::adam(0.01));
/// let run = RunSpec::new(0, "model", Seed::from(1), 0..20);
/// let report = OneBatchTest::default().run(&trainer, &data, &run, &Device::Cpu)?;
/// assert!(report.fitted());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Karpathy 2019, "A Recipe for Training Neural Networks" (overfit one batch).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OneBatchTest {
    /// The number of rows, at least 2. Default 32.
    pub rows: usize,
    /// The most steps with each learning rate, at least 1. Default 1000.
    pub steps: usize,
}

impl Default for OneBatchTest {
    fn default() -> Self {
        Self { rows: 32, steps: 1000 }
    }
}

/// The result of a [`OneBatchTest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OneBatchReport {
    /// The number of rows.
    pub rows: usize,
    /// Whether scores are accuracies; otherwise they are `R²`.
    pub classes: bool,
    /// The trainings, with the trainer's learning rate first.
    pub trainings: Vec<OneBatchTraining>,
}

/// The training on one batch with one learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneBatchTraining {
    /// The learning rate.
    #[serde(with = "real")]
    pub learning_rate: f64,
    /// The number of steps that were done.
    pub steps: usize,
    /// The loss before the first step.
    #[serde(with = "real")]
    pub first_loss: f64,
    /// The smallest loss in evaluation mode.
    #[serde(with = "real")]
    pub loss: f64,
    /// The best accuracy or `R²`.
    #[serde(with = "real")]
    pub score: f64,
    /// Whether the network has fitted the batch.
    pub fitted: bool,
    /// Whether the training diverged.
    pub diverged: bool,
}

/// From this accuracy or `R²` on, a batch is fitted.
const FITTED: f64 = 0.99;
/// The factors of the learning rate, in the order in which they are tried.
const FACTORS: [f64; 3] = [1., 10., 0.1];

impl OneBatchReport {
    /// Whether the network has fitted the batch with one of the learning rates.
    #[must_use]
    pub fn fitted(&self) -> bool {
        self.trainings.iter().any(|training| training.fitted)
    }

    /// The training with the highest score; the first one of equal scores.
    #[must_use]
    pub fn best(&self) -> Option<&OneBatchTraining> {
        self.trainings.iter().reduce(|best, next| if next.score > best.score { next } else { best })
    }
}

impl OneBatchTest {
    /// Sets the number of rows.
    #[must_use]
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// Sets the most steps with each learning rate.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Runs the test on training rows of a run, with its architecture, seed, features and settings.
    ///
    /// # Errors
    /// When a parameter is out of range, the trainer cannot carry out the run, or the data cannot be read.
    pub fn run<N: Network>(
        &self,
        trainer: &Trainer<N>,
        data: &dyn Dataset,
        run: &RunSpec,
        device: &Device,
    ) -> Result<OneBatchReport> {
        for (what, value, least) in
            [("OneBatchTest::rows", self.rows, 2), ("OneBatchTest::steps", self.steps, 1)]
        {
            if value < least {
                return Err(Error::invalid(what, format!("at least {least}"), value));
            }
        }
        let (rows, goal) = self.choose(data, run)?;
        let mut settings = run.settings.clone();
        if trainer.reads().iter().any(|name| name == "dropout") {
            settings = settings.with("dropout", 0.);
        }
        let seed = run.seed.child("one batch");
        let (valid, collect) = (PlannedRows::from(&rows), Collect::default());
        let run = RunSpec { train: valid.clone(), valid, collect, settings, seed, ..run.clone() };
        let own = trainer.config().for_run(&run.settings)?;
        let mut trainings = vec![];
        for factor in FACTORS {
            let config = self.config(own.clone(), factor);
            trainer.check_as(&config, &run, data)?;
            let learner = Configured { trainer, config, purpose: "one batch" };
            let training = train(&learner, data, &run, device, goal)?;
            trainings.push(training);
            if training.fitted {
                break;
            }
        }
        let classes = matches!(data.task(), Task::Classification { .. });
        Ok(OneBatchReport { rows: rows.len(), classes, trainings })
    }

    /// The configuration without what keeps a network from fitting.
    fn config(&self, mut config: TrainConfig, factor: f64) -> TrainConfig {
        config.optimizer.set_learning_rate(factor * config.optimizer.learning_rate());
        config.optimizer.set_weight_decay(0.);
        (config.epochs, config.batch_size, config.shuffle) = (self.steps, BatchSize::Full, false);
        config.schedule = LrSchedule::default();
        (config.early_stopping, config.plateau) = (None, None);
        config.unfreeze = Unfreeze::Never;
        config.parameter_groups = config.parameter_groups.without_schedules().without_weight_decays();
        (config.averaging, config.monitor) = (None, None);
        (config.regularizers, config.constraints) = (Regularizers::default(), Constraints::default());
        config.noise = Noises::default();
        if let Some(Loss::CrossEntropy { smoothing }) = &mut config.loss {
            *smoothing = 0.;
        }
        config
    }

    /// Rows with different inputs, of all classes alike, and what it means to fit them.
    fn choose(&self, data: &dyn Dataset, run: &RunSpec) -> Result<(Rows, Goal)> {
        let mut order = run.train.bitmap()?.to_vec();
        order.shuffle(&mut run.seed.child("one batch rows").rng());
        order.truncate(self.rows.saturating_mul(8));
        let table = Table::read(data, &order)?;
        let (mut inputs, mut of_class) = (BTreeSet::new(), BTreeMap::<u32, usize>::new());
        let mut chosen: Vec<(usize, usize)> = vec![];
        for row in 0..table.len() {
            if !inputs.insert(table.row(row).map(f64::to_bits).collect::<Vec<_>>()) {
                continue;
            }
            let class = match &table.targets {
                Targets::Classes(ids, _) => ids.get(row).copied().unwrap_or_default(),
                // A row with several positions has classes of all kinds.
                Targets::Values(_) | Targets::Shares(_) => 0,
            };
            let number = of_class.entry(class).or_default();
            chosen.push((*number, row));
            *number += 1;
        }
        chosen.sort_unstable();
        chosen.truncate(self.rows);
        let rows: Rows = chosen.iter().filter_map(|(_, row)| table.rows.get(*row).copied()).collect();
        let goal = match &table.targets {
            Targets::Classes(..) | Targets::Shares(_) => Goal::Classes,
            Targets::Values(outputs) => {
                let variance = |values: &Vec<f64>| {
                    let values: Vec<f64> =
                        chosen.iter().filter_map(|(_, row)| values.get(*row).copied()).collect();
                    let mean = values.iter().sum::<f64>() / values.len() as f64;
                    values.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / values.len() as f64
                };
                let variances = outputs.iter().map(variance).sum::<f64>();
                Goal::Values { variance: variances / outputs.len().max(1) as f64 }
            }
        };
        Ok((rows, goal))
    }
}

/// What it means to fit the rows.
#[derive(Clone, Copy)]
enum Goal {
    Classes,
    Values { variance: f64 },
}

impl Goal {
    /// The accuracy or `R²` of a metric of an epoch: an accuracy, or a root mean squared error.
    fn score(self, metric: f64) -> f64 {
        match self {
            Self::Classes => metric,
            // Equal targets have no variance: an error of a thousandth is a fit.
            Self::Values { variance } => 1. - metric.powi(2) / variance.max(1e-4),
        }
    }
}

fn train<N: Network>(
    learner: &Configured<'_, N>,
    data: &dyn Dataset,
    run: &RunSpec,
    device: &Device,
    goal: Goal,
) -> Result<OneBatchTraining> {
    let watch = Watch { goal, records: Mutex::new(vec![]) };
    let parts = RunParts {
        data,
        spec: run,
        device,
        observer: &watch,
        checkpoints: None,
        store_member: &|_, _| Ok(()),
        after_step: None,
    };
    let diverged = match train_run(learner, parts) {
        Ok(_) | Err(Error::Cancelled { .. }) => false,
        Err(Error::Diverged { .. } | Error::NotFinite { .. }) => true,
        Err(e) => return Err(e),
    };
    let records = watch.records.into_inner().unwrap_or_else(PoisonError::into_inner);
    let scores = records.iter().filter_map(|record| record.valid_metric).map(|metric| goal.score(metric));
    let score = scores.fold(f64::NEG_INFINITY, f64::max);
    let losses = records.iter().filter_map(|record| record.valid_loss);
    Ok(OneBatchTraining {
        learning_rate: learner.config.optimizer.learning_rate(),
        steps: records.len(),
        first_loss: records.first().map_or(f64::NAN, |record| record.train_loss),
        loss: losses.fold(f64::INFINITY, f64::min),
        score,
        fitted: score >= FITTED,
        diverged,
    })
}

/// Stops the training when the rows are fitted.
struct Watch {
    goal: Goal,
    records: Mutex<Vec<EpochRecord>>,
}

impl Observer for Watch {
    fn notify(&self, event: &Event<'_>) -> Flow {
        let Event::EpochEnded { record, .. } = event else { return Flow::Continue };
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push((*record).clone());
        match record.valid_metric.is_some_and(|metric| self.goal.score(metric) >= FITTED) {
            true => Flow::Stop,
            false => Flow::Continue,
        }
    }
}
