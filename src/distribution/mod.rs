//! Predictive distributions of values, and how good they are.
//!
//! A network with an output such as [`Output::Gaussian`](crate::network::Output::Gaussian) predicts a distribution for each
//! row. An ensemble of such networks is the [`Mixture`] of its members, as in Deep Ensembles (Lakshminarayanan et al. 2017,
//! arXiv:1612.01474): its variance is the mean of the members' variances, which is what the data leave open, plus the
//! variance of their means, which is what the members disagree on. A [`Score`] compares distributions with targets.
//!
//! All numbers are `f64`.
mod cell;
mod family;
mod levels;
mod mean_difference;
mod mixture;
mod quantile_function;
mod score;
mod softplus;

pub(crate) use family::ln_t_normaliser;
pub use family::Family;
pub use levels::Levels;
pub use mixture::Mixture;
pub use score::Score;
pub(crate) use softplus::{positive, FLOOR};
