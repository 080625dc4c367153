//! Rows drawn with replacement.
use crate::{
    data::{apportion, members, Dataset},
    resample::{unit::Units, Amount, Resample, ResampleUnit, RunRows},
    Error, Result, Rows, Seed,
};
use rand::{seq::IndexedRandom, Rng};

/// The bootstrap (Efron 1979, doi:10.1214/aos/1176344552): rows drawn uniformly with replacement. A row is out
/// of a sample of `n` from `N` with probability `(1 − 1/N)ⁿ`, about e⁻¹ at full size.
///
/// By strata (Davison and Hinkley 1997, doi:10.1017/CBO9780511802843), the sample is dealt out to the strata in
/// proportion to their sizes, by largest remainder, and drawn within each: at full size each stratum is
/// resampled to its own size. By groups (Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x), groups are
/// drawn, and all rows of a group come along, as often as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// How many samples, at least 1.
    pub runs: usize,
    /// How many rows (or groups) each.
    pub amount: Amount,
    /// What is drawn; if `None`, groups where the data has them, else rows.
    pub by: Option<ResampleUnit>,
}

impl Resample for Bootstrap {
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>> {
        if self.runs == 0 {
            return Err(Error::invalid("runs", "at least 1", 0));
        }
        let natural = if data.groups().is_some() { ResampleUnit::Groups } else { ResampleUnit::Rows };
        let urns = Urns::of(self.by.unwrap_or(natural).units(data)?, self.amount)?;
        let sample = |run: usize| urns.sample(&mut seed.nth("bootstrap", run as u64).rng());
        Ok((0..self.runs).map(sample).map(RunRows::of).collect())
    }

    fn name(&self) -> String {
        match self.by {
            Some(ResampleUnit::Strata) => "stratified bootstrap".into(),
            _ => "bootstrap".into(),
        }
    }
}

/// What is drawn from.
enum Urns {
    /// So many of so many rows.
    Rows { rows: u32, draws: usize },
    /// So many rows of each stratum.
    Strata(Vec<(Rows, usize)>),
    /// So many groups.
    Groups { groups: Vec<Rows>, draws: usize },
}

impl Urns {
    fn of(units: Units<'_>, amount: Amount) -> Result<Self> {
        match units {
            Units::Rows(rows) => Ok(Self::Rows { rows: rows as u32, draws: amount.of(rows)? }),
            Units::Strata(ids) => {
                let strata: Vec<Rows> = members(ids)?.into_values().collect();
                let sizes: Vec<_> = strata.iter().map(Vec::len).collect();
                let shares = apportion(&sizes, amount.of(ids.len())?, |_| usize::MAX).unwrap_or_default();
                Ok(Self::Strata(strata.into_iter().zip(shares).collect()))
            }
            Units::Groups(ids) => {
                let groups: Vec<Rows> = members(ids)?.into_values().collect();
                Ok(Self::Groups { draws: amount.of(groups.len())?, groups })
            }
        }
    }

    /// One sample, sorted.
    fn sample(&self, rng: &mut impl Rng) -> Rows {
        let mut sample = Rows::new();
        match self {
            Self::Rows { rows, draws } => sample.extend((0..*draws).map(|_| rng.random_range(0..*rows))),
            Self::Strata(strata) => {
                for (rows, draws) in strata {
                    sample.extend((0..*draws).filter_map(|_| rows.choose(rng)));
                }
            }
            Self::Groups { groups, draws } => {
                sample.extend((0..*draws).filter_map(|_| groups.choose(rng)).flatten());
            }
        }
        sample.sort_unstable();
        sample
    }
}
