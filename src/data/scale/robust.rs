//! By the median and a range of quantiles.
use crate::{
    data::scale::{FittedColumn, Scaling},
    registry::{Argument, Entry},
    statistics::quantile,
    Error, Result,
};

pub(super) const ENTRY: Entry<Scaling> =
    Entry::new("robust", "Scaling::Robust", "By the median and a range of quantiles", |arguments| {
        Ok(Scaling::Robust { low: arguments.get("low")?, high: arguments.get("high")? })
    })
    .with_arguments(&[
        Argument::new("low", "0.25", "The lower quantile"),
        Argument::new("high", "0.75", "The upper quantile"),
    ]);

pub(super) fn check(low: f64, high: f64) -> Result<()> {
    match 0. <= low && low < high && high <= 1. {
        true => Ok(()),
        false => Err(Error::invalid(
            "Scaling::Robust::low and high",
            "from 0 to 1 and in order",
            format!("{low} and {high}"),
        )),
    }
}

/// `z = (x − median) / (q_high − q_low)`, with quantiles interpolated linearly. A column whose quantiles are equal is only
/// shifted.
pub(super) fn fit(mut column: Vec<f64>, low: f64, high: f64) -> FittedColumn {
    column.sort_unstable_by(f64::total_cmp);
    let range = quantile(&column, high) - quantile(&column, low);
    FittedColumn::Affine {
        shift: quantile(&column, 0.5),
        scale: if range.abs() >= f64::MIN_POSITIVE { range } else { 1. },
    }
}
