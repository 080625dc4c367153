//! Rows drawn with replacement.
use crate::{
    data::{apportion, members, Dataset},
    resample::{unit::Units, Amount, Resample, ResampleUnit, RunRows},
    Error, Result, Rows, Seed,
};
use rand::{seq::IndexedRandom, Rng};

/// The bootstrap: draws the rows of each run uniformly with replacement.
///
/// ```text
/// train(run) = n draws from 0 … N − 1;  P(a row is left out) = (1 − 1/N)ⁿ, about 1/e for n = N
/// ```
///
/// - By strata, the sample is divided among the strata in proportion to their sizes, by largest remainder,
///   and drawn within each. At full size each stratum keeps its size.
/// - By groups, groups are drawn, and all rows of a group enter the sample as often as the group is drawn.
///
/// Use it for small data, and to get held-out predictions; see [`Bagging`](crate::strategy::Bagging). Do not
/// use it when copies of rows disturb training: see [`Subsample`](crate::resample::Subsample). Cost: `n` rows an epoch for each run.
///
/// # Errors
/// [`Resample::draw`] fails when `runs` is 0, when the amount is not above 0, or when the data lacks the
/// unit.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, resample::{Amount, Bootstrap, Resample}, Seed};
///
/// let x = Tensor::arange(0f32, 10., &Device::Cpu)?.reshape((10, 1))?;
/// let data = TensorDataset::regression(x.clone(), &x)?;
/// let runs = Bootstrap { runs: 3, amount: Amount::Share(0.5), unit: None }.draw(&data, Seed::from(42))?;
/// assert_eq!(runs[0].train, [3, 3, 6, 8, 8]); // sorted; 3 and 8 are drawn twice
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Efron 1979, doi:10.1214/aos/1176344552; by strata Davison and Hinkley 1997,
/// doi:10.1017/CBO9780511802843; by groups Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of samples, at least 1.
    pub runs: usize,
    /// Number of rows (of groups, where groups are drawn) in each sample.
    pub amount: Amount,
    /// What is drawn; `None` means groups where the data has them, and rows otherwise.
    pub unit: Option<ResampleUnit>,
}

impl Resample for Bootstrap {
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>> {
        if self.runs == 0 {
            return Err(Error::invalid("runs", "at least 1", 0));
        }
        let default = if data.groups().is_some() { ResampleUnit::Groups } else { ResampleUnit::Rows };
        let source = Source::of(self.unit.unwrap_or(default).units(data)?, self.amount)?;
        let sample = |run: usize| source.sample(&mut seed.nth("bootstrap", run as u64).rng());
        Ok((0..self.runs).map(sample).map(RunRows::of).collect())
    }

    fn name(&self) -> String {
        match self.unit {
            Some(ResampleUnit::Strata) => "stratified bootstrap".into(),
            _ => "bootstrap".into(),
        }
    }
}

/// What samples are drawn from.
enum Source {
    /// `draws` of `rows` rows.
    Rows { rows: u32, draws: usize },
    /// The rows of each stratum, and the number of draws from it.
    Strata(Vec<(Rows, usize)>),
    /// `draws` of these groups.
    Groups { groups: Vec<Rows>, draws: usize },
}

impl Source {
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
