//! Checks of predicted distributions.
use crate::{check::positive, Error, Result};

/// Checks that there are rows, and as many values of each kind.
pub(super) fn check_lengths(rows: usize, values: &[(&str, usize)]) -> Result<()> {
    if rows == 0 {
        return Err(Error::invalid("number of rows", "at least 1", 0));
    }
    match values.iter().find(|(_, count)| *count != rows) {
        None => Ok(()),
        Some((name, count)) => {
            Err(Error::invalid(format!("number of {name}"), format!("{rows}, one for each row"), count))
        }
    }
}

/// The standard deviation of a row, which must be positive.
pub(super) fn deviation(row: usize, sigma: f64) -> Result<f64> {
    positive(&format!("standard deviation of row {row}"), sigma)?;
    Ok(sigma)
}
