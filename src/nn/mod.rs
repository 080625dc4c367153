//! Layers that candle lacks, or has without a seed, without a backward pass or only for one thread.
//!
//! They work in any candle model and in [`Sequential`], made by [`seq`], which can be shared between threads.
//!
//! | Kind | Layers |
//! |---|---|
//! | Dropout, seeded by the run | [`Dropout`], [`GaussianDropout`], [`AlphaDropout`], [`DropConnect`] |
//! | Dropout of channels | [`SpatialDropout1d`], [`SpatialDropout2d`] |
//! | Noise, seeded as well | [`GaussianNoise`] |
//! | Normalization | [`BatchNorm`] as in PyTorch or Keras, [`LayerNorm`], [`GroupNorm`], [`RmsNorm`] |
//! | Activation functions by name | [`Activation`] |
//! | Penalties on outputs | [`ActivityRegularizer`], and [`add_loss`] for models of your own |
//!
//! Dropout and noise act in training only. A layer placed first acts on the inputs of the network.
mod activation;
mod norm;
mod random;
mod sequential;
pub(crate) mod tap;

pub use activation::Activation;
pub use norm::{BatchNorm, BatchNormConfig, BatchNormConvention, GroupNorm, LayerNorm, RmsNorm};
pub use random::{
    AlphaDropout, DropConnect, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1d, SpatialDropout2d,
};
pub use sequential::{seq, Sequential};
pub use tap::{add_loss, observe_output, ActivationRecord, ActivityRegularizer, Reduce};
