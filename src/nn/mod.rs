//! Layers that candle lacks, or has without a seed. There is one layer per file.
//!
//! They work in any candle model. [`Dropout`] draws its masks from the seed of the run, so that trainings
//! with dropout are reproducible.
mod dropout;

pub use dropout::Dropout;
