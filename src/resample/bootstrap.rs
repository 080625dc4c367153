//! Rows drawn with replacement.
use crate::{
    data::Dataset,
    resample::{
        planned::{How, RowUnits},
        Amount, PlannedRows, Resample, ResampleUnit, RunRows,
    },
    Error, Result, Seed,
};

/// The bootstrap: draws the rows of each run uniformly with replacement.
///
/// ```text
/// train(run) = n draws from 0 … N − 1
/// P(a row is left out) = (1 − 1/N)ⁿ, about 1/e for n = N
/// ```
///
/// - By strata, the sample is divided among the strata in proportion to their sizes, by largest remainder,
///   and drawn within each. At full size each stratum keeps its size.
/// - By groups, groups are drawn, and all rows of a group enter the sample as often as the group is drawn.
/// - Of more than 65,536 rows, it is first drawn how many draws fall into each block of 65,536 rows (into each block of a
///   stratum), and then which rows of the block they are, from a seed of the block. The distribution is the same.
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
        let units = RowUnits::of(data, self.unit.unwrap_or(default))?;
        let draws = self.amount.of(units.count().0)? as u32;
        let sample = |run: usize| {
            let seed = seed.nth("bootstrap", run as u64);
            RunRows::of(PlannedRows::drawn(&units, How::Bootstrap { draws }, seed))
        };
        Ok((0..self.runs).map(sample).collect())
    }

    fn name(&self) -> String {
        match self.unit {
            Some(ResampleUnit::Strata) => "stratified bootstrap".into(),
            _ => "bootstrap".into(),
        }
    }
}
