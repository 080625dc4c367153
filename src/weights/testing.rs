//! Small networks for the tests of running averages.
use super::Weights;
use candle_core::{DType, Device, Tensor};

/// A network of one tensor, (w, −2w).
pub(super) fn one(w: f64, dtype: DType) -> Weights {
    Weights::from([("w".into(), Tensor::new(&[w, -2. * w], &Device::Cpu).unwrap().to_dtype(dtype).unwrap())])
}

/// The first number of that tensor.
pub(super) fn first(weights: &Weights) -> f64 {
    weights["w"].to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()[0]
}

/// Values of w that do not follow a line.
pub(super) fn path(n: u32) -> impl Iterator<Item = f64> {
    (0..n).map(|i| f64::from(i * 37 % 11) * 0.3 - 1.)
}
