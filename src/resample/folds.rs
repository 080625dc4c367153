//! Each row held out once.
use crate::{
    data::{members, Dataset},
    resample::{unit::Units, Resample, ResampleUnit, RunRows},
    Error, Result, Rows, Seed,
};
use rand::seq::SliceRandom;

/// `k` folds: each run holds one of them out and trains on all others; repeated with new folds, if you like.
///
/// The folds of one repeat act as one predictor, so a row's held-out prediction is that of the one model that held it
/// out. Rows are shuffled and dealt to the folds in turn: fold sizes are those of scikit-learn's `KFold`, the
/// first `n mod k` folds one row larger. By strata the same deal goes from stratum to stratum (in the order in
/// which they first occur, and shuffled within), as `StratifiedKFold` counts them: each stratum's rows in two
/// folds differ by at most one, and so do the folds' sizes. A stratum of fewer than `k` rows is missing from
/// some folds (scikit-learn warns, and refuses where all strata are that small; here even leave-one-out is
/// fine). By groups the largest group goes to the fold with the fewest rows, and so on, ties in random order
/// (Graham 1969, doi:10.1137/0117039), which gives the sizes of `GroupKFold`: where all groups differ in size,
/// all repeats have the same folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folds {
    /// How many folds, at least 2 and at most the number of rows (or groups); as many as rows is leave-one-out.
    pub k: usize,
    /// How many times, each with folds of its own, at least 1.
    pub repeats: usize,
    /// What is dealt; if `None`, what suits the data ([`ResampleUnit::suiting`]).
    pub by: Option<ResampleUnit>,
    /// Whether each repeat ends with a run on all rows, which predicts in its folds' place at inference.
    pub refit: bool,
}

impl Folds {
    /// The fold of each row.
    fn assign(&self, units: Units<'_>, seed: Seed) -> Result<Vec<usize>> {
        let mut rng = seed.rng();
        let mut classes: Vec<Rows> = match units {
            Units::Groups(groups) => return self.balanced(groups, seed),
            Units::Strata(strata) => members(strata)?.into_values().collect(),
            Units::Rows(rows) => vec![(0..rows as u32).collect()],
        };
        classes.sort_unstable(); // by first row, so that the names of strata do not matter
        classes.iter_mut().for_each(|rows| rows.shuffle(&mut rng));
        let order = classes.concat();
        self.check("rows", order.len())?;
        let mut folds = vec![0; order.len()];
        for (position, row) in order.into_iter().enumerate() {
            folds[row as usize] = position % self.k;
        }
        Ok(folds)
    }

    /// Whole groups, the largest first, each to the lightest fold.
    fn balanced(&self, ids: &[u32], seed: Seed) -> Result<Vec<usize>> {
        let mut groups: Vec<Rows> = members(ids)?.into_values().collect();
        self.check("groups", groups.len())?;
        groups.shuffle(&mut seed.rng());
        groups.sort_by_key(|rows| std::cmp::Reverse(rows.len())); // stable: ties stay shuffled
        let (mut folds, mut sizes) = (vec![0; ids.len()], vec![0; self.k]);
        for rows in groups {
            let lightest = (0..self.k).min_by_key(|fold| sizes[*fold]).unwrap_or(0);
            sizes[lightest] += rows.len();
            rows.into_iter().for_each(|row| folds[row as usize] = lightest);
        }
        Ok(folds)
    }

    fn check_k(&self) -> Result<()> {
        match self.k {
            0 | 1 => Err(Error::invalid("k", "at least 2", self.k)),
            _ => Ok(()),
        }
    }

    fn check(&self, what: &str, of: usize) -> Result<()> {
        if self.k > of {
            return Err(Error::invalid("k", format!("at most the number of {what}, {of}"), self.k));
        }
        Ok(())
    }
}

/// The fold of each row, of `k`.
pub(crate) fn deal(k: usize, units: Units<'_>, seed: Seed) -> Result<Vec<usize>> {
    let folds = Folds { k, repeats: 1, by: None, refit: false };
    folds.check_k()?;
    folds.assign(units, seed)
}

impl Resample for Folds {
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>> {
        self.check_k()?;
        if self.repeats == 0 {
            return Err(Error::invalid("repeats", "at least 1", 0));
        }
        let units = self.by.unwrap_or_else(|| ResampleUnit::suiting(data)).units(data)?;
        let mut draws = vec![];
        for repeat in 0..self.repeats {
            let folds = self.assign(units, seed.nth("folds", repeat as u64))?;
            let others =
                |out: usize| (0u32..).zip(&folds).filter(move |(_, f)| **f != out).map(|(row, _)| row);
            draws.extend((0..self.k).map(|fold| RunRows::of(others(fold).collect())));
            if self.refit {
                draws.push(RunRows { refit: true, ..RunRows::of((0..folds.len() as u32).collect()) });
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
