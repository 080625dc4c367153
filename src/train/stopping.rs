//! Early stopping.
use crate::{check::non_negative, train::Retrain, Error, Result};
use serde::{Deserialize, Serialize};

/// Stops a run when its validation loss, or another metric of its validation rows, has not improved for a
/// number of epochs.
///
/// ```text
/// An epoch improves if  loss < best − min_delta  (metric > best + min_delta where higher is better).
/// The run stops after `patience` epochs in a row that do not.
/// ```
///
/// The loss is that of the training, over the run's validation rows, which the strategy has to set aside
/// ([`Bagging::validation`](crate::strategy::Bagging::validation), for example). The validation rows shape
/// the member, so its record counts them as seen, and no held-out prediction uses them.
///
/// `metric` names a metric that is watched in place of the loss, as text for
/// [`metrics::registry`](crate::metrics::registry()): `"accuracy"`, `"roc-auc"`, `"pinball:0.9"`. The metric
/// says whether higher is better. It is computed from the network's predictions (probabilities for classes)
/// for all validation rows together, with their weights if the data has any, and recorded as
/// [`EpochRecord::valid_metric`](crate::store::EpochRecord::valid_metric). A metric of your own is set with
/// [`Trainer::early_stopping_by`](crate::train::Trainer::early_stopping_by).
///
/// Use it when the right number of epochs is not known and networks overfit in the end. Do not use it where
/// every row is needed for training, or where overfitting of single members is harmless because the ensemble
/// averages it out. A metric that changes in steps, such as the accuracy, often stays the same from one epoch
/// to the next on few rows; a longer patience makes up for that. It cannot be combined with
/// [`Averaging`](crate::train::Averaging) or with members that are collected within a run.
///
/// Cost: a forward pass over the validation rows in each epoch, and a copy of the weights if `restore_best`
/// is set. With a metric, the predictions for all validation rows are in memory at once.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if a parameter is out of range, a run has no
/// validation rows, or the metric is unknown or not one of the task. A run ends with [`Error::NotFinite`] if
/// its validation loss or the metric is NaN; an infinite loss is no improvement. It ends with the error of
/// the metric if that is not defined for the validation rows, such as the ROC AUC where all are of one class.
///
/// # Source
/// Prechelt 1998, doi:10.1007/3-540-49430-8_3.
///
/// ```
/// use candle_ensemble::{strategy::Bagging, train::{EarlyStopping, Trainer}};
///
/// let rule = EarlyStopping { patience: 5, metric: Some("accuracy".into()), ..EarlyStopping::default() };
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(200).early_stopping(rule);
/// let strategy = Bagging::new(10).validation(0.1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// Epochs without improvement after which the run stops, at least 1. Default 10.
    pub patience: usize,
    /// By how much the loss or the metric must be better than the best to count as an improvement, 0 or more.
    /// Default 0.
    pub min_delta: f64,
    /// Whether the member gets the weights of the best epoch rather than those of the last. Default yes.
    pub restore_best: bool,
    /// The metric that is watched, as text for [`metrics::registry`](crate::metrics::registry()). `None`, the
    /// default, means the loss.
    #[serde(default)]
    pub metric: Option<String>,
    /// Whether and how the network is trained again on all rows, once the number of epochs is known. Default no.
    #[serde(default)]
    pub then: Retrain,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 10, min_delta: 0., restore_best: true, metric: None, then: Retrain::No }
    }
}

impl EarlyStopping {
    pub(crate) fn check(&self) -> Result<()> {
        if self.patience == 0 {
            return Err(Error::invalid("EarlyStopping::patience", "at least 1 epoch", 0));
        }
        self.then.check()?;
        non_negative("EarlyStopping::min_delta", self.min_delta)
    }
}

/// What the validation loss of an epoch means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The loss is the best so far.
    Improved,
    /// The loss has not improved; the run continues.
    NotImproved,
    /// The loss has not improved for too long.
    Stop,
}

/// Follows the validation loss of a run, or the metric in its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ValidationMonitor {
    rule: EarlyStopping,
    best: f64,
    /// Epochs since the best loss.
    waited: usize,
}

impl ValidationMonitor {
    pub(crate) fn new(rule: EarlyStopping) -> Self {
        Self { rule, best: f64::INFINITY, waited: 0 }
    }

    pub(crate) fn restores_best(&self) -> bool {
        self.rule.restore_best
    }

    /// Takes the loss of the next epoch into account: less is better.
    pub(crate) fn update(&mut self, loss: f64) -> Status {
        if loss < self.best - self.rule.min_delta {
            (self.best, self.waited) = (loss, 0);
            return Status::Improved;
        }
        self.waited += 1;
        if self.waited >= self.rule.patience {
            Status::Stop
        } else {
            Status::NotImproved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(rule: &EarlyStopping, losses: &[f64]) -> Vec<Status> {
        let mut monitor = ValidationMonitor::new(rule.clone());
        losses.iter().map(|loss| monitor.update(*loss)).collect()
    }

    #[test]
    fn the_run_stops_after_patience_epochs_without_improvement() {
        use Status::*;
        let rule = EarlyStopping { patience: 2, ..EarlyStopping::default() };
        let got = statuses(&rule, &[3., 2., 2., 1.5, 1.6, 1.5]);
        assert_eq!(got, [Improved, Improved, NotImproved, Improved, NotImproved, Stop]);
    }

    #[test]
    fn an_improvement_is_a_loss_below_the_best_less_min_delta() {
        use Status::*;
        let rule = EarlyStopping { patience: 3, min_delta: 0.5, ..EarlyStopping::default() };
        // 2.6 is not below 3 − 0.5, and neither is 2.5; 2.4 is.
        assert_eq!(statuses(&rule, &[3., 2.6, 2.5, 2.4]), [Improved, NotImproved, NotImproved, Improved]);
        assert_eq!(statuses(&rule, &[f64::NAN]), [NotImproved]);
    }

    #[test]
    fn bad_parameters_are_named() {
        let rule = EarlyStopping { patience: 0, ..EarlyStopping::default() };
        assert!(rule.check().unwrap_err().to_string().contains("patience"));
        let rule = EarlyStopping { min_delta: -1., ..EarlyStopping::default() };
        assert!(rule.check().unwrap_err().to_string().contains("min_delta"));
    }
}
