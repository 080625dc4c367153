//! Ensembles of candle networks.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations, unreachable_pub, rust_2018_idioms)]

pub mod data;
pub mod error;
pub mod evaluate;
pub mod init;
pub mod report;
pub mod seed;
pub mod train;

pub use error::{Error, Result};
pub use seed::Seed;

/// Row numbers of a data set; a number that occurs twice was drawn twice.
pub type Rows = Vec<u32>;
