//! What was found, and what shows it.
use crate::{
    codec::real,
    diagnose::{Label, Problem},
};
use serde::{Deserialize, Serialize};

/// Something that was found in a training: what it is, how sure that is, and the figures that show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// Its name, such as `overfit` or `dead_units`.
    pub name: String,
    /// The condition of the learning curves that it belongs to; `None` if curves do not show it.
    pub kind: Option<Label>,
    /// The kind of problem.
    pub problem: Problem,
    /// How likely it is, from 0 to 1.
    #[serde(with = "real")]
    pub confidence: f64,
    /// One sentence: what is wrong, in the figures of this training.
    pub summary: String,
    /// What shows it, the strongest first.
    pub evidence: Vec<Evidence>,
    /// The experiment that would confirm it, or tell it apart from what looks the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// The name of a finding that has to be solved first, because it hides or causes this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Where the rule comes from: author, year, arXiv or DOI.
    pub source: String,
}

impl Finding {
    /// A finding of a label of learning curves, under the label's name.
    #[must_use]
    pub fn of(label: Label, confidence: f64, summary: impl Into<String>, source: &str) -> Self {
        Self { kind: Some(label), ..Self::new(label.name(), label.problem(), confidence, summary, source) }
    }

    /// A finding under a name of its own.
    #[must_use]
    pub fn new(
        name: &str,
        problem: Problem,
        confidence: f64,
        summary: impl Into<String>,
        source: &str,
    ) -> Self {
        Self {
            name: name.into(),
            kind: None,
            problem,
            confidence,
            summary: summary.into(),
            evidence: vec![],
            experiment: None,
            after: None,
            source: source.into(),
        }
    }

    /// Says which condition of the learning curves it belongs to.
    #[must_use]
    pub fn kind(mut self, label: Label) -> Self {
        self.kind = Some(label);
        self
    }

    /// Adds what shows it.
    #[must_use]
    pub fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// Sets the experiment that would confirm it or tell it apart.
    #[must_use]
    pub fn experiment(mut self, text: impl Into<String>) -> Self {
        self.experiment = Some(text.into());
        self
    }

    /// Whether it is of this name or this label.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.kind.is_some_and(|kind| kind.name() == name)
    }
}

/// A figure that shows a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// What was measured, in words and with its figures.
    pub text: String,
    /// The figure, if there is one.
    #[serde(default, with = "real::option", skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Where the learning curves show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

impl Evidence {
    /// Evidence in words.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), value: None, mark: None }
    }

    /// Gives the figure.
    #[must_use]
    pub fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    /// Says where the learning curves show it.
    #[must_use]
    pub fn mark(mut self, mark: Mark) -> Self {
        self.mark = Some(mark);
        self
    }
}

/// A place in the chart of the learning curves. Epochs are counted from 0 and losses are in the units of the curves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mark {
    /// An epoch, such as the one at which the validation loss turns.
    Epoch(usize),
    /// A range of epochs, such as those over which the loss still falls.
    Epochs {
        /// The first one.
        from: usize,
        /// The last one.
        to: usize,
    },
    /// The distance of two losses at an epoch: the gap between training and validation loss, or the spread of runs.
    Gap {
        /// The epoch.
        epoch: usize,
        /// The smaller loss.
        #[serde(with = "real")]
        low: f64,
        /// The larger loss.
        #[serde(with = "real")]
        high: f64,
    },
    /// A level of the loss, such as that of an untrained network.
    Level(#[serde(with = "real")] f64),
}
