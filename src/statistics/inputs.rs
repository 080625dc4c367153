//! Checks of the inputs of tests and intervals.
use crate::{Error, Result};

/// Checks that there are at least two differences, and that all are finite.
pub(super) fn check_differences(differences: &[f64]) -> Result<()> {
    if differences.len() < 2 {
        return Err(Error::invalid("number of differences", "at least 2", differences.len()));
    }
    check_finite("difference", differences)
}

/// Checks that numbers are finite. The error calls them `what` and their place.
pub(super) fn check_finite(what: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(format!("{what} {i}"), "finite", values[i])),
    }
}

/// Checks that there is one group number for each of `rows` rows.
pub(super) fn check_groups(groups: &[u32], rows: usize, what: &str) -> Result<()> {
    if groups.len() == rows {
        return Ok(());
    }
    Err(Error::invalid("number of group numbers", format!("{rows}, one for each {what}"), groups.len()))
}

/// Checks a table of at least two rows and two columns, all rows of one length and all numbers finite, and
/// returns the number of columns.
pub(super) fn check_table<R: AsRef<[f64]>>(table: &[R], row: &str, column: &str) -> Result<usize> {
    if table.len() < 2 {
        return Err(Error::invalid(format!("number of {row}s"), "at least 2", table.len()));
    }
    let columns = table.first().map_or(0, |first| first.as_ref().len());
    if columns < 2 {
        return Err(Error::invalid(format!("number of {column}s"), "at least 2", columns));
    }
    for (i, values) in table.iter().enumerate() {
        let values = values.as_ref();
        if values.len() != columns {
            let what = format!("number of scores of {row} {i}");
            return Err(Error::invalid(what, format!("{columns}, one for each {column}"), values.len()));
        }
        check_finite(&format!("{row} {i}, {column}"), values)?;
    }
    Ok(columns)
}
