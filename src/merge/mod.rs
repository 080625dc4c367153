//! One network out of several.
//!
//! Networks trained apart have units in different orders: [`align`](mod@align) puts them in one order first.
//! [`barrier()`] measures what averaging costs, [`re_estimate`] and [`repair()`] mend the statistics afterwards. All of
//! them run networks through a [`Model`].
pub mod align;
mod barrier;
mod batch_norm;
mod blend;
mod model;
#[cfg(test)]
mod nets;
mod passes;
mod repair;
mod trace;

pub use barrier::{barrier, barrier_at_mean, Barrier, BARRIER_POINTS};
pub use batch_norm::re_estimate;
pub use model::Model;
pub use repair::{repair, Repaired};
pub use trace::Trace;
