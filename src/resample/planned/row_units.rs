//! What a rule draws: rows, rows within strata, or groups.
use crate::{
    data::{test_shares, Dataset},
    resample::{unit::Units, ResampleUnit},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// What a rule draws from: all rows, the rows of each stratum, or whole groups.
///
/// Strata and groups are listed once for all rules of a plan. They are not written to disk: [`Self::bound`] finds them again
/// in the data, and notices if they are others.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RowUnits {
    rows: u32,
    unit: ResampleUnit,
    /// A hash of the strata or groups.
    hash: Option<[u8; 16]>,
    #[serde(skip)]
    ids: Option<Arc<Ids>>,
}

/// The stratum or the group of each row. They are numbered from 0 in the order of their ids.
pub(crate) struct Ids {
    /// The number of each row's stratum or group.
    pub(crate) of_row: Vec<u32>,
    /// The ids in increasing order.
    pub(crate) keys: Vec<u32>,
    /// How many rows each has.
    pub(crate) sizes: Vec<usize>,
}

impl RowUnits {
    /// The units of the data, after checks.
    pub(crate) fn of(data: &dyn Dataset, unit: ResampleUnit) -> Result<Self> {
        Ok(match unit.units(data)? {
            Units::Rows(rows) => Self { rows: rows as u32, unit, hash: None, ids: None },
            Units::Strata(ids) | Units::Groups(ids) => {
                let (rows, hash, ids) = (ids.len() as u32, Some(hash(ids)), Some(Arc::new(Ids::of(ids))));
                Self { rows, unit, hash, ids }
            }
        })
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether whole groups are drawn.
    pub(crate) fn are_groups(&self) -> bool {
        self.unit == ResampleUnit::Groups
    }

    /// How many there are to draw, and their name: groups, or rows.
    pub(crate) fn count(&self) -> (usize, &'static str) {
        match (&self.ids, self.are_groups()) {
            (Some(groups), true) => (groups.keys.len(), "groups"),
            _ => (self.rows as usize, "rows"),
        }
    }

    /// Checks that a split with so many rows to test on is possible.
    pub(crate) fn check_split(&self, test: usize) -> Result<()> {
        match self.ids()? {
            Some(strata) if !self.are_groups() => test_shares(&strata.sizes, test).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The strata or the groups; `None` where rows are drawn.
    ///
    /// # Errors
    /// When they were read from a file and have not been bound to their data.
    pub(crate) fn ids(&self) -> Result<Option<&Arc<Ids>>> {
        match (self.hash, &self.ids) {
            (None, _) => Ok(None),
            (Some(_), Some(ids)) => Ok(Some(ids)),
            (Some(_), None) => {
                let name = if self.are_groups() { "groups" } else { "strata" };
                let what = format!("a plan whose rows are drawn by {name}");
                Err(Error::invalid(what, "bound to its data (Plan::bind)", "read from a file without it"))
            }
        }
    }

    /// Whether the strata or groups are there, if they are needed.
    pub(crate) fn is_bound(&self) -> bool {
        self.hash.is_none() || self.ids.is_some()
    }

    /// The same units with the strata or groups of the data. `known` are those that have been listed already.
    pub(crate) fn bound(&self, data: &dyn Dataset, known: &mut Vec<Self>) -> Result<Self> {
        if self.hash.is_none() {
            return Ok(self.clone());
        }
        if let Some(same) = known.iter().find(|units| *units == self) {
            return Ok(same.clone());
        }
        let found = Self::of(data, self.unit)?;
        if found != *self {
            let why = "its rows were drawn by other strata or groups".to_string();
            return Err(Error::Foreign { what: "the plan".into(), why });
        }
        known.push(found.clone());
        Ok(found)
    }
}

/// Whether they are drawn from the same rows, strata or groups, bound or not.
impl PartialEq for RowUnits {
    fn eq(&self, other: &Self) -> bool {
        (self.rows, self.unit, self.hash) == (other.rows, other.unit, other.hash)
    }
}

impl fmt::Debug for RowUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} rows", self.unit, self.rows)
    }
}

impl Ids {
    fn of(ids: &[u32]) -> Self {
        let mut keys = ids.to_vec();
        keys.sort_unstable();
        keys.dedup();
        let number = |id: &u32| keys.binary_search(id).unwrap_or_default() as u32;
        let of_row: Vec<u32> = ids.iter().map(number).collect();
        let mut sizes = vec![0; keys.len()];
        for number in &of_row {
            if let Some(size) = sizes.get_mut(*number as usize) {
                *size += 1;
            }
        }
        Self { of_row, keys, sizes }
    }

    /// The id of each row.
    pub(crate) fn raw(&self) -> Vec<u32> {
        self.of_row.iter().filter_map(|number| self.keys.get(*number as usize).copied()).collect()
    }

    /// The numbers in the order of their first rows.
    pub(crate) fn by_first_row(&self) -> Vec<usize> {
        let (mut order, mut found) = (vec![], vec![false; self.keys.len()]);
        for number in &self.of_row {
            if let Some(found @ false) = found.get_mut(*number as usize) {
                *found = true;
                order.push(*number as usize);
                if order.len() == self.keys.len() {
                    break;
                }
            }
        }
        order
    }
}

fn hash(ids: &[u32]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in ids.chunks(1 << 14) {
        hasher.update(&part.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>());
    }
    let mut short = [0; 16];
    short.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
    short
}
