//! A diagnosis with what was diagnosed and what can be done.
use crate::{
    diagnose::{Curves, Diagnosis},
    remedy::Proposal,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A diagnosis of one network, with its learning curves and the remedies.
///
/// It prints as a text. With the feature `charts`, [`chart`](Self::chart) draws the curves with the evidence
/// marked, and [`html`](Self::html) makes a page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiagnosisReport {
    /// The name of the network or of the file.
    pub name: String,
    /// What has to be known about the data, such as how a file was read.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The learning curves; `None` if there are none.
    #[serde(default)]
    pub curves: Option<Curves>,
    /// What was found.
    pub diagnosis: Diagnosis,
    /// What can be done, the best first for each finding.
    #[serde(default)]
    pub proposals: Vec<Proposal>,
}

impl DiagnosisReport {
    /// A report without curves and remedies.
    #[must_use]
    pub fn new(name: impl Into<String>, diagnosis: Diagnosis) -> Self {
        Self { name: name.into(), diagnosis, ..Self::default() }
    }

    /// Adds what has to be known about the data.
    #[must_use]
    pub fn notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// Adds the learning curves.
    #[must_use]
    pub fn curves(mut self, curves: Curves) -> Self {
        self.curves = Some(curves);
        self
    }

    /// Adds the remedies.
    #[must_use]
    pub fn proposals(mut self, proposals: Vec<Proposal>) -> Self {
        self.proposals = proposals;
        self
    }

    /// The remedies for a finding, the best first.
    pub fn proposals_for<'r>(&'r self, finding: &'r str) -> impl Iterator<Item = &'r Proposal> + 'r {
        self.proposals.iter().filter(move |proposal| proposal.finding == finding)
    }

    /// The report with at most this number of remedies for each finding, the best ones.
    #[must_use]
    pub fn best(&self, remedies: usize) -> Self {
        let findings = self.diagnosis.findings.iter();
        let best = findings.flat_map(|finding| self.proposals_for(&finding.name).take(remedies));
        Self { proposals: best.cloned().collect(), ..self.clone() }
    }
}

/// The findings with their evidence, and the remedies.
impl fmt::Display for DiagnosisReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.diagnosis)?;
        if !self.proposals.is_empty() {
            writeln!(f, "What can be done:")?;
        }
        for (number, proposal) in self.proposals.iter().enumerate() {
            let text = proposal.to_string();
            for (i, line) in text.lines().enumerate() {
                match i {
                    0 => writeln!(f, "{}. {line}", number + 1)?,
                    _ => writeln!(f, "  {line}")?,
                }
            }
        }
        Ok(())
    }
}
