//! Data sets, splits and scalers.
mod dataset;
pub(crate) mod passes;
mod scale;
mod split;
mod tensor_dataset;
pub(crate) mod values;

pub use dataset::{Batch, Dataset, Fingerprint, Inputs, Task};
pub(crate) use passes::passes;
pub use scale::Scaler;
pub use split::Split;
pub(crate) use split::{apportion, members};
pub use tensor_dataset::TensorDataset;

/// Row numbers of a data set; a number that occurs twice was drawn twice.
pub type Rows = Vec<u32>;
