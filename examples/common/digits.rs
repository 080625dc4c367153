//! The data of most examples: 1797 real handwritten digits.
use candle_core::{Device, Tensor};
use candle_ensemble::{data::TensorDataset, Result};

/// The digits with the classes 0 to 9. Their 64 pixels, from −1 to 1, have the shape `row`.
pub fn digits(row: &[usize]) -> Result<TensorDataset> {
    let digits = smartcore::dataset::digits::load_dataset();
    let images = Tensor::from_vec(digits.data, [&[digits.num_samples], row].concat(), &Device::Cpu)?;
    let labels = Tensor::from_iter(digits.target.iter().map(|d| *d as u32), &Device::Cpu)?;
    TensorDataset::classification(images.affine(1. / 8., -1.)?, &labels)
}
