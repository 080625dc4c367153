//! What a remedy proposes.
use crate::{plan::Settings, remedy::Setup};
use serde::{Deserialize, Serialize};

/// A change of a [`Setup`], proposed for a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Proposal {
    /// The name of the remedy, such as `lower-learning-rate`.
    pub remedy: String,
    /// The name of the finding.
    pub finding: String,
    /// Why it fits the evidence of this finding.
    pub why: String,
    /// What changes.
    pub change: Change,
    /// The change as code.
    pub code: String,
    /// What it costs.
    pub cost: Cost,
    /// What effect is to be expected, in words.
    pub effect: String,
    /// Author, year, arXiv or DOI.
    pub source: String,
}

/// What a proposal changes in a setup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Settings that are added or replaced.
    #[serde(default)]
    pub settings: Settings,
    /// The new strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The new combination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combination: Option<String>,
    /// The new validation share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// What has to be done by hand, where no setting can do it: more rows, another split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

impl Change {
    /// The setup after the change.
    #[must_use]
    pub fn apply(&self, setup: &Setup) -> Setup {
        let mut settings = setup.settings.clone();
        for (name, value) in self.settings.iter() {
            settings = settings.with(name, value.clone());
        }
        Setup {
            settings,
            strategy: self.strategy.clone().or_else(|| setup.strategy.clone()),
            combination: self.combination.clone().or_else(|| setup.combination.clone()),
            validation: self.validation.or(setup.validation),
        }
    }
}

/// What a change costs, as multiples of what the setup costs without it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Time of training.
    pub training: f64,
    /// Time of a prediction.
    pub prediction: f64,
}

impl Default for Cost {
    fn default() -> Self {
        Self { training: 1., prediction: 1. }
    }
}
