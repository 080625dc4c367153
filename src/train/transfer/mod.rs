//! Transfer: training that starts from another network's weights, and layers that are not trained.
mod features;
mod freeze;
mod frozen;
mod patterns;
#[cfg(test)]
mod tests;
mod unfreeze;
mod warm_start;

pub use features::features;
pub use freeze::Freeze;
pub(crate) use frozen::{Freezing, Frozen};
pub(super) use patterns::parsed;
pub use unfreeze::Unfreeze;
pub use warm_start::WarmStart;
