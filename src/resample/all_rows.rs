//! Every run on every row.
use crate::{
    data::Dataset,
    resample::{unit::row_count, Resample, RunRows},
    Error, Result, Seed,
};

/// Every run trains on every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllRows {
    /// How many runs, at least 1.
    pub runs: usize,
}

impl Resample for AllRows {
    fn draw(&self, data: &dyn Dataset, _: Seed) -> Result<Vec<RunRows>> {
        if self.runs == 0 {
            return Err(Error::invalid("runs", "at least 1", 0));
        }
        let draw = RunRows::of((0..row_count(data)?).collect());
        Ok(vec![draw; self.runs])
    }

    fn name(&self) -> String {
        "multi-run".into()
    }
}
