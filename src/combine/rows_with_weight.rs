//! Held-out rows without those of weight 0.
use crate::{HeldOut, Result, Rows};
use std::borrow::Cow;

/// The held-out rows whose weight is not 0. A combiner that is fitted on them is the same as if the other
/// rows had not been there: they have no part in folds, neighbours, means and counts either.
pub(crate) fn rows_with_weight(held_out: &HeldOut) -> Result<Cow<'_, HeldOut>> {
    let Some(weights) = held_out.row_weights::<f64>()? else { return Ok(Cow::Borrowed(held_out)) };
    let rows: Rows = (0..weights.len() as u32).filter(|row| weights[*row as usize] > 0.).collect();
    match rows.len() == weights.len() {
        true => Ok(Cow::Borrowed(held_out)),
        false => Ok(Cow::Owned(held_out.select(&rows)?)),
    }
}
