//! Ways to merge networks tensor by tensor; one a file.
mod breadcrumbs;
mod dare;
mod fisher;
pub(crate) mod in_memory;
mod linear;
pub(crate) mod method;
mod model_stock;
pub(crate) mod select;
mod slerp;
pub(crate) mod sources;
mod task_arithmetic;
pub(crate) mod task_vectors;
mod ties;

pub use breadcrumbs::Breadcrumbs;
pub use dare::Dare;
pub use fisher::Fisher;
pub use in_memory::{merge, MergeInputs};
pub use linear::LinearMerge;
pub use method::{ElementwiseRule, Method, Needs, Strip};
pub use model_stock::ModelStock;
pub use slerp::Slerp;
pub use sources::Sources;
pub use task_arithmetic::TaskArithmetic;
pub use ties::Ties;
