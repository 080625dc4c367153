//! Loops over plain slices, and access to the numbers behind candle's tensors on the CPU.
pub(crate) mod cpu;
pub(crate) mod real;
pub(crate) mod slices;
pub(crate) mod strips;
pub(crate) mod sums;
