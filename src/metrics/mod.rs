//! Metrics of predictions, and intervals for the difference between two predictors.
//!
//! Class probabilities are a tensor `(N, C)` with labels `&[u32]`; regression predictions and targets are
//! tensors `(N,)` or `(N, K)`, with N rows, C classes and K outputs. They may be f16, bf16, f32 or f64, on
//! any device. Every metric is a (weighted) mean over rows, or computed from such means, and is summed in
//! f64. Weights are finite, not negative and not all zero; only their ratios matter.
//!
//! Every metric fails with [`Error::Invalid`](crate::Error::Invalid) when there are no rows, when numbers of
//! rows or shapes differ, when a label is not below C, when a value is NaN or infinite, when a probability is
//! not between 0 and 1, and when the probabilities of a row do not sum to one. Probabilities and sums may be
//! off by 10⁻³ (by 2⁻⁹ in f16 and 2⁻⁶ in bf16, which is twice the spacing of these types at one); nothing is
//! rescaled.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_ensemble::metrics::{accuracy, Metrics};
//!
//! let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3]], &Device::Cpu)?;
//! let labels = [0, 1, 1];
//! assert_eq!(accuracy(&probs, &labels, None)?, 2.0 / 3.0);
//! assert_eq!(accuracy(&probs, &labels, Some(&[1.0, 1.0, 2.0]))?, 0.5);
//! println!("{:?}", Metrics::classification(&probs, &labels, None)?);
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
//!
//! [`registry()`] makes metrics from names.
//!
//! | Name | Item | Tasks | What it does | Arguments |
//! |---|---|---|---|---|
//! | `accuracy` | [`accuracy()`] | classes | Share of rows whose most probable class is the true one | |
//! | `error` | [`RowLoss::Error`] | classes | One minus the accuracy | |
//! | `nll`, `log-loss` | [`nll()`] | classes | Negative log-likelihood in nats | |
//! | `brier` | [`brier()`] | classes | Brier score, summed over the classes | |
//! | `ece` | [`ece()`] | classes | Expected calibration error in 15 bins of equal width | |
//! | `ece-equal-mass` | [`ece_equal_mass()`] | classes | Expected calibration error in 15 bins of equal mass | |
//! | `rmse` | [`rmse()`] | values | Root mean squared error | |
//! | `mse`, `squared` | [`RowLoss::Squared`] | values | Mean squared error | |
//! | `mae`, `absolute` | [`mae()`] | values | Mean absolute error | |
//! | `r2` | [`r2()`] | values | Coefficient of determination | |
mod accuracy;
mod brier;
mod compare;
mod criterion;
mod ece;
mod inputs;
mod mae;
mod metric_set;
mod nll;
mod r2;
#[cfg(test)]
mod reference;
mod registry;
mod reliability;
mod rmse;
mod summary;

pub use accuracy::accuracy;
pub use brier::brier;
pub(crate) use compare::weighted_bootstrap;
pub use compare::{
    bootstrap_interval, bootstrap_statistic, cluster_bootstrap_interval, corrected_t_interval, t_interval,
    Interval,
};
pub use criterion::{Criterion, Custom, RowLoss, Scored, Truth};
pub use ece::{ece, ece_equal_mass, ECE_BINS};
pub use mae::mae;
pub use metric_set::Metrics;
pub use nll::{nll, NLL_EPSILON};
pub use r2::r2;
pub use registry::{registry, Metric};
pub use reliability::{reliability_bins, ReliabilityBin};
pub use rmse::rmse;
pub use summary::Summary;
