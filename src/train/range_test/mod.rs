//! The learning-rate range test.
mod report;
mod suggest;

pub use report::{RangeEnd, RangeTestReport};

use crate::{
    check::{below_one, positive, power},
    codec::real,
    data::Dataset,
    observe::{Flow, Silent},
    plan::{Collect, RunSpec, Schedule},
    resample::PlannedRows,
    train::{run::RunParts, train_run, Configured, Learner, TrainConfig, Trainer, Unfreeze},
    Error, Network, Result, Seed,
};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// Trains one network for a few steps at ever higher learning rates, to find the range of rates that it
/// learns at.
///
/// ```text
/// rate of step i = from · (to / from)^(i / (steps − 1))
/// smoothed loss  = m / (1 − β^(i + 1)),  m ← β · m + (1 − β) · loss
/// The test ends when the smoothed loss is stop_at times its minimum, or the training diverges.
/// ```
///
/// The steps are those of the trainer: its network, loss, optimizer, clipping and batch size. Its learning
/// rate, its schedule and its number of epochs are replaced. Early stopping, reduction on plateaus, averaging
/// and monitors are off. The [`RangeTestReport`] has the losses, three suggestions and a chart.
///
/// Use it before the first training with a new model, optimizer or batch size. A suggestion is a starting
/// point within a factor of about 3: the test sees only the first steps of a training, in which larger rates
/// are tolerated less, or more, than later. For Adam on small networks the loss may fall over the whole
/// range, and the suggestions are then too large; compare a few rates with a
/// [`Sensitivity`](crate::evaluate::Sensitivity) study. With noisy losses (small batches), take more steps. A
/// large `smoothing` delays the curve, and so moves suggestions to higher rates.
///
/// Cost: `steps` steps of a training.
///
/// # Errors
/// When a parameter is out of range, the trainer or the data is not fit for a training, or the first step
/// fails. Divergence is a result and not an error.
///
/// # Source
/// Smith 2017, arXiv:1506.01186; the smoothing and the suggestions are those of fast.ai's `lr_find`, but
/// that the steepest descent is measured over a fifth of the steps, because that between two steps is noise.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, train::{Optimizer, RangeTest, Trainer}};
///
/// let x = Tensor::arange(0f32, 64., &Device::Cpu)?.affine(1. / 32., -1.)?.reshape((64, 1))?;
/// let data = TensorDataset::regression(x.clone(), &x.affine(3., 1.)?.squeeze(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(1, 1, vb)).optimizer(Optimizer::sgd(0.1)).batch_size(64usize);
///
/// let report = RangeTest::default().run(&trainer, &data, 42)?;
/// println!("{report}");
/// let trainer = trainer.optimizer(Optimizer::sgd(report.suggestion.unwrap_or(0.1)));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangeTest {
    /// The first learning rate, above 0. Default 10⁻⁷.
    pub from: f64,
    /// The last learning rate, above `from`. Default 10.
    pub to: f64,
    /// The number of steps, at least 2. Default 100.
    pub steps: usize,
    /// The share `β` of the past in the smoothed loss, from 0 to less than 1. Default 0.98.
    pub smoothing: f64,
    /// The multiple of the smallest smoothed loss at which the test ends, above 1; infinity for a test that
    /// only ends when the training diverges. Default 4.
    #[serde(with = "real")]
    pub stop_at: f64,
}

impl Default for RangeTest {
    fn default() -> Self {
        Self { from: 1e-7, to: 10., steps: 100, smoothing: 0.98, stop_at: 4. }
    }
}

impl RangeTest {
    /// Runs the test on all rows of the data, with the trainer's first architecture, on the CPU.
    ///
    /// # Errors
    /// See [`RangeTest`].
    pub fn run<N: Network>(
        &self,
        trainer: &Trainer<N>,
        data: &dyn Dataset,
        seed: impl Into<Seed>,
    ) -> Result<RangeTestReport> {
        let architecture = trainer.architectures().into_iter().next().unwrap_or_default();
        let rows = 0..data.rows() as u32;
        let run = RunSpec::new(0, &architecture, seed.into().child("range test"), rows);
        self.run_on(trainer, data, &run, &Device::Cpu)
    }

