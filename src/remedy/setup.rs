//! How a network is trained and used, as data.
use crate::plan::Settings;
use serde::{Deserialize, Serialize};

/// How networks are trained and combined: settings of the runs, a strategy and a combination.
///
/// It is what a remedy changes, and what an improvement leaves behind as a file. The trainer gives everything that the
/// setup does not name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The settings of every run, which replace those of the trainer.
    #[serde(default)]
    pub settings: Settings,
    /// How members are trained, as in [`strategy::parse`](crate::strategy::parse), such as `bootstrap:10`. `None`
    /// trains a single network on all rows.
    #[serde(default)]
    pub strategy: Option<String>,
    /// How members are combined, as in [`combinations`](crate::evaluate::combinations()), such as `mean`. `None` is
    /// the mean of the members' predictions.
    #[serde(default)]
    pub combination: Option<String>,
    /// The share of each run's rows that early stopping and reduction on plateaus watch, where a setting needs it.
    #[serde(default)]
    pub validation: Option<f64>,
}
