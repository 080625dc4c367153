//! One network out of several.
//!
//! Everything goes by name: the networks must have the same names, shapes and dtypes ([`NamedTensors`]), or an error
//! lists the differences. f16, bf16 and f32 are computed in f32 or better, f64 in f64, and cast back; integer buffers
//! are copied from the newest network. Batch-norm's running statistics are averaged like weights, which is not what
//! the averaged network would measure: [`re_estimate`] them afterwards.
//!
//! Networks trained apart have units in different orders: [`align`](mod@align) puts them in one order first.
//! [`barrier`](barrier()) measures what averaging costs; [`repair`](repair()) mends the spread of the units. These run
//! networks through a [`Model`].
pub mod align;
mod alike;
mod average;
mod barrier;
mod batch_norm;
mod blend;
mod model;
#[cfg(test)]
mod nets;
mod numbers;
mod passes;
mod repair;
mod running;
mod soup;
mod swag;
mod trace;

pub use alike::NamedTensors;
pub(crate) use alike::{differences, is_statistic, kinds, list};
pub use average::{average, mix, Average, RunWeights};
pub use barrier::{barrier, barrier_at_mean, Barrier, BARRIER_POINTS};
pub use batch_norm::re_estimate;
pub use model::Model;
pub use repair::{repair, Repaired};
pub use running::{Ema, Swa, WarmUp};
pub use soup::{uniform_soup, GreedySoup, LearnedSoup, Sharing, Soup};
pub use swag::Swag;
pub use trace::Trace;
