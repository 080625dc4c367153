//! To a range.
use crate::{
    data::scale::{FittedColumn, Scaling},
    registry::{Argument, Entry},
    Error, Result,
};

pub(super) const ENTRY: Entry<Scaling> =
    Entry::new("min-max", "Scaling::MinMax", "To a range", |arguments| {
        Ok(Scaling::MinMax { low: arguments.get("low")?, high: arguments.get("high")? })
    })
    .with_arguments(&[
        Argument::new("low", "0", "The smallest value"),
        Argument::new("high", "1", "The largest value"),
    ]);

pub(super) fn check(low: f64, high: f64) -> Result<()> {
    match low < high && (high - low).is_normal() && low.is_finite() && high.is_finite() {
        true => Ok(()),
        false => Err(Error::invalid(
            "Scaling::MinMax::low and high",
            "finite and in order",
            format!("{low} and {high}"),
        )),
    }
}

/// `z = low + (high − low) (x − min) / (max − min)`. A constant column becomes `low`.
pub(super) fn fit(column: &[f64], low: f64, high: f64) -> FittedColumn {
    let min = column.iter().copied().fold(f64::INFINITY, f64::min);
    let max = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    of_range((min, max), low, high)
}

/// The same of a column with this minimum and this maximum.
pub(super) fn of_range((min, max): (f64, f64), low: f64, high: f64) -> FittedColumn {
    let range = if max > min { max - min } else { 1. };
    let scale = range / (high - low);
    FittedColumn::Affine { shift: min - low * scale, scale }
}
