//! Normalization layers with a backward pass.
mod batch_norm;
mod group_norm;
mod layer_norm;
mod op;
mod rms_norm;
mod rows;
#[cfg(test)]
mod tests;

pub use batch_norm::{batch_norm, BatchNorm, BatchNormConfig, BatchNormConvention};
pub use group_norm::{group_norm, GroupNorm};
pub use layer_norm::{layer_norm, layer_norm_no_bias, LayerNorm};
pub use rms_norm::{rms_norm, RmsNorm};
pub(in crate::nn) use rows::RowNorm;
