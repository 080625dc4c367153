//! The weights of networks, as named tensors.
//!
//! [`Weights`] holds the tensors of a network by name. This module draws initial weights from a seed
//! ([`fresh`]), averages networks ([`average`], [`Average`], [`mix`]), and follows a training with an average
//! ([`Swa`], [`Ema`]), reads the weights of other programs ([`StateDict`]), and measures how alike two networks are
//! ([`cosine`](cosine())). Networks can be averaged if their tensors have the same names, shapes and dtypes;
//! otherwise an [`Error::Incompatible`](crate::Error::Incompatible) lists the differences.
pub(crate) mod average;
pub(crate) mod batch_norm;
pub(crate) mod compatibility;
pub(crate) mod cosine;
mod ema;
mod filter;
pub(crate) mod finite;
pub(crate) mod init;
mod layers;
pub(crate) mod members;
pub(crate) mod running_mean;
mod state_dict;
pub(crate) mod strict;
mod swa;
#[cfg(test)]
mod testing;
mod vars;
mod weighted_sum;

pub use average::{average, mix, Average, RunWeights};
pub use compatibility::NamedTensors;
pub use cosine::cosine;
pub use ema::{Ema, WarmUp};
pub use filter::WeightFilter;
pub use init::{fresh, FanMode, InitScheme, SeededInit, WeightDistribution};
pub use layers::{layers, Layer};
pub use state_dict::StateDict;
pub use swa::Swa;
pub use vars::Vars;

use candle_core::Tensor;
use std::collections::BTreeMap;

/// The tensors of a network by name, in the order of names.
pub type Weights = BTreeMap<String, Tensor>;

/// The number of parameters of a network.
pub(crate) fn number_of_parameters(weights: &Weights) -> usize {
    weights.values().map(Tensor::elem_count).sum()
}
