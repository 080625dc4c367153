//! A learning rate that is reduced when the loss has stopped falling.
use crate::{
    check::{non_negative, positive},
    codec::real,
    plan::RunSpec,
    registry::{Argument, Entry, Registry},
    store::EpochRecord,
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Multiplies the learning rate by a factor when the loss has not improved for a number of epochs.
///
/// ```text
/// An epoch improves if  loss < best − d,  with d = min_delta · |best| if relative, and d = min_delta if not
/// (metric > best + d where higher is better).
/// After `patience` epochs in a row that do not:  factor ← factor · self.factor,  rate = scheduled rate · factor,
/// at least min_rate. The next `cooldown` epochs are not counted.
/// ```
///
/// The factor applies to the rate of the schedule, so a warm-up before it works. Cycles and restarts make the
/// loss rise on purpose and should not be combined with it.
///
/// Use it where the number of epochs that a rate is good for is not known, often with early stopping of about
/// three times the patience. A loss on few rows is noisy: a small patience then reduces the rate too early,
/// and a network that is trained at small rates from there on learns little. Where the number of epochs is
/// known, a [`Cosine`](crate::plan::Schedule::Cosine) is as good and needs no validation rows.
///
/// It is PyTorch's `ReduceLROnPlateau`, with the patience of Keras and of
/// [`EarlyStopping`](crate::train::EarlyStopping): PyTorch's `patience` is one less. Cost: none besides the
/// validation.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if a parameter is out of range, or the run has no
/// validation rows to watch.
///
/// ```
/// use candle_ensemble::train::{PlateauMonitor, ReduceOnPlateau};
///
/// let rule = ReduceOnPlateau { factor: 0.5, patience: 2, ..ReduceOnPlateau::default() };
/// let mut monitor = PlateauMonitor::new(rule);
/// assert_eq!([1.0, 0.8, 0.8, 0.8, 0.8].map(|loss| monitor.update(loss, false)), [1.0, 1.0, 1.0, 0.5, 0.5]);
/// assert_eq!(monitor.rate(0.1), 0.05);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceOnPlateau {
    /// The factor of each reduction, above 0 and below 1. Default 0.1.
    pub factor: f64,
    /// Epochs without improvement after which the rate is reduced, at least 1. Default 10.
    pub patience: usize,
    /// By how much the loss or the metric must be better than the best to count as an improvement, 0 or more.
    /// Default 10⁻⁴.
    pub min_delta: f64,
    /// Whether `min_delta` is a share of the best rather than a difference from it. Default yes.
    pub relative: bool,
    /// Epochs after a reduction that are not counted. Default 0.
    pub cooldown: usize,
    /// The rate below which it is not reduced, 0 or more. Default 0.
    pub min_rate: f64,
    /// What is watched. Default the validation loss.
    pub watch: PlateauWatch,
}

/// What [`ReduceOnPlateau`] watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PlateauWatch {
    /// The loss on the run's training rows, as it is measured while they are fitted. It needs no validation
    /// rows, but it goes on falling while a network overfits.
    TrainingLoss,
    /// The loss on the run's validation rows.
    #[default]
    ValidationLoss,
    /// The metric of the validation rows that is recorded
    /// ([`EpochRecord::valid_metric`](crate::store::EpochRecord::valid_metric)).
    Metric,
}

impl Default for ReduceOnPlateau {
    fn default() -> Self {
        Self {
            factor: 0.1,
            patience: 10,
            min_delta: 1e-4,
            relative: true,
            cooldown: 0,
            min_rate: 0.,
            watch: PlateauWatch::default(),
        }
    }
}

const ARGUMENTS: &[Argument] = &[
    Argument::new("factor", "0.1", "The factor of each reduction"),
    Argument::new("patience", "10", "Epochs without improvement before a reduction"),
    Argument::new("min-delta", "0.0001", "The least improvement that counts"),
    Argument::new("relative", "true", "Whether min-delta is a share of the best"),
    Argument::new("cooldown", "0", "Epochs after a reduction that are not counted"),
    Argument::new("min-rate", "0", "The rate below which it is not reduced"),
    Argument::new("watch", "valid-loss", "What is watched: train-loss, valid-loss or metric"),
];

const WATCHES: [(&str, PlateauWatch); 3] = [
    ("train-loss", PlateauWatch::TrainingLoss),
    ("valid-loss", PlateauWatch::ValidationLoss),
    ("metric", PlateauWatch::Metric),
];

