//! Rows drawn without replacement.
use crate::{
    data::Dataset,
    resample::{
        planned::{How, RowUnits, Side},
        Amount, PlannedRows, Resample, ResampleUnit, RunRows,
    },
    Error, Result, Seed,
};

/// Random splits: draws the rows of each run without replacement and holds out the others. Unlike folds, the
/// runs are drawn independently of one another.
///
/// ```text
/// train(run) = n distinct rows of N;  held out = the other N − n
/// ```
///
/// Of more than 65,536 rows, each row in turn is taken with the probability of the number that is still missing by
/// the number of rows that are left, which gives every sample with the same probability (selection sampling, Knuth
/// 1997, section 3.4.2).
///
/// By strata, proportions are kept as in [`Split::stratified`](crate::data::Split::stratified). By groups, whole
/// groups are drawn, and the amount is a number of groups, as in scikit-learn's `GroupShuffleSplit`.
///
/// Use it to choose how much each member sees; see [`RandomSplit`](crate::strategy::RandomSplit). Do not use
/// it when each row must be held out equally often: see [`Folds`](crate::resample::Folds). Cost: `n` rows an
/// epoch for each run.
///
/// # Errors
/// [`Resample::draw`] fails when `runs` is 0, when the amount is not above 0, when no row is left to hold
/// out, or when the data lacks the unit.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, resample::{Amount, Resample, Subsample}, Seed};
///
/// let x = Tensor::arange(0f32, 10., &Device::Cpu)?.reshape((10, 1))?;
/// let data = TensorDataset::regression(x.clone(), &x)?;
/// let runs = Subsample { runs: 3, amount: Amount::Count(7), unit: None }.draw(&data, Seed::from(42))?;
/// for run in &runs {
///     assert_eq!(run.train.len()?, 7);
/// }
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Picard and Cook 1984, doi:10.1080/01621459.1984.10478083.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subsample {
    /// Number of splits, at least 1.
    pub runs: usize,
    /// Number of rows (of groups, where groups are drawn) to train on: fewer than there are.
    pub amount: Amount,
    /// What is drawn; with `None` the data decides ([`ResampleUnit::for_data`]).
    pub unit: Option<ResampleUnit>,
}

impl Resample for Subsample {
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>> {
        if self.runs == 0 {
            return Err(Error::invalid("runs", "at least 1", 0));
        }
        let units = RowUnits::of(data, self.unit.unwrap_or_else(|| ResampleUnit::for_data(data)))?;
        let (total, what) = units.count();
        let test = (total - self.amount.up_to(total, total.saturating_sub(1), what)?) as u32;
        units.check_split(test as usize)?;
        let split = |run: usize| {
            let (how, seed) = (How::Split { test, side: Side::Train }, seed.nth("split", run as u64));
            RunRows::of(PlannedRows::drawn(&units, how, seed))
        };
        Ok((0..self.runs).map(split).collect())
    }

    fn name(&self) -> String {
        "random split".into()
    }
}
