//! What a loop of improvement tells while it works.
use crate::{
    diagnose::{Curves, Finding},
    improve::{ImproveReport, Spent, Step},
    remedy::{Proposal, Setup},
    train::RangeTestReport,
};
use std::fmt;

/// Something that happens in a loop of improvement. Its text is a line or a few, for a program to print.
///
/// A loop tells the same story when it is resumed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ImproveEvent<'a> {
    /// The loop starts.
    Started {
        /// Rows that decisions are made on.
        rows: usize,
        /// Rows of the final scores.
        test_rows: usize,
        /// The setup at the start.
        setup: &'a Setup,
    },
    /// A setup is trained for its diagnosis.
    Diagnosing {
        /// Networks that are trained for it.
        trainings: usize,
    },
    /// A setup has been diagnosed.
    Diagnosed {
        /// The learning curves.
        curves: &'a Curves,
        /// The findings, the likeliest first.
        findings: &'a [Finding],
    },
    /// A range test of the learning rate has been run.
    RangeTested {
        /// Its result.
        report: &'a RangeTestReport,
    },
    /// A remedy is tried.
    Trying {
        /// The number of the step, from 0.
        step: usize,
        /// The finding.
        finding: &'a Finding,
        /// The remedy.
        remedy: &'a Proposal,
        /// The level of the interval that will decide.
        level: f64,
        /// Networks that are trained for it, if it is not given up early.
        trainings: usize,
    },
    /// A remedy has been tried.
    Tried {
        /// The number of the step, from 0.
        number: usize,
        /// The step.
        step: &'a Step,
    },
    /// The start and the result are trained on all rows that decisions were made on, for the final scores.
    Scoring {
        /// Networks that are trained for it.
        trainings: usize,
    },
    /// The loop has ended.
    Finished {
        /// Its report.
        report: &'a ImproveReport,
        /// What was trained.
        spent: Spent,
    },
}

impl fmt::Display for ImproveEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { rows, test_rows, .. } => {
                write!(f, "{rows} rows to decide on; {test_rows} rows are set aside for the final scores")
            }
            Self::Diagnosing { trainings } => write!(f, "Diagnosis: {trainings} trainings"),
            Self::Diagnosed { findings: [], .. } => f.write_str("Found: nothing"),
            Self::Diagnosed { findings, .. } => {
                f.write_str("Found:")?;
                findings.iter().try_for_each(|finding| {
                    write!(
                        f,
                        "\n  {} ({:.0} %): {}",
                        finding.name,
                        100. * finding.confidence,
                        finding.summary
                    )
                })
            }
            Self::RangeTested { report } => match report.valley {
                Some(rate) => write!(f, "Range test of the learning rate: learns fastest around {rate:.2e}"),
                None => f.write_str("Range test of the learning rate: the loss does not fall at any rate"),
            },
            Self::Trying { step, finding, remedy, trainings, .. } => write!(
                f,
                "Step {}: {} for {}, {trainings} trainings\n  {}",
                step + 1,
                remedy.remedy,
                finding.name,
                remedy.why
            ),
            Self::Tried { number, step } => {
                write!(f, "Step {}: {}, {}", number + 1, step.remedy.remedy, step.outcome())
            }
            Self::Scoring { trainings } => write!(f, "Final scores: {trainings} trainings"),
            Self::Finished { spent, .. } => {
                write!(f, "Done: {} trainings, {} epochs", spent.trainings, spent.epochs)
            }
        }
    }
}
