//! Trained on the past, held out from the future.
use crate::{
    data::Dataset,
    resample::{unit::row_count, Resample, RunRows},
    Error, Result, Rows, Seed,
};
use std::collections::BTreeSet;

/// Forward chaining, for rows in order of time: each run trains on rows up to some moment, and predicts rows
/// after it.
///
/// The rows' end is cut into `folds` test windows of equal size; run `i` trains on what lies before window `i`,
/// less the gap. Training and test windows are those of scikit-learn's `TimeSeriesSplit` (`n_splits`,
/// `max_train_size`, `gap`, `test_size`).
///
/// A run that was fitted on later rows knows the future of earlier ones, though it was not fitted on them: so
/// every row before a run's test window counts as seen ([`RunRows::excluded`]), the gap and what a sliding window left
/// behind included; where the data has groups, so does every row of a group that the run was fitted on. All
/// runs act as one predictor: for each row of a test window it is the mean of what the models that existed by
/// then say, the ensemble as it stood. Rows before the first test window are nobody's to predict, and stay
/// missing.
///
/// No randomness here: runs differ by their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// How many runs and test windows, at least 1.
    pub folds: usize,
    /// How many rows to train on at most, the latest ones: the window slides. If `None`, all: it expands.
    pub window: Option<usize>,
    /// How many rows to leave out between training and test window.
    pub gap: usize,
    /// Rows a test window, at least 1; if `None`, `rows / (folds + 1)`, rounded down.
    pub test: Option<usize>,
}

impl Windows {
    /// Rows a test window, when all of them leave a row to train on.
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
        let need = test.checked_mul(self.folds).and_then(|n| n.checked_add(self.gap));
        match need {
            Some(need) if test > 0 && need < rows => Ok(test),
            _ => {
                let (folds, gap) = (self.folds, self.gap);
                let size = if test == 0 { "at least 1 row".into() } else { test.to_string() };
                let must = format!("more than {folds} test windows of {size} and a gap of {gap} take");
                Err(Error::invalid("the number of rows", must, rows))
            }
        }
    }
}

impl Resample for Windows {
    fn draw(&self, data: &dyn Dataset, _: Seed) -> Result<Vec<RunRows>> {
        let rows = row_count(data)? as usize;
        let test = self.test_rows(rows)?;
        let window = |fold: usize| {
            let start = rows - (self.folds - fold) * test;
            let end = start - self.gap;
            let first = self.window.map_or(0, |most| end.saturating_sub(most));
            let train: Rows = (first as u32..end as u32).collect();
            let mut excluded: Rows = (0..start as u32).collect();
            if let Some(groups) = data.groups() {
                let group = |row: &u32| groups.get(*row as usize);
                let fitted: BTreeSet<_> = train.iter().filter_map(group).collect();
                let later = start as u32..rows as u32;
                excluded.extend(later.filter(|row| group(row).is_some_and(|g| fitted.contains(g))));
            }
            RunRows { train, excluded, ..RunRows::default() }
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
