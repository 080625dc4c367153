//! Early stopping.
mod criterion;
mod monitor;
mod registry;

pub use criterion::StoppingCriterion;
pub use monitor::{StoppingMonitor, StoppingStatus};

use crate::{
    check::{non_negative, require},
    train::Retrain,
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// Stops a run when its validation loss, or another metric of its validation rows, has not improved for a
/// number of epochs.
///
/// ```text
/// An epoch improves if  loss < best − min_delta  (metric > best + min_delta where higher is better).
/// The run stops after `patience` epochs in a row that do not, or by another [`StoppingCriterion`].
/// ```
///
/// The loss is that of the training, over the run's validation rows, which the strategy has to set aside
/// ([`Bagging::validation`](crate::strategy::Bagging::validation), for example). The validation rows shape
/// the member, so its record counts them as seen, and no held-out prediction uses them.
///
/// `metric` names a metric that is watched in place of the loss, as text for
/// [`metrics::registry`](crate::metrics::registry()): `"accuracy"`, `"roc-auc"`, `"pinball:0.9"`, and for networks
/// that put out distributions `"crps"` or `"interval-score:0.9"`. The metric
/// says whether higher is better. It is computed from the network's predictions (probabilities for classes)
/// for all validation rows together, with their weights if the data has any, and recorded as
/// [`EpochRecord::valid_metric`](crate::store::EpochRecord::valid_metric). A metric of your own is set with
/// [`Trainer::early_stopping_by`](crate::train::Trainer::early_stopping_by).
///
/// A training loop of your own follows the same rule with a [`StoppingMonitor`].
///
/// Restoring the best weights is often no better in accuracy than keeping the last ones, and a run may stop on
/// a plateau before the loss falls again. With `restore_best` the validation rows choose the network, so its
/// score on them is too good: compare networks on other rows.
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
    /// Epochs at the start of the run that do not count: they neither stop it nor are the best. Default 0.
    /// With as many as the run has epochs the rule has no effect.
    #[serde(default)]
    pub start_epoch: usize,
    /// A value of the loss or the metric that the run has to beat by more than `min_delta`. If `patience`
    /// epochs have passed and none has, the run stops at the next one that is not the best so far. Default
    /// `None`.
    #[serde(default)]
    pub baseline: Option<f64>,
    /// When the run stops. Default [`StoppingCriterion::Patience`].
    #[serde(default)]
    pub criterion: StoppingCriterion,
    /// Whether and how the network is trained again on all rows, once the number of epochs is known. Default no.
    #[serde(default)]
    pub then: Retrain,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self {
            patience: 10,
            min_delta: 0.,
            restore_best: true,
            metric: None,
            start_epoch: 0,
            baseline: None,
            criterion: StoppingCriterion::Patience,
            then: Retrain::No,
        }
    }
}

impl EarlyStopping {
    pub(crate) fn check(&self) -> Result<()> {
        if self.patience == 0 {
            return Err(Error::invalid("EarlyStopping::patience", "at least 1 epoch", 0));
        }
        self.then.check()?;
        self.criterion.check()?;
        if let Some(baseline) = self.baseline {
            require(baseline.is_finite(), "EarlyStopping::baseline", "finite", baseline)?;
        }
        non_negative("EarlyStopping::min_delta", self.min_delta)
    }
}

#[cfg(test)]
mod tests;
