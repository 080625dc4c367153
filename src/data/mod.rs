//! Data sets, splits and scalers.
//!
//! A [`Dataset`] returns rows by number as a [`Batch`] of inputs and targets; [`TensorDataset`] holds them in
//! memory and checks them, and [`FileDataset`] reads them from files that do not fit in memory. Its strata and groups tell
//! a [`Split`] and the [resampling](crate::resample) which rows belong together. Its [`Fingerprint`] identifies the content
//! in plans and stores, and its [`Shuffle`] says how rows are shuffled. A [`Scaling`] brings columns to one scale and back;
//! [`Scaler`] is the plain form of two of them. A [`RowBitmap`] is a set of rows that stays small where there are many.
//! [`LastBatch`] says what becomes of a last batch that is smaller than the others.
mod batches;
mod dataset;
pub(crate) mod positions;
mod row_bitmap;
mod scale;
mod shuffle;
mod split;
mod streamed;
mod tensor_dataset;
mod upcoming;
pub(crate) mod values;
mod view;

pub(crate) use batches::passes;
pub use batches::LastBatch;
pub(crate) use dataset::same_rows;
pub use dataset::{Batch, Dataset, Fingerprint, Inputs, Positions, Purpose, Task};
pub use row_bitmap::RowBitmap;
pub(crate) use scale::{check_targets, not_affine};
pub use scale::{FittedColumn, FittedScaling, FittedScalings, Scaler, Scaling};
pub use shuffle::Shuffle;
pub use split::Split;
pub(crate) use split::{apportion, members, test_shares, test_size};
pub use streamed::{CsvOptions, FileDataset, FileDatasetBuilder, RowFiles};
pub use tensor_dataset::TensorDataset;
pub(crate) use upcoming::Upcoming;
pub(crate) use view::View;

/// Row numbers of a data set, from 0. In a sample drawn with replacement, a number occurs as often as it was
/// drawn.
pub type Rows = Vec<u32>;
