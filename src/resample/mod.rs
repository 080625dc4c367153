//! Who trains on which rows; one way a file.
mod all_rows;
mod bootstrap;

pub use all_rows::AllRows;
pub use bootstrap::{Amount, Bootstrap};

use crate::{data::Dataset, Result, Rows, Seed};

/// The rows of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Rows to fit on, as often as they occur.
    pub train: Rows,
    /// Rows to watch for early stopping.
    pub valid: Rows,
}

/// Assigns rows to runs.
pub trait Resample: std::fmt::Debug + Sync {
    /// The rows of each run: a pure function of its arguments.
    ///
    /// # Errors
    /// When a parameter is out of range or does not go with the data.
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<Draw>>;

    /// Whether all runs speak with one voice (folds do: each row has one fold model that held it out).
    fn one_voice(&self) -> bool {
        false
    }

    /// What tables and files call it.
    fn name(&self) -> String;
}
