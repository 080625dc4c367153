//! Random subsets of the features.
use crate::{
    data::Dataset,
    resample::{Amount, Resample, RunRows},
    Error, Result, Seed,
};
use candle_core::Device;
use rand::seq::SliceRandom;

/// Random subspaces: draws a random subset of the features for each run, without replacement, on the rows
/// that another resampling draws.
///
/// ```text
/// features(run) = d distinct columns of D, sorted
/// ```
///
/// The inputs must be one tensor `(N, D)`; features are its columns.
///
/// Use it for tables with many features of which some can stand in for others; see
/// [`RandomSubspace`](crate::strategy::RandomSubspace) and [`RandomPatches`](crate::strategy::RandomPatches).
/// Cost: that of the inner resampling.
///
/// # Errors
/// [`Resample::draw`] fails as that of the inner resampling does, when there are fewer features than are
/// drawn, or when the inputs are not one tensor `(N, D)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, resample::{AllRows, Amount, Resample, Subspace}, Seed};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.reshape((10, 4))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// let subspace = Subspace { rows: AllRows { runs: 5 }, features: Amount::Share(0.5) };
/// let runs = subspace.draw(&data, Seed::from(42))?;
/// assert_eq!(runs[0].features.as_deref(), Some(&[1, 3][..]));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Ho 1998, doi:10.1109/34.709601.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subspace<R> {
    /// Draws the rows of each run.
    pub rows: R,
    /// Number of features, at most all.
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

/// The number of columns of the inputs.
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
