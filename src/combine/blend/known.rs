//! What held-out predictions tell: the rows and the slots that a fit can learn from.
use crate::{combine::Weighted, HeldOut, Result};

/// The held-out predictions without the rows of weight 0, and without the slots that predict no row then;
/// also the slots that are left.
pub(crate) fn known(held_out: &HeldOut) -> Result<(HeldOut, Vec<usize>)> {
    let held_out = held_out.rows_with_weight()?;
    let slots = 0..held_out.predictions().slots();
    let slots: Vec<usize> = match held_out.predictions().coverage_by_slot()? {
        None => slots.collect(),
        Some(covered) => slots.filter(|slot| covered[*slot].iter().any(|x| *x > 0.)).collect(),
    };
    match slots.len() == held_out.predictions().slots() {
        true => Ok((held_out, slots)),
        false => Ok((held_out.select_slots(&slots)?, slots)),
    }
}

/// Fits weights to what is known. A slot of which nothing is known gets the weight 0.
pub(crate) fn fit_known(
    held_out: &HeldOut,
    fit: impl FnOnce(&HeldOut) -> Result<Weighted>,
) -> Result<Weighted> {
    let (known, slots) = known(held_out)?;
    Ok(fit(&known)?.spread(held_out, &slots))
}
