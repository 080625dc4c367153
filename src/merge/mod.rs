//! One network out of several, by averaging their weights.
//!
//! Everything goes by name: the networks must have the same names, shapes and dtypes ([`NamedTensors`]), or an error
//! lists the differences. f16, bf16 and f32 are computed in f32 or better, f64 in f64, and cast back; integer buffers
//! are copied from the newest network. Batch-norm's running statistics are averaged like weights, which is not what
//! the averaged network would measure: re-estimate them afterwards.
mod alike;
mod average;
mod numbers;
mod running;
mod soup;
mod swag;

pub use alike::NamedTensors;
pub(crate) use alike::{differences, is_statistic, kinds, list};
pub use average::{average, mix, Average, RunWeights};
pub use running::{Ema, Swa, WarmUp};
pub use soup::{uniform_soup, GreedySoup, LearnedSoup, Sharing, Soup};
pub use swag::Swag;
