//! Rows that are drawn from all rows of the data, as the parameters of the draw.
use super::{
    blocks::{interleaved, Copies, Dealt, Draws, Repeated, Selected, BLOCK},
    row_units::{Ids, RowUnits},
    RowIter,
};
use crate::{
    data::{apportion, test_shares, Split},
    resample::{folds, unit::Units},
    Result, Rows, Seed,
};
use rand::{
    seq::{IndexedRandom, SliceRandom},
    Rng,
};
use serde::{Deserialize, Serialize};
use std::{ops::Range, sync::Arc};

/// Rows that are drawn from all rows of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Draw {
    pub(crate) units: RowUnits,
    pub(crate) how: How,
    pub(crate) seed: Seed,
}

/// How rows are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum How {
    /// So many draws with replacement, of rows or of groups.
    Bootstrap { draws: u32 },
    /// A side of a split with so many rows or groups to test on.
    Split { test: u32, side: Side },
    /// The rows outside of a fold.
    Folds { k: u32, fold: u32 },
    /// The rows before the start of a test window, and later rows of groups that a run was fitted on.
    Past { fitted: Range<u32>, start: u32 },
}

/// A side of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Side {
    Train,
    Test,
}

impl Draw {
    /// The number of rows, without the rows themselves where that is possible.
    pub(crate) fn len(&self) -> Result<usize> {
        let rows = self.units.rows();
        let of_rows = match &self.how {
            _ if self.units.are_groups() => return self.len_of_groups(),
            How::Bootstrap { draws } => *draws,
            How::Split { test, side: Side::Test } => *test,
            How::Split { test, side: Side::Train } => rows.saturating_sub(*test),
            How::Folds { k, fold } => {
                let k = (*k).max(1);
                rows - rows / k - u32::from(*fold < rows % k)
            }
            How::Past { start, .. } => *start,
        };
        Ok(of_rows as usize)
    }

    fn len_of_groups(&self) -> Result<usize> {
        match (&self.how, self.units.ids()?) {
            (How::Past { .. }, _) | (_, None) => Ok(self.iter()?.count()),
            (_, Some(groups)) => {
                let copies = self.copies_of_groups(groups)?;
                Ok(copies.iter().zip(&groups.sizes).map(|(copies, size)| *copies as usize * size).sum())
            }
        }
    }

