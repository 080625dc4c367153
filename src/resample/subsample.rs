//! Rows drawn without replacement.
use crate::{
    data::{members, Dataset, Split},
    resample::{unit::Units, Amount, Resample, ResampleUnit, RunRows},
    Error, Result, Seed,
};

/// Random splits: each run trains on a random part of the rows, drawn without replacement, and holds the others
/// out, unlike folds independently of the other runs.
///
/// By strata, proportions are kept as by [`Split::stratified`]; by groups, whole groups are drawn, and the amount
/// is one of groups, as in scikit-learn's `GroupShuffleSplit`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subsample {
    /// How many splits, at least 1.
    pub runs: usize,
    /// How many rows (or groups) to train on: fewer than there are.
    pub amount: Amount,
    /// What is drawn; if `None`, what suits the data ([`ResampleUnit::suiting`]).
    pub by: Option<ResampleUnit>,
}

impl Resample for Subsample {
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>> {
        if self.runs == 0 {
            return Err(Error::invalid("runs", "at least 1", 0));
        }
        let units = self.by.unwrap_or_else(|| ResampleUnit::suiting(data)).units(data)?;
        let (of, what) = match units {
            Units::Rows(rows) => (rows, "rows"),
            Units::Strata(strata) => (strata.len(), "rows"),
            Units::Groups(groups) => (members(groups)?.len(), "groups"),
        };
        let out = of - self.amount.up_to(of, of.saturating_sub(1), what)?;
        let split = |run: usize| {
            let seed = seed.nth("split", run as u64);
            let split = match units {
                Units::Rows(rows) => Split::random_of(rows, out, seed),
                Units::Strata(strata) => Split::stratified_of(strata, out, seed),
                Units::Groups(groups) => Split::grouped_of(groups, out, seed),
            };
            Ok(RunRows::of(split?.train))
        };
        (0..self.runs).map(split).collect()
    }

    fn name(&self) -> String {
        "random split".into()
    }
}
