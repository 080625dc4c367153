//! To mean 0 and standard deviation 1.
use crate::{
    data::scale::{FittedColumn, Scaler, Scaling},
    registry::Entry,
    Result,
};
use candle_core::{Device, Tensor};

pub(super) const ENTRY: Entry<Scaling> =
    Entry::new("standardize", "Scaling::Standardize", "To mean 0 and standard deviation 1", |_| {
        Ok(Scaling::Standardize)
    });

/// As [`Scaler::standardize`], to the bit.
pub(super) fn fit(column: Vec<f64>) -> Result<FittedColumn> {
    let rows = column.len();
    let scaler = Scaler::standardize(&Tensor::from_vec(column, rows, &Device::Cpu)?)?;
    let first = |of: &[f64]| of.first().copied().unwrap_or(f64::NAN);
    Ok(FittedColumn::Affine { shift: first(scaler.shift()), scale: first(scaler.scale()) })
}
