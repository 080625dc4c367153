//! Ensembles of candle networks.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations, unreachable_pub, rust_2018_idioms)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod build;
mod codec;
pub mod combine;
pub mod data;
mod ensemble;
mod error;
pub mod evaluate;
pub mod exec;
mod host;
pub mod init;
pub mod member;
mod network;
pub mod observe;
mod pool;
#[cfg(feature = "progress")]
mod progress;
pub mod report;
pub mod resample;
mod seed;
mod session;
pub mod store;
pub mod threads;
pub mod train;

pub use ensemble::Ensemble;
pub use error::{Error, Result};
pub use member::Member;
pub use network::{AnyNetwork, Network};
pub use pool::{HeldOut, Pool};
#[cfg(feature = "progress")]
pub use progress::ProgressBar;
pub use seed::Seed;
pub use session::Session;

/// Row numbers of a data set; a number that occurs twice was drawn twice.
pub type Rows = Vec<u32>;
