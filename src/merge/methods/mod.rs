//! Methods that merge networks tensor by tensor, one in each file.
//!
//! A [`Method`] makes an [`ElementwiseRule`] for each tensor from [`Sources`], the elements of the tensor in
//! all inputs. The rule computes the elements of the result, strip by strip.
mod breadcrumbs;
mod cosines;
mod dare;
mod fisher;
pub(crate) mod in_memory;
pub(crate) mod input_kinds;
pub(crate) mod largest;
mod linear;
pub(crate) mod method;
mod model_stock;
pub(crate) mod options;
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
