//! Resampling: which rows, and which features, each run trains on.
//!
//! A [`Resample`] draws the [`RunRows`] of every run from a data set and a seed. Rows that a run neither
//! trains on nor watches nor [excludes](RunRows::excluded) are held out for its members. They are [`PlannedRows`]: lists, or
//! rules that draw them where they are needed. The
//! [strategies](crate::strategy) wrap one resampling each; [`Strategy::of`](crate::strategy::Strategy::of)
//! wraps one of your own. Data with groups is never drawn by rows, so that no group is split between rows
//! trained on and rows held out.
mod all_rows;
mod amount;
mod bootstrap;
mod folds;
pub(crate) mod planned;
mod subsample;
mod subspace;
pub(crate) mod unit;
mod windows;

pub use all_rows::AllRows;
pub use amount::Amount;
pub use bootstrap::Bootstrap;
pub(crate) use folds::assign_folds;
pub use folds::Folds;
pub use planned::PlannedRows;
pub use subsample::Subsample;
pub use subspace::Subspace;
pub use unit::ResampleUnit;
pub use windows::Windows;

use crate::{data::Dataset, Result, Seed};

/// The rows and features of one run.
///
/// A row that is in none of `train`, `valid` and `excluded` is held out for the run's members.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRows {
    /// Rows to fit on, each as often as it occurs here.
    pub train: PlannedRows,
    /// Validation rows, for early stopping. They count as seen.
    pub valid: PlannedRows,
    /// Rows that the run's members may not predict although they are not fitted on them. They count as seen.
    /// Forward chaining excludes the past of a model this way.
    pub excluded: PlannedRows,
    /// Whether this is a refit: at inference its members predict instead of all other members of their slot,
    /// and they make no held-out predictions.
    pub refit: bool,
    /// The features that the run sees, as column numbers of the inputs `(N, D)`; `None` means all of them.
    pub features: Option<Vec<u32>>,
}

impl RunRows {
    /// A run that fits on the rows `train`; all other rows are held out.
    #[must_use]
    pub fn of(train: impl Into<PlannedRows>) -> Self {
        Self { train: train.into(), ..Self::default() }
    }
}

/// Draws the rows of each run.
///
/// A resampling of your own is a struct with two methods:
///
/// ```
/// use candle_ensemble::{data::Dataset, resample::{RunRows, Resample}, strategy::Strategy, Result, Rows, Seed};
///
/// /// Two runs: one on the even rows, one on the odd ones.
/// #[derive(Debug)]
/// struct EvenOdd;
///
/// impl Resample for EvenOdd {
///     fn draw(&self, data: &dyn Dataset, _: Seed) -> Result<Vec<RunRows>> {
///         let every_second = |first| RunRows::of((first..data.rows() as u32).step_by(2).collect::<Rows>());
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
    /// The rows of each run, in the order of the runs. They depend on the arguments alone.
    ///
    /// # Errors
    /// When a parameter is out of range or does not fit the data.
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<RunRows>>;

    /// The slot of a run: runs of the same slot act as one predictor, whose prediction is the mean of theirs.
    /// The folds of one repeat share a slot, for example, because each row is held out for only one of them.
    /// Slots are numbered from 0 without gaps; by default each run has a slot of its own.
    fn slot(&self, run: usize) -> usize {
        run
    }

    /// The name in tables and files.
    fn name(&self) -> String;
}

#[cfg(test)]
mod tests;
