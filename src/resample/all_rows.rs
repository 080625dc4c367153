//! All rows for every run.
use crate::{
    data::Dataset,
    resample::{unit::row_count, Resample, RunRows},
    Error, Result, Seed,
};

/// All rows: every run trains on every row, and no row is held out.
///
/// ```text
/// train(run i) = 0 … N − 1
/// ```
///
/// Use it when networks vary more from seed to seed than from sample to sample; see
/// [`MultiRun`](crate::strategy::MultiRun). Cost: `N` rows an epoch for each run.
///
/// # Errors
/// [`Resample::draw`] fails when `runs` is 0 or the data has no rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, resample::{AllRows, Resample}, Seed};
///
/// let x = Tensor::arange(0f32, 4., &Device::Cpu)?.reshape((4, 1))?;
/// let data = TensorDataset::regression(x.clone(), &x)?;
/// let runs = AllRows { runs: 2 }.draw(&data, Seed::from(42))?;
/// assert_eq!(runs[1].train, [0, 1, 2, 3]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Hansen and Salamon 1990, doi:10.1109/34.58871.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllRows {
    /// Number of runs, at least 1.
    pub runs: usize,
}

impl Resample for AllRows {
    fn draw(&self, data: &dyn Dataset, _: Seed) -> Result<Vec<RunRows>> {
        if self.runs == 0 {
            return Err(Error::invalid("runs", "at least 1", 0));
        }
        let draw = RunRows::of(0..row_count(data)?);
        Ok(vec![draw; self.runs])
    }

    fn name(&self) -> String {
        "multi-run".into()
    }
}
