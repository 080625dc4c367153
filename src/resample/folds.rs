//! Folds: each row held out once.
use crate::{
    data::{members, Dataset},
    resample::{
        planned::{How, RowUnits},
        unit::Units,
        PlannedRows, Resample, ResampleUnit, RunRows,
    },
    Error, Result, Rows, Seed,
};
use rand::seq::SliceRandom;
use std::{cmp::Reverse, collections::BinaryHeap};

/// `k` folds: each run holds out one fold and trains on all others; the whole can be repeated with new folds.
///
/// ```text
/// train(run i) = rows whose fold is not i;  slot(run) = its repeat
/// ```
///
/// The folds of one repeat share a slot, so a row's held-out prediction is that of the one model that held it
/// out.
///
/// - By rows, the rows are shuffled and assigned to the folds in turn. Fold sizes are those of scikit-learn's
///   `KFold`: the first `N mod k` folds have one row more.
/// - By strata, the same assignment goes on from stratum to stratum (in the order of their first rows,
///   shuffled within), with the counts of `StratifiedKFold`: the rows of a stratum in two folds differ by at
///   most one, and so do the sizes of the folds. A stratum of fewer than `k` rows is missing from some folds.
///   (scikit-learn warns, and refuses where all strata are that small; here even leave-one-out works.)
/// - By groups, the largest group goes to the fold with the fewest rows, then the next largest, with ties in
///   random order (Graham 1969, doi:10.1137/0117039). Fold sizes are those of `GroupKFold`. Where all groups
///   differ in size, all repeats have the same folds.
/// - Of more than 65,536 rows (by rows or strata), each block of 65,536 rows is shuffled, and its rows are assigned to the
///   folds in turn, the count going on from block to block. The sizes are the same.
///
/// Use it when every row needs exactly one held-out prediction from each slot; see
/// [`KFold`](crate::strategy::KFold). Cost: `(k − 1) / k · N` rows an epoch for each of `k × repeats` runs.
///
/// # Errors
/// [`Resample::draw`] fails when `k` is below 2 or above the number of rows (of groups, where groups are
/// assigned), when `repeats` is 0, or when the data lacks the unit.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, resample::{Folds, Resample}, Seed};
///
/// let x = Tensor::arange(0f32, 6., &Device::Cpu)?.reshape((6, 1))?;
/// let data = TensorDataset::regression(x.clone(), &x)?;
/// let folds = Folds { k: 3, repeats: 1, unit: None, refit: false };
/// let runs = folds.draw(&data, Seed::from(42))?;
/// for run in &runs {
///     assert_eq!(run.train.len()?, 4);
/// }
/// assert_eq!([0, 1, 2].map(|run| folds.slot(run)), [0, 0, 0]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folds {
    /// Number of folds, at least 2 and at most the number of rows (or groups). As many folds as rows is
    /// leave-one-out.
    pub k: usize,
    /// Number of repeats, each with folds of its own, at least 1.
    pub repeats: usize,
    /// What is assigned to the folds; with `None` the data decides ([`ResampleUnit::for_data`]).
    pub unit: Option<ResampleUnit>,
    /// Whether each repeat ends with a run on all rows, which predicts instead of its folds at inference.
    pub refit: bool,
}

impl Folds {
    /// The fold of each row.
    fn assign(&self, units: Units<'_>, seed: Seed) -> Result<Vec<usize>> {
        let mut rng = seed.rng();
        let mut strata: Vec<Rows> = match units {
            Units::Groups(groups) => return self.by_groups(groups, seed),
            Units::Strata(ids) => members(ids)?.into_values().collect(),
            Units::Rows(rows) => vec![(0..rows as u32).collect()],
        };
        strata.sort_unstable(); // by first row, so that the ids of the strata do not matter
        strata.iter_mut().for_each(|rows| rows.shuffle(&mut rng));
        let order = strata.concat();
        self.check("rows", order.len())?;
        let mut folds = vec![0; order.len()];
        for (position, row) in order.into_iter().enumerate() {
            folds[row as usize] = position % self.k;
        }
        Ok(folds)
    }

    /// The fold of each row, by whole groups.
    fn by_groups(&self, ids: &[u32], seed: Seed) -> Result<Vec<usize>> {
        let groups: Vec<Rows> = members(ids)?.into_values().collect();
        self.check("groups", groups.len())?;
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        let mut folds = vec![0; ids.len()];
        for (rows, fold) in groups.into_iter().zip(balanced(&sizes, self.k, seed)) {
            rows.into_iter().for_each(|row| folds[row as usize] = fold);
        }
        Ok(folds)
    }

    fn check_k(&self) -> Result<()> {
        match self.k {
            0 | 1 => Err(Error::invalid("k", "at least 2", self.k)),
            _ => Ok(()),
        }
    }

    fn check(&self, what: &str, count: usize) -> Result<()> {
        if self.k > count {
            return Err(Error::invalid("k", format!("at most the number of {what}, {count}"), self.k));
        }
        Ok(())
    }
}

/// The fold of each group, where groups have so many rows: the largest group first, each to the smallest fold.
pub(crate) fn balanced(sizes: &[usize], k: usize, seed: Seed) -> Vec<usize> {
    let mut groups: Vec<(usize, usize)> = sizes.iter().copied().enumerate().collect();
    groups.shuffle(&mut seed.rng());
    groups.sort_by_key(|(_, size)| Reverse(*size)); // stable: ties stay shuffled
                                                    // The smallest fold is on top; of equal ones the first.
    let mut of_size: BinaryHeap<_> = (0..k).map(|fold| Reverse((0, fold))).collect();
    let mut folds = vec![0; sizes.len()];
    for (group, size) in groups {
        if let (Some(mut smallest), Some(of_group)) = (of_size.peek_mut(), folds.get_mut(group)) {
            let Reverse((rows, fold)) = &mut *smallest;
            *rows += size;
            *of_group = *fold;
        }
    }
    folds
}

/// The fold of each row, of `k` folds.
pub(crate) fn assign_folds(k: usize, units: Units<'_>, seed: Seed) -> Result<Vec<usize>> {
    let folds = Folds { k, repeats: 1, unit: None, refit: false };
    folds.check_k()?;
    folds.assign(units, seed)
}

impl Resample for Folds {
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>> {
        self.check_k()?;
        if self.repeats == 0 {
            return Err(Error::invalid("repeats", "at least 1", 0));
        }
        let units = RowUnits::of(data, self.unit.unwrap_or_else(|| ResampleUnit::for_data(data)))?;
        let (count, what) = units.count();
        self.check(what, count)?;
        let mut draws = vec![];
        for repeat in 0..self.repeats {
            let seed = seed.nth("folds", repeat as u64);
            let others = |fold: usize| {
                let how = How::Folds { k: self.k as u32, fold: fold as u32 };
                RunRows::of(PlannedRows::drawn(&units, how, seed))
            };
            draws.extend((0..self.k).map(others));
            if self.refit {
                draws.push(RunRows { refit: true, ..RunRows::of(0..units.rows()) });
            }
        }
        Ok(draws)
    }

    fn slot(&self, run: usize) -> usize {
        run / (self.k + usize::from(self.refit)).max(1)
    }

    fn name(&self) -> String {
        let refit = if self.refit { ", refit" } else { "" };
        match self.repeats {
            1 => format!("{}-fold{refit}", self.k),
            n => format!("{n} × {}-fold{refit}", self.k),
        }
    }
}
