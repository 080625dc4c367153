//! What the methods need of calibration rows.
use crate::{conformal::ScoreQuantiles, data::Task, predictions::Predictions, Error, HeldOut, Result};
use candle_core::{DType, Device, Tensor};

/// The rows that count. A quantile counts rows, so their weights must be equal.
pub(super) fn counted_rows(calibration: &HeldOut) -> Result<HeldOut> {
    let rows = calibration.rows_with_weight()?;
    let weights = rows.row_weights::<f64>()?.unwrap_or_default();
    match weights.first().and_then(|first| Some((first, weights.iter().find(|weight| *weight != first)?))) {
        None => Ok(rows),
        Some((first, other)) => Err(Error::invalid(
            "weights of the calibration rows",
            "0 or equal, because a conformal quantile counts rows (see WeightedScores for a shift of the inputs)",
            format!("{first} and {other}"),
        )),
    }
}

/// Checks that no prediction is missing.
pub(super) fn check_complete(rows: &HeldOut) -> Result<()> {
    let covered = rows.predictions().coverage_by_slot()?.unwrap_or_default();
    let missing = covered.iter().flatten().filter(|covered| **covered == 0.).count();
    match missing {
        0 => Ok(()),
        _ => Err(Error::invalid(
            "the calibration rows",
            "rows that no member has seen (CrossIntervals takes rows that some have seen)",
            format!("rows with {missing} missing predictions"),
        )),
    }
}

/// The number of outputs of predicted values.
pub(super) fn outputs(method: &str, task: Task) -> Result<usize> {
    match task {
        Task::Regression { outputs } => Ok(outputs),
        other => Err(Error::invalid(format!("the task of {method}"), "regression", other)),
    }
}

/// The columns of a table `(N, K)`, or of a list `(N,)`.
pub(super) fn columns(table: &Tensor) -> Result<Vec<Vec<f64>>> {
    let table = if table.rank() == 1 { table.unsqueeze(1)? } else { table.clone() };
    Ok(table.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.t()?.to_vec2()?)
}

/// The predictions of one output as numbers, `(M, N)`.
pub(super) fn of_output(predictions: &Predictions, output: usize) -> Result<Vec<f64>> {
    let values = predictions.values().narrow(2, output, 1)?.flatten_all()?;
    Ok(values.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1()?)
}

/// The conformal quantile of scores: of all rows, of each group, or, where rows of a group share their errors and new rows
/// come from new groups, of groups as units.
pub(super) fn quantiles(
    scores: &[f64],
    rows: &HeldOut,
    by_group: bool,
    alpha: f64,
) -> Result<ScoreQuantiles> {
    match (rows.groups(), by_group) {
        (None, false) => ScoreQuantiles::fit(scores, None, alpha),
        (Some(groups), false) => ScoreQuantiles::fit_for_new_groups(scores, groups, alpha),
        // The positions of a row are a group where the data has no others, and no new row is of this group.
        (Some(groups), true) if groups == rows.rows() => Err(Error::invalid(
            "groups of the calibration rows",
            "given (Dataset::groups), as the quantiles are by group",
            "one for each row",
        )),
        (Some(groups), true) => ScoreQuantiles::fit(scores, Some(groups), alpha),
        (None, true) => Err(Error::invalid(
            "groups of the calibration rows",
            "given, as the quantiles are by group",
            "missing",
        )),
    }
}
