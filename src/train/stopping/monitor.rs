//! Following a run under a stopping rule.
use crate::train::{
    stopping::{
        criterion::{generalization_loss, training_progress},
        StoppingCriterion,
    },
    EarlyStopping,
};
use serde::{Deserialize, Serialize};

/// What the value of an epoch means for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoppingStatus {
    /// The value is the best so far.
    Improved,
    /// The value has not improved; the run continues.
    NotImproved,
    /// The run should stop.
    Stop,
}

/// Follows the validation loss of a run, or a metric in its place, and says when the run should stop.
///
/// The trainer uses it for [`EarlyStopping`]; a training loop of your own may too. Its state can be saved
/// with serde, and continues where it was.
///
/// ```
/// use candle_ensemble::train::{EarlyStopping, StoppingMonitor, StoppingStatus};
///
/// let rule = EarlyStopping { patience: 2, ..EarlyStopping::default() };
/// let mut monitor = StoppingMonitor::new(rule).higher_is_better(true);
/// let accuracies = [0.5, 0.8, 0.7, 0.8, 0.9];
/// let stopped = accuracies.iter().position(|x| monitor.update(*x) == StoppingStatus::Stop);
/// assert_eq!(stopped, Some(3)); // 0.8 a second time is no improvement
/// assert_eq!((monitor.best(), monitor.best_epoch()), (Some(0.8), Some(1)));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoppingMonitor {
    rule: EarlyStopping,
    higher_is_better: bool,
    /// Epochs so far.
    epochs: usize,
    /// The best value and its epoch.
    best: Option<(f64, usize)>,
    /// Epochs since the last that was the best and beat the baseline.
    waited: usize,
    /// Whether the baseline has been beaten.
    beaten: bool,
    /// The training losses of the strip so far.
    training: Vec<f64>,
    /// The value at the end of the last strip.
    strip_end: Option<f64>,
    /// Strips in a row at whose ends the value was worse than at the end of the strip before.
    rising: usize,
}

impl StoppingMonitor {
    /// A monitor for a new run, in which less is better. The rule's `metric`, `restore_best` and `then` have
    /// no effect here: the caller passes the values and keeps the weights.
    #[must_use]
    pub fn new(rule: EarlyStopping) -> Self {
        Self {
            rule,
            higher_is_better: false,
            epochs: 0,
            best: None,
            waited: 0,
            beaten: false,
            training: vec![],
            strip_end: None,
            rising: 0,
        }
    }

    /// Sets whether a higher value is better. The default is `false`.
    #[must_use]
    pub fn higher_is_better(mut self, higher: bool) -> Self {
        self.higher_is_better = higher;
        self
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &EarlyStopping {
        &self.rule
    }

    /// The best value so far; `None` before the first that counts.
    #[must_use]
    pub fn best(&self) -> Option<f64> {
        self.best.map(|(value, _)| value)
    }

    /// The epoch of the best value, counted from 0.
    #[must_use]
    pub fn best_epoch(&self) -> Option<usize> {
        self.best.map(|(_, epoch)| epoch)
    }

    /// Takes the value of the next epoch into account. NaN is no improvement. Under
    /// [`StoppingCriterion::ProgressQuotient`], which needs training losses too, it never stops the run by the
    /// quotient; use [`update_with`](Self::update_with).
    pub fn update(&mut self, value: f64) -> StoppingStatus {
        self.next(value, None)
    }

    /// The same with the mean training loss of the epoch.
    pub fn update_with(&mut self, value: f64, training_loss: f64) -> StoppingStatus {
        self.next(value, Some(training_loss))
    }

    fn next(&mut self, value: f64, training_loss: Option<f64>) -> StoppingStatus {
        let epoch = self.epochs;
        self.epochs += 1;
        if epoch < self.rule.start_epoch {
            return StoppingStatus::NotImproved;
        }
        self.training.extend(training_loss);
        self.waited += 1;
        let improves = self.best.is_none_or(|(best, _)| self.is_better(value, best)) && !self.is_worst(value);
        if improves {
            self.best = Some((value, epoch));
            // As in Keras, the patience begins anew only at a value that beats the baseline too.
            if self.rule.baseline.is_none_or(|baseline| self.is_better(value, baseline)) {
                (self.waited, self.beaten) = (0, true);
            }
        }
        let stops = self.stops(value, epoch);
        match (improves, stops) {
            (true, _) => StoppingStatus::Improved,
            (_, true) => StoppingStatus::Stop,
            _ => StoppingStatus::NotImproved,
        }
    }

    /// Whether `value` is better than `other` by more than `min_delta`.
    fn is_better(&self, value: f64, other: f64) -> bool {
        match self.higher_is_better {
            true => value > other + self.rule.min_delta,
            false => value < other - self.rule.min_delta,
        }
    }

    /// Whether no value could be worse: NaN and the infinite loss.
    fn is_worst(&self, value: f64) -> bool {
        let worst = if self.higher_is_better { f64::NEG_INFINITY } else { f64::INFINITY };
        value.is_nan() || value == worst
    }

    /// Whether the rule ends the run after an epoch, which must not be an improvement.
    fn stops(&mut self, value: f64, epoch: usize) -> bool {
        let criterion = self.rule.criterion;
        let strip = criterion.strip().max(1);
        let ends_strip = (epoch - self.rule.start_epoch + 1).is_multiple_of(strip);
        let loss = self.best.map_or(0., |(best, _)| generalization_loss(value, best, self.higher_is_better));
        let by_criterion = match criterion {
            StoppingCriterion::Patience => self.waited >= self.rule.patience,
            StoppingCriterion::GeneralizationLoss { alpha } => loss > alpha,
            StoppingCriterion::ProgressQuotient { alpha, .. } => {
                let complete = ends_strip && self.training.len() == strip;
                // Not `loss / progress`, which is undefined without progress.
                complete && loss > alpha * training_progress(&self.training)
            }
            StoppingCriterion::Up { strips, .. } => {
                if ends_strip {
                    let worse =
                        |before: f64| if self.higher_is_better { value < before } else { value > before };
                    self.rising = if self.strip_end.is_some_and(worse) { self.rising + 1 } else { 0 };
                    self.strip_end = Some(value);
                }
                ends_strip && self.rising >= strips
            }
        };
        if ends_strip {
            self.training.clear();
        }
        let baseline_missed =
            self.rule.baseline.is_some() && !self.beaten && self.waited >= self.rule.patience;
        by_criterion || baseline_missed
    }
}
