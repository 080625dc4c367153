//! What to do about a finding.
mod proposal;
mod report;
mod setup;

pub use proposal::{Change, Cost, Proposal};
pub use report::DiagnosisReport;
pub use setup::Setup;
