//! Ways to grow an ensemble; one strategy a file.
//!
//! A strategy is *what each run trains on* ([`crate::resample`]) × *when it hands over members* ([`Take`]) ×
//! *what varies between runs* ([`Settings`], architectures). [`Strategy`] puts the three together:
//! `Bagging::new(5).take(Snapshot::new(3))` takes three snapshots within each of five bootstrap runs.
mod bagging;
mod fast_geometric;
mod horizontal;
mod multi_run;
mod plan;
mod settings;
mod snapshot;
mod strategy;
mod take;

pub use bagging::Bagging;
pub use fast_geometric::FastGeometric;
pub use horizontal::Horizontal;
pub use multi_run::MultiRun;
pub use plan::{Plan, RunSpec};
pub use settings::{Settings, Value};
pub use snapshot::Snapshot;
pub use strategy::Strategy;
pub use take::Take;

use crate::{data::Dataset, Result, Seed};

/// A way to grow an ensemble. Adding one of your own is one file: a struct and this method.
pub trait EnsembleBuilder: std::fmt::Debug + Sync {
    /// Checks the parameters and lays out the runs for each of the learner's `architectures`: a pure function
    /// of its arguments.
    ///
    /// # Errors
    /// When a parameter is out of range or does not go with the data.
    fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan>;

    /// What tables and files call it.
    fn name(&self) -> String;
}