    /// Runs the test on the training rows of a run, with its architecture, seed, features and settings, on a
    /// device. The run's learning rate and epochs have no effect.
    ///
    /// # Errors
    /// See [`RangeTest`].
    pub fn run_on<N: Network>(
        &self,
        trainer: &Trainer<N>,
        data: &dyn Dataset,
        run: &RunSpec,
        device: &Device,
    ) -> Result<RangeTestReport> {
        self.check()?;
        let run = RunSpec { valid: PlannedRows::none(), collect: Collect::default(), ..run.clone() };
        let config = self.config(trainer.config().for_run(&run.settings)?);
        let learner = Configured { trainer, config, purpose: "range test" };
        trainer.check_as(&learner.config, &run, data)?;
        let trace = RefCell::new(Trace::default());
        let parts = RunParts {
            data,
            spec: &run,
            device,
            observer: &Silent,
            checkpoints: None,
            store_member: &|_, _| Ok(()),
            after_step: Some(&|rate, loss| trace.borrow_mut().add(self, rate, loss)),
        };
        let trained = train_run(&learner, parts);
        let mut trace = trace.into_inner();
        match trained {
            Ok(_) | Err(Error::Cancelled { .. }) => {}
            Err(Error::Diverged { .. }) => trace.end = RangeEnd::Diverged,
            Err(e) => return Err(e),
        }
        Ok(RangeTestReport::new(*self, trace))
    }

    /// The trainer's configuration with the rates of the test.
    fn config(&self, mut config: TrainConfig) -> TrainConfig {
        let gamma = (self.to / self.from).powf(1. / (self.steps - 1) as f64);
        config.optimizer.set_learning_rate(self.from);
        config.schedule = Schedule::Exponential { gamma }.into();
        // An epoch has a step at least, and the test ends after its last step.
        config.epochs = self.steps;
        (config.early_stopping, config.plateau) = (None, None);
        (config.averaging, config.monitor) = (None, None);
        config.unfreeze = Unfreeze::Never;
        config.parameter_groups = config.parameter_groups.without_schedules();
        config
    }

    fn check(&self) -> Result<()> {
        positive("RangeTest::from", self.from)?;
        positive("RangeTest::to", self.to)?;
        if self.to <= self.from {
            let must = format!("above {}, the first learning rate", self.from);
            return Err(Error::invalid("RangeTest::to", must, self.to));
        }
        if self.steps < 2 {
            return Err(Error::invalid("RangeTest::steps", "at least 2", self.steps));
        }
        below_one("RangeTest::smoothing", self.smoothing)?;
        if self.stop_at.is_nan() || self.stop_at <= 1. {
            return Err(Error::invalid("RangeTest::stop_at", "above 1", self.stop_at));
        }
        Ok(())
    }
}

/// The steps of a test.
#[derive(Debug, Default)]
struct Trace {
    rates: Vec<f64>,
    losses: Vec<f64>,
    smoothed: Vec<f64>,
    mean: f64,
    end: RangeEnd,
}

impl Trace {
    fn add(&mut self, test: &RangeTest, rate: f64, loss: f64) -> Flow {
        let beta = test.smoothing;
        self.mean = beta * self.mean + (1. - beta) * loss;
        let smoothed = self.mean / (1. - power(beta, self.losses.len() as u64 + 1));
        let best = self.smoothed.iter().copied().fold(smoothed, f64::min);
        self.rates.push(rate);
        self.losses.push(loss);
        self.smoothed.push(smoothed);
        // Where the loss is below 0, it has risen by as much.
        let rose = smoothed > best + (test.stop_at - 1.) * best.abs();
        if rose {
            self.end = RangeEnd::Rose;
        }
        match rose || self.losses.len() >= test.steps {
            true => Flow::Stop,
            false => Flow::Continue,
        }
    }
}

#[cfg(test)]
mod tests;
