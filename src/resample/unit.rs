//! What a draw is made of.
use crate::{data::Dataset, Error, Result};

/// What a draw is made of: rows alike, rows within strata, or whole groups.
///
/// Where the data has groups ([`Dataset::groups`]), none is ever split between rows that a member is fitted on
/// and rows that it is held out from: to draw such data by rows or by strata is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResampleUnit {
    /// All rows alike.
    Rows,
    /// Rows within each stratum ([`Dataset::strata`]), so that proportions are kept.
    Strata,
    /// Whole groups ([`Dataset::groups`]).
    Groups,
}

impl ResampleUnit {
    /// What suits the data: groups where it has them, else strata where it has them, else rows.
    #[must_use]
    pub fn suiting(data: &dyn Dataset) -> Self {
        match (data.groups(), data.strata()) {
            (Some(_), _) => Self::Groups,
            (None, Some(_)) => Self::Strata,
            (None, None) => Self::Rows,
        }
    }

    /// What there is to draw, checked.
    pub(crate) fn units(self, data: &dyn Dataset) -> Result<Units<'_>> {
        let rows = row_count(data)? as usize;
        if self != Self::Groups && data.groups().is_some() {
            let what = format!("a draw by {}", if self == Self::Rows { "rows" } else { "strata" });
            return Err(Error::invalid(what, "from data without groups", "from data with groups"));
        }
        match self {
            Self::Rows => Ok(Units::Rows(rows)),
            Self::Strata => Ok(Units::Strata(one_a_row("strata", data.strata(), rows)?)),
            Self::Groups => Ok(Units::Groups(one_a_row("groups", data.groups(), rows)?)),
        }
    }
}

/// How many rows the data has, in the type of their numbers.
pub(crate) fn row_count(data: &dyn Dataset) -> Result<u32> {
    let rows = data.rows();
    match u32::try_from(rows) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Error::invalid("the number of rows", format!("from 1 to {}", u32::MAX), rows)),
    }
}

fn one_a_row<'a>(what: &str, ids: Option<&'a [u32]>, rows: usize) -> Result<&'a [u32]> {
    let Some(ids) = ids else {
        let (must, got) = (format!("from data with {what}"), format!("from data without {what}"));
        return Err(Error::invalid(format!("a draw by {what}"), must, got));
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

/// What there is to draw: so many rows, or the stratum or the group of each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Units<'a> {
    Rows(usize),
    Strata(&'a [u32]),
    Groups(&'a [u32]),
}
