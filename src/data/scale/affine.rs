//! Scalings that shift and divide each column: their fits.
use crate::{
    data::scale::{table::columns, Scaler},
    statistics::quantile,
    Result,
};
use candle_core::Tensor;

/// The range from `low` to `high`: `z = low + (high − low) (x − min) / (max − min)`. A constant column becomes `low`.
pub(super) fn min_max(x: &Tensor, low: f64, high: f64) -> Result<Scaler> {
    let unit = Scaler::min_max(x)?;
    let width = high - low;
    let scale: Vec<f64> = unit.scale().iter().map(|range| range / width).collect();
    let shift = unit.shift().iter().zip(&scale).map(|(min, scale)| min - low * scale).collect();
    Scaler::of(shift, scale)
}

/// `z = x / max |x|`. A column of zeros stays as it is.
pub(super) fn max_abs(x: &Tensor) -> Result<Scaler> {
    let largest = |column: Vec<f64>| column.into_iter().fold(0f64, |most, x| most.max(x.abs()));
    let scale: Vec<f64> = columns(x)?.into_iter().map(largest).map(or_one).collect();
    Scaler::of(vec![0.; scale.len()], scale)
}

/// `z = (x − median) / (q_high − q_low)`, with quantiles interpolated linearly. A column whose quantiles are equal is only
/// shifted.
pub(super) fn robust(x: &Tensor, low: f64, high: f64) -> Result<Scaler> {
    let (mut shift, mut scale) = (vec![], vec![]);
    for mut column in columns(x)? {
        column.sort_by(f64::total_cmp);
        shift.push(quantile(&column, 0.5));
        scale.push(or_one(quantile(&column, high) - quantile(&column, low)));
    }
    Scaler::of(shift, scale)
}

/// The number itself, or 1 if it is 0 or subnormal.
fn or_one(scale: f64) -> f64 {
    if scale.is_normal() {
        scale
    } else {
        1.
    }
}
