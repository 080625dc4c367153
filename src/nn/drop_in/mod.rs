//! Layers with the names, the constructors and the methods of candle-nn, and everything else of candle-nn.
//!
//! A model of candle's layers becomes one of this crate's layers by another `use` line: `candle_ensemble::nn::drop_in` in
//! place of `candle_nn`. What this crate has in place of candle's takes the same arguments, makes the same variables with
//! the same initial weights and reads the same checkpoints; the rest is candle's own.
//!
//! | Layers of this crate | Differences |
//! |---|---|
//! | [`linear()`], [`linear_no_bias`], [`linear_b`] | none |
//! | [`conv1d`], [`conv1d_no_bias`], [`conv2d`], [`conv2d_no_bias`] | none |
//! | [`embedding()`] | none |
//! | [`batch_norm()`] | refuses a batch without a variance and an ε of 0; its type has another `new` |
//! | [`layer_norm()`], [`layer_norm_no_bias`], [`group_norm()`], [`rms_norm`] | refuse an ε of 0; their types have another `new`; gradients flow through all of them |
//! | [`seq`] | layers have to be `Send` and `Sync`; it knows whether it is in training, so it is a `ModuleT`: write `network.forward(x)` or `x.apply_t(&network, train)` in place of `x.apply(&network)` |
//! | [`Dropout`] | draws from the seed of the run |
//!
//! ```
//! use candle_core::{DType, Device, ModuleT, Tensor};
//! use candle_ensemble::nn::drop_in::{batch_norm, conv2d, linear, BatchNorm, Conv2d, Dropout, Linear, VarBuilder};
//! use candle_ensemble::{train::Trainer, weights::fresh};
//!
//! struct Net {
//!     conv: Conv2d,
//!     norm: BatchNorm,
//!     dropout: Dropout,
//!     out: Linear,
//! }
//!
//! impl Net {
//!     fn new(vb: VarBuilder) -> candle_core::Result<Self> {
//!         Ok(Self {
//!             conv: conv2d(1, 8, 3, Default::default(), vb.pp("conv"))?,
//!             norm: batch_norm(8, 1e-5, vb.pp("norm"))?,
//!             dropout: Dropout::new(0.3),
//!             out: linear(8 * 6 * 6, 10, vb.pp("out"))?,
//!         })
//!     }
//! }
//!
//! impl ModuleT for Net {
//!     fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
//!         let x = x.apply(&self.conv)?.apply_t(&self.norm, train)?.relu()?.flatten_from(1)?;
//!         self.dropout.forward(&x, train)?.apply(&self.out)
//!     }
//! }
//!
//! let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
//! let x = Tensor::ones((2, 1, 8, 8), DType::F32, &Device::Cpu)?;
//! assert_eq!(Net::new(vb)?.forward_t(&x, false)?.dims(), [2, 10]);
//! let trainer = Trainer::new(Net::new);
//! # Ok::<(), candle_core::Error>(())
//! ```
mod dropout;

pub use crate::nn::{
    conv::{conv1d, conv1d_no_bias, conv2d, conv2d_no_bias, Conv1d, Conv2d},
    embedding::{embedding, Embedding},
    linear::{linear, linear_b, linear_no_bias, Linear},
    norm::{
        batch_norm, group_norm, layer_norm, layer_norm_no_bias, rms_norm, BatchNorm, GroupNorm, LayerNorm,
        RmsNorm,
    },
    sequential::{seq, Sequential},
};
pub use candle_nn::*;
pub use dropout::Dropout;
