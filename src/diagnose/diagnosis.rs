//! All findings of a training.
use crate::{
    codec::real,
    diagnose::{words::percent, Finding, Label, Problem},
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is wrong with a network, and what would have to be known to say more.
///
/// [`Diagnose`](crate::diagnose::Diagnose) makes it. It prints as a text that names each finding with its
/// evidence, and [`table`](Self::table) lists the findings alone.
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
    /// The finding to act on first: the likeliest one or, if another one has to be solved before it, that
    /// one.
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

    /// Whether the first finding is that nothing is wrong. It is false if there is no finding at all: then
    /// too little is known.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.first().is_some_and(|finding| finding.problem == Problem::None)
    }

    /// The finding of this name or label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is(name))
    }

    /// The findings as a Markdown table: what was found, how likely it is, and what has to be solved before
    /// it.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["finding", "problem", "confidence", "what was seen", "after"]);
        for finding in &self.findings {
            table.add_row([
                finding.name.clone(),
                finding.problem.to_string(),
                percent(finding.confidence),
                finding.summary.clone(),
                finding.after.clone().unwrap_or_else(|| "–".into()),
            ]);
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }
}

/// The findings, the likeliest first, with their evidence, and what would have to be known for more.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            writeln!(f, "Nothing was found.")?;
        }
        for (number, finding) in self.findings.iter().enumerate() {
            let (name, kind) = (&finding.name, finding.kind.filter(|kind| kind.name() != finding.name));
            let kind = kind.map(|kind| format!(", a kind of {kind}")).unwrap_or_default();
            let problem = match finding.problem {
                Problem::None => "no problem",
                problem => problem.name(),
            };
            writeln!(f, "{}. {name} ({problem}{kind}, {})", number + 1, percent(finding.confidence))?;
            writeln!(f, "   {}", finding.summary)?;
            for evidence in &finding.evidence {
                writeln!(f, "   - {}", evidence.text)?;
            }
            if let Some(experiment) = &finding.experiment {
                writeln!(f, "   To be sure: {experiment}")?;
            }
            if let Some(after) = &finding.after {
                writeln!(f, "   Solve {after} first: it hides or causes this.")?;
            }
        }
        for missing in &self.missing {
            writeln!(f, "Not known: {missing}")?;
        }
        Ok(())
    }
}
