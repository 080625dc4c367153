//! Layers that candle lacks, or has without a seed or only for one thread. There is one layer per file.
//!
//! They work in any candle model. [`Dropout`] draws its masks from the seed of the run, so that trainings
//! with dropout are reproducible. [`Sequential`], made by [`seq`], can be shared between threads.
mod dropout;
mod sequential;

pub use dropout::Dropout;
pub use sequential::{seq, Sequential};
