//! Merging: one network made of several.
//!
//! A merge goes by names: the networks must have tensors of the same names, shapes and dtypes, or an
//! [`Error::Incompatible`](crate::Error::Incompatible) lists the differences. Tensors keep their dtype; f16,
//! bf16 and f32 are computed in f32 or better, f64 in f64. Integer buffers are copied. Batch-norm's running
//! statistics are averaged like weights, which is not what the merged network would measure: [`re_estimate`]
//! them afterwards.
//!
//! | Networks | Way to merge |
//! |---|---|
//! | of one run, or fine-tuned from one network | averages ([`average`], [`Swa`], [`Ema`], [`Swag`]) and soups ([`uniform_soup`], [`GreedySoup`], [`LearnedSoup`]) |
//! | fine-tuned from one network for different tasks | a [`Method`] on task vectors, in memory ([`merge`]) or on files ([`FileMerge`]) |
//! | trained independently | an average after [alignment](mod@align), with [`repair`](repair()) |
//!
//! [`barrier`](barrier()) measures how much the loss rises between networks, which shows whether they can be
//! averaged. A [`Model`] runs networks for these measurements.
//!
//! [`Pool::merge`](crate::Pool::merge) merges the networks of a pool by a [`MergeSpec`], and refuses a merge
//! whose barrier is higher than [`MaxBarrier`] allows. [`best_of`](best_of()) measures whether one network
//! will do in place of an ensemble.
//!
//! [`registry()`] makes methods from names. An argument in brackets may be left out.
//!
//! TABLE
pub mod align;
mod averages;
mod file_merge;
pub(crate) mod methods;
mod network;
mod registry;
#[cfg(test)]
pub(crate) mod testing;

pub use align::trace::Trace;
pub use averages::{uniform_soup, Granularity, GreedySoup, LearnedSoup, Soup, Swag};
pub use file_merge::{FileMerge, Written};
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
