//! Checks of the inputs of conformal prediction.
use crate::{Error, Result};

/// Checks that `alpha` is above 0 and below 1.
pub(super) fn check_alpha(alpha: f64) -> Result<()> {
    match alpha > 0.0 && alpha < 1.0 {
        true => Ok(()),
        false => Err(Error::invalid("alpha", "above 0 and below 1", alpha)),
    }
}

/// Checks that the number of `what` is `rows`, one for each row.
pub(super) fn check_rows(what: &str, values: usize, rows: usize) -> Result<()> {
    match values == rows {
        true => Ok(()),
        false => {
            Err(Error::invalid(format!("number of {what}"), format!("{rows}, one for each row"), values))
        }
    }
}

/// Checks that there is at least one calibration row.
pub(super) fn check_any(rows: usize) -> Result<()> {
    match rows > 0 {
        true => Ok(()),
        false => Err(Error::invalid("number of calibration rows", "at least 1", 0)),
    }
}

/// Checks that numbers are finite. The error calls them `what` and their row.
pub(super) fn check_finite(what: &str, values: &[f64]) -> Result<()> {
    match values.iter().enumerate().find(|(_, x)| !x.is_finite()) {
        None => Ok(()),
        Some((row, x)) => Err(Error::invalid(format!("{what} of row {row}"), "finite", x)),
    }
}

/// Checks that numbers are positive and finite. The error calls them `what` and their row.
pub(super) fn check_positive(what: &str, values: &[f64]) -> Result<()> {
    match values.iter().enumerate().find(|(_, x)| !(x.is_finite() && **x > 0.0)) {
        None => Ok(()),
        Some((row, x)) => Err(Error::invalid(format!("{what} of row {row}"), "positive and finite", x)),
    }
}

/// Checks that scores are numbers; they may be infinite.
pub(super) fn check_scores(scores: &[f64]) -> Result<()> {
    match scores.iter().position(|score| score.is_nan()) {
        None => Ok(()),
        Some(row) => Err(Error::invalid(format!("score of row {row}"), "a number", f64::NAN)),
    }
}
