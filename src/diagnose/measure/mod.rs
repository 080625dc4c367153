//! Measurements of rows and of a network that go beyond learning curves.
mod constant;
mod first_loss;
mod leaks;
mod measurements;
mod one_batch;
mod scales;
mod table;
#[cfg(test)]
mod tests;
mod two_sample;

pub use first_loss::FirstLoss;
pub use leaks::{ColumnScore, LeakCheck};
pub use measurements::Measurements;
pub(crate) use measurements::OnFailure;
pub use one_batch::{OneBatchReport, OneBatchTest, OneBatchTraining};
pub use scales::{ColumnScale, ScaleCheck};
pub use two_sample::{TwoSampleReport, TwoSampleTest};
