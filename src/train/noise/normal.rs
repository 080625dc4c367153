//! Normal noise on a tensor.
use candle_core::{DType, Device, Result as CResult, Tensor};
use rand::Rng;
use rand_distr::StandardNormal;

/// `x + deviation · n` with a standard normal `n` for each element, in row-major order. Draws are in `f64` and
/// on the CPU, so the noise is the same for every type and device, up to rounding. Half precision is computed
/// in `f32`.
pub(super) fn add_normal(x: &Tensor, deviation: f64, rng: &mut impl Rng) -> CResult<Tensor> {
    if deviation == 0.0 {
        return Ok(x.clone());
    }
    let draws = (0..x.elem_count()).map(|_| deviation * rng.sample::<f64, _>(StandardNormal));
    let noise = match x.dtype() {
        DType::F64 => Tensor::from_vec(draws.collect::<Vec<f64>>(), x.shape(), &Device::Cpu)?,
        _ => Tensor::from_vec(draws.map(|n| n as f32).collect::<Vec<f32>>(), x.shape(), &Device::Cpu)?,
    };
    let sum = (x.to_dtype(noise.dtype())? + noise.to_device(x.device())?)?;
    sum.to_dtype(x.dtype())
}
