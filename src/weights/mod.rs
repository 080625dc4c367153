//! Named tensors: what a network's weights are, whether two networks' weights go together, averages of them, and
//! how they are drawn before training.
pub(crate) mod average;
pub(crate) mod batch_norm;
pub(crate) mod compatibility;
pub(crate) mod init;
pub(crate) mod running;
pub(crate) mod strict;

pub use average::{average, mix, Average, RunWeights};
pub use compatibility::NamedTensors;
pub use init::{fresh, InitScheme, SeededInit, Vars};
pub use running::{Ema, Swa, WarmUp};

use candle_core::Tensor;
use std::collections::BTreeMap;

/// Tensors by name, in one order for every walk over them.
pub type Weights = BTreeMap<String, Tensor>;
