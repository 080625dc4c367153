//! What a remedy proposes.
use crate::{codec::real, plan::Settings, remedy::Setup};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A change of a [`Setup`], proposed for a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Proposal {
    /// The name of the remedy, such as `lower-learning-rate`.
    pub remedy: String,
    /// The name of the finding.
    pub finding: String,
    /// How likely the remedy is to solve the problem, from 0 to 1: a judgement, by which proposals are
    /// ranked.
    #[serde(with = "real")]
    pub priority: f64,
    /// Why it fits the evidence of this finding.
    pub why: String,
    /// What changes.
    pub change: Change,
    /// The change as code, where `trainer` is the trainer; empty for what has to be done by hand.
    pub code: String,
    /// What it costs.
    pub cost: Cost,
    /// What effect is to be expected, in words.
    pub effect: String,
    /// Author, year, arXiv or DOI.
    pub source: String,
}

impl Proposal {
    /// A proposal without code, at the present cost.
    #[must_use]
    pub fn new(remedy: &str, finding: &str, priority: f64, change: Change) -> Self {
        Self {
            remedy: remedy.into(),
            finding: finding.into(),
            priority,
            change,
            cost: Cost::default(),
            why: String::new(),
            code: String::new(),
            effect: String::new(),
            source: String::new(),
        }
    }
}

/// In lines: the change and why it fits, the code, the cost, the effect and the source.
impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (for {}): {}", self.remedy, self.finding, self.change)?;
        for (name, text) in [("why", &self.why), ("effect", &self.effect), ("source", &self.source)] {
            if !text.is_empty() {
                write!(f, "\n  {name}: {text}")?;
            }
        }
        write!(f, "\n  cost: {}", self.cost)?;
        for line in self.code.lines() {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// What a proposal changes in a setup. In JSON it is written like a [`Setup`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Settings that are added or replaced.
    pub settings: Settings,
    /// The new strategy.
    pub strategy: Option<String>,
    /// The new combination.
    pub combination: Option<String>,
    /// The new validation share.
    pub validation: Option<f64>,
    /// What has to be done by hand, where no setting can do it: more rows, another split.
    pub by_hand: Option<String>,
}

impl Change {
    /// The setup after the change.
    #[must_use]
    pub fn apply(&self, setup: &Setup) -> Setup {
        Setup {
            settings: setup.settings.clone().with_all(self.settings.iter()),
            strategy: self.strategy.clone().or_else(|| setup.strategy.clone()),
            combination: self.combination.clone().or_else(|| setup.combination.clone()),
            validation: self.validation.or(setup.validation),
        }
    }
}

/// On one line: `learning_rate = 0.01, validation = 0.15`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<_> =
            self.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        parts.extend(self.strategy.iter().map(|text| format!("strategy = {text}")));
        parts.extend(self.combination.iter().map(|text| format!("combination = {text}")));
        parts.extend(self.validation.iter().map(|share| format!("validation = {share}")));
        parts.extend(self.by_hand.iter().map(|text| format!("by hand: {text}")));
        match parts.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&parts.join(", ")),
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

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("none");
        }
        let times = |x: f64| format!("{} times", (x * 100.).round() / 100.);
        write!(f, "{} the training, {} the prediction", times(self.training), times(self.prediction))
    }
}
