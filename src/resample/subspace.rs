//! Some of the features for each run.
use crate::{
    data::Dataset,
    resample::{Amount, Resample, RunRows},
    Error, Result, Seed,
};
use candle_core::Device;
use rand::seq::SliceRandom;

/// Random subspaces: each run sees a random subset of the features (columns of the inputs, `(N, D)`), drawn
/// without replacement, on the rows that another way to resample gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subspace<R> {
    /// Who trains on which rows.
    pub rows: R,
    /// How many features: at most all.
    pub features: Amount,
}

impl<R: Resample> Resample for Subspace<R> {
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>> {
        let mut draws = self.rows.draw(data, seed)?;
        let width = width(data)?;
        let size = self.features.up_to(width, width, "features")?;
        for (run, draw) in draws.iter_mut().enumerate() {
            let mut columns: Vec<u32> = (0..width as u32).collect();
            let mut rng = seed.nth("features", run as u64).rng();
            let mut chosen = columns.partial_shuffle(&mut rng, size).0.to_vec();
            chosen.sort_unstable();
            draw.features = Some(chosen);
        }
        Ok(draws)
    }

    fn slot(&self, run: usize) -> usize {
        self.rows.slot(run)
    }

    fn name(&self) -> String {
        format!("{}, subspaces", self.rows.name())
    }
}

/// Number of columns.
fn width(data: &dyn Dataset) -> Result<usize> {
    let inputs = data.batch(&[0], &Device::Cpu)?.inputs;
    let got = match inputs.tensors() {
        [tensor] => match *tensor.dims() {
            [_, width] => return Ok(width),
            _ => format!("of shape {:?} a row", tensor.dims().get(1..).unwrap_or_default()),
        },
        tensors => format!("{} tensors", tensors.len()),
    };
    Err(Error::invalid("inputs whose features are drawn", "one tensor (N, D)", got))
}
