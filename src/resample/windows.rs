//! Windows of rows in order of time.
use crate::{
    data::Dataset,
    resample::{
        planned::{How, RowUnits},
        unit::row_count,
        PlannedRows, Resample, ResampleUnit, RunRows,
    },
    Error, Result, Seed,
};

/// Forward chaining, for rows in order of time: each run trains on rows up to some moment and holds out rows
/// after it.
///
/// ```text
/// train(run i) = [max(0, sᵢ − gap − window), sᵢ − gap),  excluded = [0, sᵢ)
/// sᵢ = N − (folds − i) · test
/// ```
///
/// The last `folds · test` rows are divided into test windows of equal size; run `i` trains on what lies
/// before window `i`, less the gap. Training and test windows are those of scikit-learn's `TimeSeriesSplit`
/// (`n_splits`, `max_train_size`, `gap`, `test_size`).
///
/// A model that was fitted on later rows must not predict earlier ones, even those that it was not fitted on.
/// So every row before a run's test window counts as seen ([`RunRows::excluded`]), including the gap and the
/// rows that a sliding window leaves behind. Where the data has groups, so does every row of a group that the
/// run was fitted on. All runs share a slot: a row of a test window is predicted by the mean of the models
/// that existed at its time. Rows before the first test window have no prediction and stay missing.
///
/// Nothing is random: runs differ by their rows. Use it for time series; see
/// [`ForwardChaining`](crate::strategy::ForwardChaining). Cost: half of the rows an epoch on average where
/// the window expands.
///
/// # Errors
/// [`Resample::draw`] fails when `folds`, `window` or `test` is 0, or when the test windows and the gap leave
/// no row to train on.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, resample::{Resample, Windows}, Seed};
///
/// let t = Tensor::arange(0f32, 12., &Device::Cpu)?.reshape((12, 1))?;
/// let data = TensorDataset::regression(t.clone(), &t)?;
/// let windows = Windows { folds: 3, window: Some(4), gap: 1, test: Some(2) };
/// let runs = windows.draw(&data, Seed::from(42))?;
/// assert_eq!(runs[1].train, [3, 4, 5, 6]);
/// assert_eq!(runs[1].excluded, [0, 1, 2, 3, 4, 5, 6, 7]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Tashman 2000, doi:10.1016/S0169-2070(00)00065-0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Number of runs and test windows, at least 1.
    pub folds: usize,
    /// Largest number of rows to train on, the latest ones: the window slides. With `None` it expands.
    pub window: Option<usize>,
    /// Number of rows left out between training and test window.
    pub gap: usize,
    /// Number of rows in a test window, at least 1; `None` means `rows / (folds + 1)`, rounded down.
    pub test: Option<usize>,
}

impl Windows {
    /// The number of rows in a test window, checked to leave a row to train on.
    fn test_rows(&self, rows: usize) -> Result<usize> {
        if self.folds == 0 {
            return Err(Error::invalid("folds", "at least 1", 0));
        }
        for (what, count) in [("the training window", self.window), ("the test window", self.test)] {
            if count == Some(0) {
                return Err(Error::invalid(what, "at least one row", 0));
            }
        }
        let test = self.test.unwrap_or(rows / self.folds.saturating_add(1));
        let needed = test.checked_mul(self.folds).and_then(|n| n.checked_add(self.gap));
        match needed {
            Some(needed) if test > 0 && needed < rows => Ok(test),
            _ => {
                let (folds, gap) = (self.folds, self.gap);
                let size = if test == 0 { "at least 1 row".into() } else { test.to_string() };
                let must = format!("more than {folds} test windows of {size} and a gap of {gap}");
                Err(Error::invalid("the number of rows", must, rows))
            }
        }
    }
}

impl Resample for Windows {
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>> {
        let rows = row_count(data)? as usize;
        let test = self.test_rows(rows)?;
        let groups = data.groups().map(|_| RowUnits::of(data, ResampleUnit::Groups)).transpose()?;
        let window = |fold: usize| {
            let start = rows - (self.folds - fold) * test;
            let end = start - self.gap;
            let first = self.window.map_or(0, |window| end.saturating_sub(window));
            let (fitted, start) = (first as u32..end as u32, start as u32);
            let excluded = match &groups {
                None => PlannedRows::from(0..start),
                Some(groups) => {
                    let how = How::Past { fitted: fitted.clone(), start };
                    PlannedRows::drawn(groups, how, seed)
                }
            };
            RunRows { excluded, ..RunRows::of(fitted) }
        };
        Ok((0..self.folds).map(window).collect())
    }

    fn slot(&self, _: usize) -> usize {
        0
    }

    fn name(&self) -> String {
        "forward chaining".into()
    }
}