impl ReduceOnPlateau {
    /// The rule by name, `reduce-on-plateau`.
    ///
    /// ```
    /// use candle_ensemble::train::ReduceOnPlateau;
    ///
    /// let rule = ReduceOnPlateau::registry().parse("reduce-on-plateau:0.5:5:cooldown=2")?;
    /// assert_eq!((rule.factor, rule.patience, rule.cooldown), (0.5, 5, 2));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<ReduceOnPlateau>> = LazyLock::new(|| {
            let entry = Entry::new(
                "reduce-on-plateau",
                "ReduceOnPlateau",
                "Reduces the learning rate when the loss has stopped falling",
                |arguments| {
                    Ok(ReduceOnPlateau {
                        factor: arguments.get("factor")?,
                        patience: arguments.get("patience")?,
                        min_delta: arguments.get("min-delta")?,
                        relative: arguments.get("relative")?,
                        cooldown: arguments.get("cooldown")?,
                        min_rate: arguments.get("min-rate")?,
                        watch: arguments.choice("watch", &WATCHES)?.unwrap_or_default(),
                    })
                },
            );
            Registry::new("rule", vec![entry.with_arguments(ARGUMENTS)])
        });
        &REGISTRY
    }

    /// Checks the parameters, and that the run has the rows that are watched.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self, run: &RunSpec) -> Result<()> {
        positive("ReduceOnPlateau::factor", self.factor)?;
        if self.factor >= 1. {
            return Err(Error::invalid("ReduceOnPlateau::factor", "below 1", self.factor));
        }
        if self.patience == 0 {
            return Err(Error::invalid("ReduceOnPlateau::patience", "at least 1 epoch", 0));
        }
        non_negative("ReduceOnPlateau::min_delta", self.min_delta)?;
        non_negative("ReduceOnPlateau::min_rate", self.min_rate)?;
        if self.watch != PlateauWatch::TrainingLoss && run.valid.is_empty() {
            let must =
                "PlateauWatch::TrainingLoss in a run without validation rows (the `validation` setter of a \
                        strategy)";
            return Err(Error::invalid("ReduceOnPlateau::watch", must, format!("{:?}", self.watch)));
        }
        Ok(())
    }
}

/// Follows the loss of a run and says by how much the learning rate is reduced: the state of a
/// [`ReduceOnPlateau`]. A training that saves and restores it goes on as if it had not been interrupted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlateauMonitor {
    rule: ReduceOnPlateau,
    /// The product of the reductions so far.
    factor: f64,
    /// The best value so far, as a loss.
    #[serde(with = "real")]
    best: f64,
    /// Epochs without improvement since the best, the last reduction or the end of its cooldown.
    waited: usize,
    /// Epochs of the cooldown that are left.
    cooling: usize,
}

impl PlateauMonitor {
    /// The monitor at the beginning of a run.
    #[must_use]
    pub fn new(rule: ReduceOnPlateau) -> Self {
        Self { rule, factor: 1., best: f64::INFINITY, waited: 0, cooling: 0 }
    }

    /// Takes the value of the next epoch into account. Returns the factor on the scheduled rate from now on.
    pub fn update(&mut self, value: f64, higher_is_better: bool) -> f64 {
        let loss = if higher_is_better { -value } else { value };
        let delta = match self.rule.relative {
            true if self.best.is_finite() => self.rule.min_delta * self.best.abs(),
            true => 0.,
            false => self.rule.min_delta,
        };
        if loss < self.best - delta {
            (self.best, self.waited) = (loss, 0);
        } else {
            self.waited += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.waited = 0;
        }
        if self.waited >= self.rule.patience {
            self.factor *= self.rule.factor;
            (self.waited, self.cooling) = (0, self.rule.cooldown);
        }
        self.factor
    }

    /// Takes the record of the next epoch into account. `higher_is_better` is what the watched metric says.
    ///
    /// # Errors
    /// When the record lacks the figure that is watched.
    pub fn after_epoch(&mut self, record: &EpochRecord, higher_is_better: bool) -> Result<f64> {
        let (value, higher_is_better) = match self.rule.watch {
            PlateauWatch::TrainingLoss => (Some(record.train_loss), false),
            PlateauWatch::ValidationLoss => (record.valid_loss, false),
            PlateauWatch::Metric => (record.valid_metric, higher_is_better),
        };
        let Some(value) = value else {
            let what = format!("the record of epoch {}", record.epoch);
            let must = format!("one with the figure of {:?}, which ReduceOnPlateau watches", self.rule.watch);
            return Err(Error::invalid(what, must, "without it"));
        };
        Ok(self.update(value, higher_is_better))
    }

    /// The factor on the scheduled rate.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// The learning rate where the schedule has this one: reduced, but not below the least rate.
    #[must_use]
    pub fn rate(&self, scheduled: f64) -> f64 {
        (scheduled * self.factor).max(self.rule.min_rate.min(scheduled))
    }
}

#[cfg(test)]
mod tests;
