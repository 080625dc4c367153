//! Named tensors: what a network's weights are, whether two networks' weights go together, averages of them, and
//! how they are drawn before training.
pub(crate) mod average;
pub(crate) mod batch_norm;
pub(crate) mod compatibility;
mod ema;
pub(crate) mod init;
pub(crate) mod running_mean;
pub(crate) mod strict;
mod swa;
mod vars;

pub use average::{average, mix, Average, RunWeights};
pub use compatibility::NamedTensors;
pub use ema::{Ema, WarmUp};
pub use init::{fresh, InitScheme, SeededInit};
pub use swa::Swa;
pub use vars::Vars;

use candle_core::Tensor;
use std::collections::BTreeMap;

/// Tensors by name, in one order for every walk over them.
pub type Weights = BTreeMap<String, Tensor>;
