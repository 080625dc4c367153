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
//!
//! [`Pool::merge`](crate::Pool::merge) does all of this by a [`MergeSpec`], and refuses where the barrier is above a
//! [`MaxBarrier`]'s limit; [`best_of`](best_of()) measures whether one network will do in place of an ensemble.
//!
//! A [`Method`] merges fine-tuned relatives tensor by tensor, in memory ([`merge`]) or from files that do not fit in
//! it ([`FileMerge`]).
pub mod align;
mod averages;
pub(crate) mod files;
pub(crate) mod methods;
mod network;
mod registry;
#[cfg(test)]
pub(crate) mod testing;

pub use align::trace::Trace;
pub use averages::{uniform_soup, Granularity, GreedySoup, LearnedSoup, Soup, Swag};
pub use files::{FileMerge, Written};
pub use methods::{
    merge, Breadcrumbs, Dare, ElementwiseRule, Fisher, LinearMerge, MergeInputs, Method, ModelStock, Needs,
    Slerp, Sources, Strip, TaskArithmetic, Ties,
};
pub use network::{
    barrier, barrier_at_mean, best_of, diagonal_fisher, re_estimate, repair, Alignment, Barrier, Best,
    BestOf, BestReport, Candidate, MaxBarrier, MergeSpec, Merged, Model, Repaired, BARRIER_POINTS,
};
pub use registry::registry;

pub use crate::kernels::linear::STRIP_LEN;
pub use crate::weights::{average, mix, Average, Ema, NamedTensors, RunWeights, Swa, WarmUp};
