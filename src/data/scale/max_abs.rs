//! To the range from −1 to 1, without a shift.
use crate::{
    data::scale::{FittedColumn, Scaling},
    registry::Entry,
};

pub(super) const ENTRY: Entry<Scaling> =
    Entry::new("max-abs", "Scaling::MaxAbs", "To the range from -1 to 1, without a shift", |_| {
        Ok(Scaling::MaxAbs)
    });

/// `z = x / max |x|`. A column of zeros stays as it is.
pub(super) fn fit(column: &[f64]) -> FittedColumn {
    let largest = column.iter().fold(0f64, |most, x| most.max(x.abs()));
    of_largest(largest)
}

/// The same of a column whose largest number without its sign is this one.
pub(super) fn of_largest(largest: f64) -> FittedColumn {
    FittedColumn::Affine { shift: 0., scale: if largest.is_normal() { largest } else { 1. } }
}
