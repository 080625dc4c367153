//! Numbers for inputs, where it does not matter for the time what they are.
use candle_core::{Device, Result, Tensor};
use rand::{rngs::StdRng, Rng, SeedableRng};

/// Uniform in [-1, 1).
pub fn noise(rows: usize, columns: usize) -> Result<Tensor> {
    let mut rng = StdRng::seed_from_u64(7);
    let values = (0..rows * columns).map(|_| rng.random_range(-1f32..1.)).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
}
