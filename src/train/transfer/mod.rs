//! Transfer: training that starts from another network's weights, and layers that are not trained.
mod features;
mod freeze;
mod frozen;
mod patterns;
#[cfg(test)]
mod tests;
mod warm_start;

pub use features::features;
pub use freeze::Freeze;
pub(crate) use frozen::Frozen;
pub use warm_start::WarmStart;