    /// The rows in order.
    pub(crate) fn iter(&self) -> Result<RowIter<'static>> {
        let (rows, ids) = (self.units.rows(), self.units.ids()?);
        if let How::Past { fitted, start } = &self.how {
            return Ok(past(rows, ids.cloned(), fitted.clone(), *start));
        }
        match ids {
            Some(groups) if self.units.are_groups() => {
                let (groups, of_group) = (groups.clone(), self.copies_of_groups(groups)?);
                let copies = move |row: u32| {
                    let group = groups.of_row.get(row as usize);
                    group.and_then(|group| of_group.get(*group as usize)).copied().unwrap_or_default()
                };
                Ok(Box::new(Repeated { copies, next: 0, rows, left: 0 }))
            }
            _ if rows <= BLOCK => Ok(Box::new(self.at_once(ids)?.into_iter())),
            _ => self.by_blocks(ids),
        }
    }

    /// The rows of data of one block.
    fn at_once(&self, ids: Option<&Arc<Ids>>) -> Result<Rows> {
        let raw = ids.map(|ids| ids.raw());
        let rows = self.units.rows();
        let units = raw.as_deref().map_or(Units::Rows(rows as usize), Units::Strata);
        match &self.how {
            How::Bootstrap { draws } => self.bootstrap(ids, *draws as usize),
            How::Split { test, side } => {
                let split = match units {
                    Units::Strata(strata) => Split::stratified_of(strata, *test as usize, self.seed)?,
                    _ => Split::random_of(rows as usize, *test as usize, self.seed)?,
                };
                Ok(match side {
                    Side::Train => split.train,
                    Side::Test => split.test,
                })
            }
            How::Folds { k, fold } => {
                let of_row = folds::assign_folds(*k as usize, units, self.seed)?;
                let outside = |(_, of_row): &(u32, usize)| *of_row != *fold as usize;
                Ok((0u32..).zip(of_row).filter(outside).map(|(row, _)| row).collect())
            }
            How::Past { start, .. } => Ok((0..*start).collect()),
        }
    }

    fn bootstrap(&self, ids: Option<&Arc<Ids>>, draws: usize) -> Result<Rows> {
        let mut rng = self.seed.rng();
        let mut sample: Rows = match ids {
            None => (0..draws).map(|_| rng.random_range(0..self.units.rows().max(1))).collect(),
            Some(ids) => {
                let mut strata = vec![Rows::new(); ids.keys.len()];
                for (row, number) in (0u32..).zip(&ids.of_row) {
                    if let Some(rows) = strata.get_mut(*number as usize) {
                        rows.push(row);
                    }
                }
                let mut sample = Rows::with_capacity(draws);
                for (rows, draws) in strata.iter().zip(shares(ids, draws)) {
                    sample.extend((0..draws).filter_map(|_| rows.choose(&mut rng)));
                }
                sample
            }
        };
        sample.sort_unstable();
        Ok(sample)
    }

    /// The rows of data of several blocks.
    fn by_blocks(&self, ids: Option<&Arc<Ids>>) -> Result<RowIter<'static>> {
        let rows = self.units.rows();
        let sizes = ids.map_or_else(|| vec![rows as usize], |ids| ids.sizes.clone());
        let seed = |number: usize| {
            let key = ids.and_then(|ids| ids.keys.get(number)).copied().unwrap_or_default();
            self.seed.nth("stratum", key.into())
        };
        fn all<S: Copies>(
            ids: Option<&Arc<Ids>>,
            rows: u32,
            streams: impl Iterator<Item = S>,
        ) -> RowIter<'static> {
            interleaved(ids.cloned(), rows, streams.collect())
        }
        let numbered = sizes.iter().enumerate();
        Ok(match &self.how {
            How::Bootstrap { draws } => {
                let draws = ids.map_or_else(|| vec![*draws as usize], |ids| shares(ids, *draws as usize));
                let stream = |((number, size), draws): ((usize, &usize), usize)| {
                    Draws::new(*size as u32, draws, seed(number))
                };
                all(ids, rows, numbered.zip(draws).map(stream))
            }
            How::Split { test, side } => {
                let shares = match ids {
                    Some(ids) => test_shares(&ids.sizes, *test as usize)?,
                    None => vec![*test as usize],
                };
                let stream = |((number, size), share): ((usize, &usize), usize)| {
                    Selected::new(*size, share, *side == Side::Test, seed(number))
                };
                all(ids, rows, numbered.zip(shares).map(stream))
            }
            How::Folds { k, fold } => {
                let order = ids.map_or_else(|| vec![0], |ids| ids.by_first_row());
                let (mut before, mut dealt) = (vec![0; sizes.len()], 0);
                for number in order {
                    if let (Some(before), Some(size)) = (before.get_mut(number), sizes.get(number)) {
                        *before = dealt;
                        dealt += size;
                    }
                }
                let stream = |((number, size), before): ((usize, &usize), usize)| {
                    Dealt::new(*size as u32, before, (*k, *fold), seed(number))
                };
                all(ids, rows, numbered.zip(before).map(stream))
            }
            How::Past { start, .. } => Box::new(0..*start),
        })
    }

    /// How often the rows of each group are drawn.
    fn copies_of_groups(&self, groups: &Ids) -> Result<Vec<u32>> {
        let mut numbers: Vec<u32> = (0..groups.keys.len() as u32).collect();
        let mut copies = vec![0u32; numbers.len()];
        match &self.how {
            How::Bootstrap { draws } => {
                let mut rng = self.seed.rng();
                for _ in 0..*draws {
                    let copies = numbers.choose(&mut rng).and_then(|group| copies.get_mut(*group as usize));
                    copies.into_iter().for_each(|copies| *copies += 1);
                }
            }
            How::Split { test, side } => {
                copies.fill(u32::from(*side == Side::Train));
                let mut rng = self.seed.child("split").rng();
                for group in numbers.partial_shuffle(&mut rng, *test as usize).0 {
                    if let Some(copies) = copies.get_mut(*group as usize) {
                        *copies = u32::from(*side == Side::Test);
                    }
                }
            }
            How::Folds { k, fold } => {
                let of_group = folds::balanced(&groups.sizes, *k as usize, self.seed);
                copies = of_group.into_iter().map(|of_group| u32::from(of_group != *fold as usize)).collect();
            }
            How::Past { .. } => {}
        }
        Ok(copies)
    }
}

/// How many rows are drawn from each stratum.
fn shares(strata: &Ids, draws: usize) -> Vec<usize> {
    apportion(&strata.sizes, draws, |_| usize::MAX).unwrap_or_default()
}

fn past(rows: u32, groups: Option<Arc<Ids>>, fitted: Range<u32>, start: u32) -> RowIter<'static> {
    let Some(groups) = groups else { return Box::new(0..start) };
    let mut is_fitted = vec![false; groups.keys.len()];
    for group in groups.of_row.get(fitted.start as usize..fitted.end as usize).unwrap_or_default() {
        is_fitted.get_mut(*group as usize).into_iter().for_each(|fitted| *fitted = true);
    }
    let of_fitted = move |row: &u32| {
        let group = groups.of_row.get(*row as usize);
        group.and_then(|group| is_fitted.get(*group as usize)).is_some_and(|fitted| *fitted)
    };
    Box::new((0..start).chain((start..rows).filter(of_fitted)))
}
