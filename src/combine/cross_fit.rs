//! Predictions of a combiner for held-out rows that it was not fitted on.
use crate::{
    combine::{Combiner, FittedCombiner},
    HeldOut, Result, Rows,
};
use candle_core::Tensor;

/// The combiner's predictions `(R, C)` for every row of `held_out`, each from a fit on the other folds.
pub(crate) fn cross_fit<C: Combiner + ?Sized>(
    combiner: &C,
    held_out: &HeldOut,
    folds: &[Rows],
) -> Result<Tensor> {
    let predict_fold = |fold: &Rows, rest: &Rows| -> Result<Tensor> {
        let fitted = combiner.fit(&held_out.select(rest)?)?;
        Ok(fitted.combine(held_out.select(fold)?.predictions())?.detach())
    };
    predicted_by_folds(held_out.rows().len(), folds, predict_fold)
}

/// Calls `predict_fold` with each fold and the rows outside it, and puts the predictions in the order of the
/// rows.
pub(crate) fn predicted_by_folds(
    rows: usize,
    folds: &[Rows],
    predict_fold: impl Fn(&Rows, &Rows) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut predicted = vec![];
    for fold in folds {
        predicted.push(predict_fold(fold, &others(rows, fold))?);
    }
    in_order(&predicted, folds)
}

/// Puts predictions that are ordered fold by fold, `(R, C)`, in the order of the rows.
pub(crate) fn in_order(predicted: &[Tensor], folds: &[Rows]) -> Result<Tensor> {
    let mut positions: Vec<(u32, u32)> = folds.iter().flatten().copied().zip(0..).collect();
    positions.sort_unstable();
    let positions: Vec<u32> = positions.into_iter().map(|(_, at)| at).collect();
    let predicted = Tensor::cat(predicted, 0)?;
    Ok(predicted.index_select(&Tensor::new(positions, predicted.device())?, 0)?)
}

/// The positions below `rows` that are not in `fold`.
pub(crate) fn others(rows: usize, fold: &[u32]) -> Rows {
    let mut outside = vec![true; rows];
    fold.iter().for_each(|row| outside[*row as usize] = false);
    (0..rows as u32).filter(|row| outside[*row as usize]).collect()
}
