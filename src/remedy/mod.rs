//! What to do about a finding.
mod proposal;
mod setup;

pub use proposal::{Change, Cost, Proposal};
pub use setup::Setup;
