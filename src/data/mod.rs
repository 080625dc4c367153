//! Data sets, splits and scalers.
mod dataset;
mod scale;
mod split;
mod tensor_dataset;
mod values;

pub use dataset::{Batch, Dataset, Fingerprint, Inputs, Task};
pub use scale::Scaler;
pub use split::Split;
pub(crate) use split::{apportion, members};
pub use tensor_dataset::TensorDataset;
