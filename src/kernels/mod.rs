//! Loops over plain slices, and the one place that reaches into the storage of candle's tensors.
pub(crate) mod activity;
pub(crate) mod argmax;
pub(crate) mod convolve;
pub(crate) mod cpu;
pub(crate) mod exp;
pub(crate) mod finite;
pub(crate) mod float;
pub(crate) mod gradients;
pub(crate) mod linear;
pub(crate) mod ln;
pub(crate) mod matmul;
pub(crate) mod normalize;
pub(crate) mod pool;
pub(crate) mod rows;
pub(crate) mod simd;
pub(crate) mod sums;
pub(crate) mod tanh;
