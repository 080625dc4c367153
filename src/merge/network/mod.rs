//! One network made of a pool: the loss barrier, re-estimated batch-norm statistics, repair, and the choice
//! between an ensemble and one network.
pub(crate) mod barrier;
mod best_of;
mod diagonal_fisher;
mod loss_tensor;
mod max_barrier;
mod merge_spec;
pub(crate) mod model;
mod re_estimate;
mod repair;

pub use barrier::{barrier, barrier_at_mean, Barrier, BARRIER_POINTS};
pub use best_of::{best_of, Best, BestOf, BestReport, Candidate};
pub use diagonal_fisher::diagonal_fisher;
pub use max_barrier::{MaxBarrier, Merged};
pub use merge_spec::{Alignment, MergeSpec};
pub use model::Model;
pub use re_estimate::re_estimate;
pub use repair::{repair, Repaired};
