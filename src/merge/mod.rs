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
//!
//! [`registry()`] makes methods from names. An argument in brackets may be left out.
//!
//! | Name | Item | What it does | Arguments |
//! |---|---|---|---|
//! | `uniform` | [`LinearMerge::uniform`] | The mean of all networks | |
//! | `linear` | [`LinearMerge::falling`] | A mean with weights that fall in equal steps from the first network, the newest | |
//! | `exponential` | [`LinearMerge::exponential`] | A mean with weights that fall by a constant factor from the first network, the newest | `alpha=2` |
//! | `weighted`, `average` | [`LinearMerge::weighted`] | A mean with given weights | `weights=…` |
//! | `task-arithmetic` | [`TaskArithmetic`] | The base plus the sum of the task vectors, the differences from the base | `lambda=1`, `[weights=…]` |
//! | `ties` | [`Ties`] | Task vectors trimmed to their largest elements, merged by sign election | `density=0.2`, `lambda=1`, `[weights=…]` |
//! | `dare-linear`, `dare` | [`Dare`] | The sum of task vectors whose elements are dropped at random and rescaled | `density=0.1`, `lambda=1`, `seed=42`, `[weights=…]` |
//! | `dare-ties` | [`Dare::elect_signs`] | As dare-linear, merged by sign election | `density=0.1`, `lambda=1`, `seed=42`, `[weights=…]` |
//! | `slerp` | [`Slerp`] | Interpolation of two networks along the arc between them | `t=0.5` |
//! | `model-stock` | [`ModelStock`] | A network between the base and the mean, by the angle between the task vectors | |
//! | `fisher` | [`Fisher`] | A mean weighted by each network's Fisher information | `floor=1e-6`, `[weights=…]` |
//! | `breadcrumbs` | [`Breadcrumbs`] | The sum of task vectors without their largest and smallest elements | `density=0.1`, `gamma=0.01`, `lambda=1`, `[weights=…]` |
//! | `breadcrumbs-ties` | [`Breadcrumbs::elect_signs`] | As breadcrumbs, merged by sign election | `density=0.1`, `gamma=0.01`, `lambda=1`, `[weights=…]` |
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
