//! Layers that candle lacks, or has without a seed; one place a file.
mod dropout;

pub use dropout::Dropout;
