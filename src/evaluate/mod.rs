//! Evaluation of ensembles on test rows.
//!
//! A [`Study`] trains several ensembles of each strategy from different seeds and compares them with single
//! networks; its [`VarianceReport`] has the metrics, confidence intervals and costs, and prints as a table
//! and draws as a chart. [`size_curve`] measures how a metric depends on the number of members.
pub mod decomposition;
pub mod diversity;
mod enough_members;
mod row_targets;
mod size_curve;
mod study;
mod variance_report;

pub use diversity::Diversity;
pub use enough_members::SizeFit;
pub use row_targets::RowTargets;
pub use size_curve::{size_curve, SizePoint};
pub use study::Study;
pub use variance_report::{EnsembleReport, RepeatReport, SingleReport, SizeSummary, VarianceReport};
