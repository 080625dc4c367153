//! What to do about a finding.
mod code;
mod kind;
mod plain;
mod proposal;
mod ranking;
mod remedies;
mod report;
mod setup;
mod start;
#[cfg(test)]
mod tests;

pub use kind::Remedy;
pub use proposal::{Change, Cost, Proposal};
pub use ranking::propose;
pub use remedies::{remedies, remedies_markdown};
pub use report::DiagnosisReport;
pub use setup::Setup;
pub use start::Start;
