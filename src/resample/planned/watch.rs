//! The share of a run's rows that is set aside for early stopping.
use super::{
    blocks::{Copies, Selected, BLOCK},
    draw::Side,
    row_units::{Ids, RowUnits},
    RowIter,
};
use crate::{
    data::{test_shares, test_size, Split},
    Result, Rows, Seed,
};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Splits the distinct rows of a run: whole groups, or within strata, or rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    pub(crate) units: RowUnits,
    #[serde(with = "crate::codec::real")]
    pub(crate) share: f64,
    pub(crate) seed: Seed,
}

impl Watch {
    /// A side of the rows that `rows` returns, in order: all copies of those to train on, or those that are watched, once
    /// each.
    pub(crate) fn side<'a>(&self, side: Side, rows: impl Fn() -> Result<RowIter<'a>>) -> Result<RowIter<'a>> {
        if self.units.rows() <= BLOCK {
            let all: Rows = rows()?.collect();
            let watched = self.of_list(&all)?;
            return Ok(match side {
                Side::Test => Box::new(watched.into_iter()),
                Side::Train => {
                    let is_watched = move |row: &u32| watched.binary_search(row).is_ok();
                    Box::new(all.into_iter().filter(move |row| !is_watched(row)))
                }
            });
        }
        let (mut chosen, mut last) = (self.chosen(&rows)?, None::<(u32, bool)>);
        let keep = move |row: &u32| match last {
            Some((before, watched)) if before == *row => side == Side::Train && !watched,
            _ => {
                let watched = chosen(*row);
                last = Some((*row, watched));
                watched == (side == Side::Test)
            }
        };
        Ok(Box::new(rows()?.filter(keep)))
    }

    /// The watched rows of these, sorted.
    pub(crate) fn of_list(&self, rows: &[u32]) -> Result<Rows> {
        let mut distinct = rows.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let split = match self.units.ids()? {
            None => Split::random(distinct.len(), self.share, self.seed)?,
            Some(ids) => {
                let number = |row: &u32| ids.of_row.get(*row as usize).copied().unwrap_or_default();
                let key = |row: &u32| ids.keys.get(number(row) as usize).copied().unwrap_or_default();
                let of_rows: Vec<u32> = distinct.iter().map(key).collect();
                match self.units.are_groups() {
                    true => Split::grouped(&of_rows, self.share, self.seed)?,
                    false => Split::stratified(&of_rows, self.share, self.seed)?,
                }
            }
        };
        Ok(split.test.iter().filter_map(|at| distinct.get(*at as usize).copied()).collect())
    }

    /// What says of the distinct rows, in order, whether they are watched.
    fn chosen<'a>(
        &self,
        rows: &impl Fn() -> Result<RowIter<'a>>,
    ) -> Result<Box<dyn FnMut(u32) -> bool + Send>> {
        let ids = self.units.ids()?;
        let (mut counts, mut last) = (vec![0usize; ids.map_or(1, |ids| ids.keys.len())], None);
        for row in rows()?.filter(|row| last.replace(*row) != Some(*row)) {
            counts.get_mut(number(ids.map(|ids| &**ids), row)).into_iter().for_each(|count| *count += 1);
        }
        let all = counts.iter().sum();
        if self.units.are_groups() {
            let (groups, chosen) = (ids.cloned(), self.groups(&counts)?);
            return Ok(Box::new(move |row| {
                chosen.get(number(groups.as_deref(), row)).is_some_and(|chosen| *chosen)
            }));
        }
        let size = test_size("rows", all, self.share)?;
        let shares = match ids {
            Some(_) => test_shares(&counts, size)?,
            None => vec![size],
        };
        let mut streams: Vec<Selected> = (0u64..)
            .zip(counts.iter().zip(shares))
            .map(|(stratum, (count, share))| {
                Selected::new(*count, share, true, self.seed.nth("stratum", stratum))
            })
            .collect();
        let ids = ids.cloned();
        Ok(Box::new(move |row| {
            streams.get_mut(number(ids.as_deref(), row)).is_some_and(|stream| stream.next_copies() > 0)
        }))
    }

    /// Whether each group is watched, of those that have rows.
    fn groups(&self, counts: &[usize]) -> Result<Vec<bool>> {
        let mut there: Vec<usize> = (0..counts.len()).filter(|group| counts.get(*group) > Some(&0)).collect();
        let size = test_size("groups", there.len(), self.share)?;
        let mut chosen = vec![false; counts.len()];
        for group in there.partial_shuffle(&mut self.seed.child("split").rng(), size).0 {
            chosen.get_mut(*group).into_iter().for_each(|chosen| *chosen = true);
        }
        Ok(chosen)
    }
}

/// The number of a row's stratum or group.
fn number(ids: Option<&Ids>, row: u32) -> usize {
    ids.map_or(0, |ids| ids.of_row.get(row as usize).copied().unwrap_or_default() as usize)
}
