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
//! [`Pool::merge`](crate::Pool::merge) does all of this by a [`Recipe`], and refuses where the barrier is above a
//! [`Guard`]'s limit; [`best_of`](best_of()) measures whether one network will do in place of an ensemble.
//!
//! A [`Method`] merges fine-tuned relatives tensor by tensor, in memory ([`merge`]) or from files that do not fit in
//! it ([`FileMerge`]).
pub mod align;
mod alike;
mod average;
mod barrier;
mod batch_norm;
mod best_of;
mod breadcrumbs;
mod dare;
mod diagonal_fisher;
mod fisher;
mod guard;
mod headers;
mod in_memory;
mod linear;
mod method;
mod model;
mod model_stock;
#[cfg(test)]
mod nets;
mod numbers;
mod passes;
mod recipe;
mod repair;
mod running;
mod select;
mod slerp;
mod soup;
mod sources;
mod stream;
mod strips;
mod swag;
mod task_arithmetic;
mod task_vectors;
mod ties;
mod trace;

pub use alike::NamedTensors;
pub(crate) use alike::{differences, has_statistics, is_statistic, kinds, list};
pub use average::{average, mix, Average, RunWeights};
pub use barrier::{barrier, barrier_at_mean, Barrier, BARRIER_POINTS};
pub use batch_norm::re_estimate;
pub(crate) use batch_norm::re_estimate_by;
pub use best_of::{best_of, Best, BestOf, BestReport, Candidate};
pub use breadcrumbs::Breadcrumbs;
pub use dare::Dare;
pub use diagonal_fisher::diagonal_fisher;
pub use fisher::Fisher;
pub use guard::{Guard, Merged};
pub use in_memory::{merge, MergeInputs};
pub use linear::LinearMerge;
pub use method::{Method, Needs, Rule, Strip, STRIP};
pub use model::Model;
pub use model_stock::ModelStock;
pub(crate) use passes::passes;
pub use recipe::Recipe;
pub use repair::{repair, Repaired};
pub use running::{Ema, Swa, WarmUp};
pub use slerp::Slerp;
pub use soup::{uniform_soup, GreedySoup, LearnedSoup, Sharing, Soup};
pub use sources::Sources;
pub use stream::{FileMerge, Written};
pub use swag::Swag;
pub use task_arithmetic::TaskArithmetic;
pub use ties::Ties;
pub use trace::Trace;
