//! Merging: one network made of several.
//!
//! A merge goes by names: the networks must have tensors of the same names, shapes and dtypes, or an
//! [`Error::Incompatible`](crate::Error::Incompatible) lists the differences. Tensors keep their dtype; they
//! are computed in f64 and rounded once. Integer buffers are copied. Batch-norm's running
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
//! whose barrier is higher than [`MaxBarrier`] allows. [`Pool::distill`](crate::Pool::distill) trains one network on the
//! predictions of a pool, whatever the members' architectures. [`best_of`](best_of()) measures whether one network
//! will do in place of an ensemble.
//!
//! [`registry()`] makes methods from names. An argument in brackets may be left out.
//!
//! | Name | Item | What it does | Arguments |
//! |---|---|---|---|
//! | `uniform` | [`LinearMerge::uniform`] | The mean of all networks | |
//! | `linear` | [`LinearMerge::falling`] | A mean with weights that fall in equal steps from the first network, the newest | |
//! | `exponential` | [`LinearMerge::exponential`] | A mean with weights that fall by a constant factor from the first network, the newest | `alpha=2` |
//! | `weighted`, `average` | [`LinearMerge::weighted`] | A mean with given weights | `weights=…` |
//! | `task-arithmetic` | [`TaskArithmetic`] | The base plus the sum of the task vectors, the differences from the base | `lambda=1`, `normalize=false`, `[weights=…]` |
//! | `ties` | [`Ties`] | Task vectors trimmed to their largest elements, merged by sign election | `density=0.2`, `lambda=1`, `normalize=true`, `[weights=…]` |
//! | `dare-linear`, `dare` | [`Dare`] | The sum of task vectors whose elements are dropped at random and rescaled | `density=0.1`, `lambda=1`, `seed=42`, `normalize=false`, `[weights=…]` |
//! | `dare-ties` | [`Dare::elect_signs`] | As dare-linear, merged by sign election | `density=0.1`, `lambda=1`, `seed=42`, `normalize=true`, `[weights=…]` |
//! | `slerp` | [`Slerp`] | Interpolation of two networks along the arc between them | `t=0.5` |
//! | `model-stock` | [`ModelStock`] | A network between the base and the mean, by the angle between the task vectors | |
//! | `fisher` | [`Fisher`] | A mean weighted by each network's Fisher information | `floor=1e-6`, `favor-first=false`, `[weights=…]` |
//! | `breadcrumbs` | [`Breadcrumbs`] | The sum of task vectors without their largest and smallest elements | `density=0.1`, `gamma=0.01`, `lambda=1`, `normalize=false`, `[weights=…]` |
//! | `breadcrumbs-ties` | [`Breadcrumbs::elect_signs`] | As breadcrumbs, merged by sign election | `density=0.1`, `gamma=0.01`, `lambda=1`, `normalize=true`, `[weights=…]` |
pub mod align;
mod averages;
mod distill;
mod file_merge;
pub(crate) mod methods;
mod network;
mod registry;
#[cfg(test)]
pub(crate) mod testing;

pub use align::trace::Trace;
pub use averages::{uniform_soup, Granularity, GreedySoup, LearnedSoup, Soup, Swag};
pub use distill::{Distill, Teachers};
pub use file_merge::{FileMerge, MergeWarning, Written};
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
