//! What an ensemble is worth: studies over repeats, and the metric against the ensemble's size.
mod size_curve;
mod study;
mod variance_report;

pub use size_curve::{size_curve, SizePoint};
pub use study::Study;
pub use variance_report::{EnsembleReport, RepeatReport, SingleReport, SizeSummary, VarianceReport};
