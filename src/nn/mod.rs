//! Layers that candle lacks, or has without a seed, without a backward pass, only for one thread or slower.
//!
//! They work in any candle model and in [`Sequential`], made by [`seq`], which can be shared between threads.
//!
//! | Kind | Layers |
//! |---|---|
//! | In place of candle's, faster in training | [`linear()`], [`linear_no_bias`], [`conv1d`], [`conv1d_no_bias`], [`conv2d`], [`conv2d_no_bias`], [`embedding()`], [`batch_norm`], [`layer_norm`], [`group_norm`], [`rms_norm`] |
//! | All of candle-nn, with these layers in place of its own | [`drop_in`] |
//! | The backward pass, in training loops of your own | [`backward`], [`seeded_pass`] |
//! | Pooling, with PyTorch's gradient | [`MaxPool2d`] |
//! | Dropout, seeded by the run | [`Dropout`], [`GaussianDropout`], [`AlphaDropout`], [`DropConnect`] |
//! | Dropout of channels | [`SpatialDropout1d`], [`SpatialDropout2d`] |
//! | Noise, seeded as well | [`GaussianNoise`] |
//! | Normalization | [`BatchNorm`] as in PyTorch or Keras, [`LayerNorm`], [`GroupNorm`], [`RmsNorm`] |
//! | Activation functions by name | [`Activation`] |
//! | Networks that hold many members: BatchEnsemble, TabM and others | [`many`] |
//! | Penalties on outputs | [`ActivityRegularizer`], and [`add_loss`] for models of your own |
//!
//! Networks of these layers can be trained side by side in one graph ([`exec::Stacked`](crate::exec::Stacked)).
//!
//! Dropout and noise act in training only. A layer placed first acts on the inputs of the network.
mod activation;
mod conv;
pub mod drop_in;
mod embedding;
pub(crate) mod frozen;
mod fused;
mod gradients;
mod linear;
pub mod many;
mod norm;
mod pool;
mod random;
mod sequential;
pub(crate) mod stack;
pub(crate) mod tap;
#[cfg(test)]
mod testing;
mod then;

pub use crate::seed::pass::seeded_pass;
pub use activation::Activation;
pub use conv::{conv1d, conv1d_no_bias, conv2d, conv2d_no_bias, Conv1d, Conv2d};
pub use embedding::{embedding, Embedding};
pub(crate) use fused::in_parts;
pub use gradients::backward;
pub(crate) use gradients::{apply_op1, apply_op2, Recording};
pub use linear::{linear, linear_b, linear_no_bias, Linear};
pub use norm::{
    batch_norm, group_norm, layer_norm, layer_norm_no_bias, rms_norm, BatchNorm, BatchNormConfig,
    BatchNormConvention, GroupNorm, LayerNorm, RmsNorm,
};
pub use pool::MaxPool2d;
pub use random::{
    AlphaDropout, DropConnect, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1d, SpatialDropout2d,
};
pub use sequential::{seq, Sequential};
pub use tap::{add_loss, observe_output, ActivationRecord, ActivityRegularizer, Reduce};
