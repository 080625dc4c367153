//! What a rule says of held-out rows that it was not fitted on itself.
use crate::{
    combine::{Combiner, FittedCombiner},
    HeldOut, Result, Rows,
};
use candle_core::Tensor;

/// The rule's word on every row of `held_out`, `(R, C)`, each from a fit on the other folds.
pub(crate) fn cross_fit<C: Combiner + ?Sized>(
    rule: &C,
    held_out: &HeldOut,
    folds: &[Rows],
) -> Result<Tensor> {
    let by_fold = |fold: &Rows, rest: &Rows| -> Result<Tensor> {
        let fitted = rule.fit(&held_out.select(rest)?)?;
        Ok(fitted.combine(held_out.select(fold)?.predictions())?.detach())
    };
    predicted_by_folds(held_out.rows().len(), folds, by_fold)
}

/// What `say` says of each fold, given the rows outside it, in the order of the rows.
pub(crate) fn predicted_by_folds(
    rows: usize,
    folds: &[Rows],
    say: impl Fn(&Rows, &Rows) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut predicted = vec![];
    for fold in folds {
        predicted.push(say(fold, &others(rows, fold))?);
    }
    in_order(&predicted, folds)
}

/// What was predicted of one fold after the other, `(R, C)` in the order of the rows.
pub(crate) fn in_order(predicted: &[Tensor], folds: &[Rows]) -> Result<Tensor> {
    let mut back = vec![0u32; folds.iter().map(Vec::len).sum()];
    folds.iter().flatten().zip(0..).for_each(|(row, at)| back[*row as usize] = at);
    let predicted = Tensor::cat(predicted, 0)?;
    Ok(predicted.index_select(&Tensor::new(back, predicted.device())?, 0)?)
}

/// The positions below `rows` that are not in `fold`.
pub(crate) fn others(rows: usize, fold: &[u32]) -> Rows {
    let mut out = vec![true; rows];
    fold.iter().for_each(|row| out[*row as usize] = false);
    (0..rows as u32).filter(|row| out[*row as usize]).collect()
}
