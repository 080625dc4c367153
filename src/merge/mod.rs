//! One network out of several.
//!
//! A [`Method`] merges fine-tuned relatives tensor by tensor, in memory ([`merge`]) or from files that do not fit in
//! it ([`FileMerge`]).
mod breadcrumbs;
mod dare;
mod diagonal_fisher;
mod fisher;
mod headers;
mod in_memory;
mod linear;
mod method;
mod model_stock;
mod select;
mod slerp;
mod sources;
mod stream;
mod strips;
mod task_arithmetic;
mod task_vectors;
mod ties;

pub use breadcrumbs::Breadcrumbs;
pub use dare::Dare;
pub use diagonal_fisher::diagonal_fisher;
pub use fisher::Fisher;
pub use in_memory::{merge, MergeInputs};
pub use linear::LinearMerge;
pub use method::{Method, Needs, Rule, Strip, STRIP};
pub use model_stock::ModelStock;
pub use slerp::Slerp;
pub use sources::Sources;
pub use stream::{FileMerge, Written};
pub use task_arithmetic::TaskArithmetic;
pub use ties::Ties;
