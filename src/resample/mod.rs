//! Who trains on which rows; one way a file.
mod all_rows;
mod amount;
mod bootstrap;
mod folds;
mod subsample;
mod subspace;
pub(crate) mod unit;
mod windows;

pub use all_rows::AllRows;
pub use amount::Amount;
pub use bootstrap::Bootstrap;
pub(crate) use folds::deal;
pub use folds::Folds;
pub use subsample::Subsample;
pub use subspace::Subspace;
pub use unit::ResampleUnit;
pub use windows::Windows;

use crate::{data::Dataset, Result, Rows, Seed};

/// What one run is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRows {
    /// Rows to fit on, as often as they occur.
    pub train: Rows,
    /// Rows to watch for early stopping.
    pub valid: Rows,
    /// Rows that the run's members may not predict even where they are not fitted on them, such as the past
    /// of a model of the future. They count as seen.
    pub excluded: Rows,
    /// Whether the run's members take the place of all others of their prediction at inference, and have no part in what is
    /// held out: a refit on all rows.
    pub refit: bool,
    /// The features to see, as column numbers of the inputs `(N, D)`; all of them, if `None`.
    pub features: Option<Vec<u32>>,
}

impl RunRows {
    /// These rows to fit on, all others held out.
    #[must_use]
    pub fn of(train: Rows) -> Self {
        Self { train, ..Self::default() }
    }
}

/// Assigns rows to runs.
///
/// ```
/// use candle_ensemble::{data::Dataset, resample::{RunRows, Resample}, strategy::Strategy, Result, Seed};
///
/// /// Two runs: one on the even rows, one on the odd ones.
/// #[derive(Debug)]
/// struct EvenOdd;
///
/// impl Resample for EvenOdd {
///     fn draw(&self, data: &dyn Dataset, _: Seed) -> Result<Vec<RunRows>> {
///         let every_second = |first| RunRows::of((first..data.rows() as u32).step_by(2).collect());
///         Ok(vec![every_second(0), every_second(1)])
///     }
///     fn name(&self) -> String {
///         "even and odd".into()
///     }
/// }
///
/// let builder = Strategy::of(EvenOdd).validation(0.1);
/// ```
pub trait Resample: std::fmt::Debug + Sync {
    /// The rows of each run: a pure function of its arguments.
    ///
    /// # Errors
    /// When a parameter is out of range or does not go with the data.
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>>;

    /// The number of the prediction that a run predicts with, one of its own if not said; numbers have no holes. Runs
    /// of one prediction answer as one, by their mean (folds do: each row has one fold model that held it out).
    fn slot(&self, run: usize) -> usize {
        run
    }

    /// What tables and files call it.
    fn name(&self) -> String;
}

#[cfg(test)]
mod tests;
