//! What is drawn: rows, rows within strata, or groups.
use crate::{data::Dataset, Error, Result};
use serde::{Deserialize, Serialize};

/// What a resampling draws: single rows, rows within strata, or whole groups.
///
/// Where the data has groups ([`Dataset::groups`]), no group is split between rows that a member is fitted on
/// and rows that are held out for it: drawing such data by rows or by strata is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResampleUnit {
    /// Single rows.
    Rows,
    /// Rows within each stratum ([`Dataset::strata`]), so that the proportions of the strata are kept.
    Strata,
    /// Whole groups ([`Dataset::groups`]).
    Groups,
}

impl ResampleUnit {
    /// The unit for this data: groups where it has groups, otherwise strata where it has strata, otherwise
    /// rows.
    #[must_use]
    pub fn for_data(data: &dyn Dataset) -> Self {
        match (data.groups(), data.strata()) {
            (Some(_), _) => Self::Groups,
            (None, Some(_)) => Self::Strata,
            (None, None) => Self::Rows,
        }
    }

    /// The units of the data, after checks.
    pub(crate) fn units(self, data: &dyn Dataset) -> Result<Units<'_>> {
        let rows = row_count(data)? as usize;
        if self != Self::Groups && data.groups().is_some() {
            let what = format!("a resampling by {}", if self == Self::Rows { "rows" } else { "strata" });
            return Err(Error::invalid(what, "of data without groups", "of data with groups"));
        }
        match self {
            Self::Rows => Ok(Units::Rows(rows)),
            Self::Strata => Ok(Units::Strata(checked_ids("strata", data.strata(), rows)?)),
            Self::Groups => Ok(Units::Groups(checked_ids("groups", data.groups(), rows)?)),
        }
    }
}

/// The number of rows of the data, in the type of row numbers; an error where there are none.
pub(crate) fn row_count(data: &dyn Dataset) -> Result<u32> {
    let rows = data.rows();
    match u32::try_from(rows) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Error::invalid("the number of rows", format!("from 1 to {}", u32::MAX), rows)),
    }
}

/// The ids, checked to be there, one for each row.
fn checked_ids<'a>(what: &str, ids: Option<&'a [u32]>, rows: usize) -> Result<&'a [u32]> {
    let Some(ids) = ids else {
        let (must, got) = (format!("of data with {what}"), format!("of data without {what}"));
        return Err(Error::invalid(format!("a resampling by {what}"), must, got));
    };
    if ids.len() != rows {
        return Err(Error::invalid(
            format!("the number of {what}"),
            format!("that of rows, {rows}"),
            ids.len(),
        ));
    }
    Ok(ids)
}

/// What there is to draw: the number of rows, or the stratum or the group of each row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Units<'a> {
    Rows(usize),
    Strata(&'a [u32]),
    Groups(&'a [u32]),
}
