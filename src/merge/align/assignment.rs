//! The best one-to-one assignment.
use crate::{Error, Result};
use pathfinding::{kuhn_munkres::kuhn_munkres, matrix::Matrix};

/// The largest number of a gain matrix becomes this in fixed point. Gains are rounded to 2⁻⁴⁰ of the largest, so an
/// assignment of `n` units is within `n·2⁻⁴⁰` of it of the best (`n·10⁻¹²`); sums of 2²² of them fit.
const SCALE: f64 = (1u64 << 40) as f64;

/// For each row the column, each once, with the largest sum of `gains`, `(n, n)` row by row.
pub(super) fn assign(gains: &[f64], n: usize) -> Result<Vec<u32>> {
    if let Some(odd) = gains.iter().find(|gain| !gain.is_finite()) {
        return Err(Error::invalid("the similarity of two units", "finite", odd));
    }
    let largest = gains.iter().fold(0., |most: f64, gain| most.max(gain.abs()));
    if largest == 0. {
        return Ok((0..n as u32).collect()); // all the same, and a move would be for nothing
    }
    let fixed = gains.iter().map(|gain| (gain / largest * SCALE).round() as i64).collect();
    let fixed = Matrix::from_vec(n, n, fixed)
        .map_err(|_| Error::invalid("the similarities", format!("{n} by {n}"), gains.len()))?;
    let (_, columns) = kuhn_munkres(&fixed);
    Ok(columns.into_iter().map(|column| column as u32).collect())
}

/// The sum of the gains of an assignment.
pub(super) fn total(gains: &[f64], columns: &[u32]) -> f64 {
    let n = columns.len();
    let pick = |(row, column): (usize, &u32)| gains.get(row * n + *column as usize).copied();
    columns.iter().enumerate().filter_map(pick).sum()
}
