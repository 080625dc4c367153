//! All findings of a training.
use crate::{
    codec::real,
    diagnose::{Finding, Label, Problem},
};
use serde::{Deserialize, Serialize};

/// What is wrong with a network, and what would have to be known to say more.
///
/// [`Diagnose`](crate::diagnose::Diagnose) makes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The findings, the likeliest first.
    pub findings: Vec<Finding>,
    /// What would have to be known for more, one sentence each.
    pub missing: Vec<String>,
    /// How likely each condition of the learning curves is, the likeliest first; empty without curves.
    pub labels: Vec<LabelProbability>,
}

/// How likely a condition of the learning curves is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelProbability {
    /// The condition.
    pub label: Label,
    /// Its probability, from 0 to 1.
    #[serde(with = "real")]
    pub probability: f64,
}

impl Diagnosis {
    /// The finding to act on first: the likeliest one or, if another one has to be solved before it, that one.
    #[must_use]
    pub fn first(&self) -> Option<&Finding> {
        let mut first = self.findings.first()?;
        for _ in &self.findings {
            let before = first.after.as_ref().and_then(|name| self.findings.iter().find(|f| &f.name == name));
            match before {
                Some(before) => first = before,
                None => break,
            }
        }
        Some(first)
    }

    /// The kind of problem to act on first; [`Problem::None`] if nothing was found.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.first().map_or(Problem::None, |finding| finding.problem)
    }

    /// Whether nothing is wrong: no finding, or none that is likelier than that nothing is wrong.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.problem() == Problem::None
    }

    /// The finding of this name or label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is(name))
    }
}
