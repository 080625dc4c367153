//! Merging files that do not fit in memory.
pub(crate) mod headers;
pub(crate) mod stream;

pub use stream::{FileMerge, Written};
