//! Ways to grow an ensemble; one strategy a file.
//!
//! A strategy is *what each run trains on* ([`crate::resample`]) × *when it yields members* ([`Take`]) ×
//! *what varies between runs* ([`Settings`], architectures). [`Strategy`] puts the three together:
//! `KFold::new(5).collect(Snapshot::new(3))` takes three snapshots within each of five folds.
//!
//! | Builder | Each member trains on | Held out |
//! |---|---|---|
//! | [`MultiRun`] | all rows | nothing |
//! | [`Bagging`] | rows drawn with replacement | about 37 % of the rows, for each member |
//! | [`KFold`] | all folds but one | each row, from one member of each prediction |
//! | [`RandomSplit`] | a random part of the rows | the rest, for each member |
//! | [`RandomSubspace`] | all rows, some features | nothing |
//! | [`RandomPatches`] | some rows, some features | the other rows, for each member |
//! | [`ForwardChaining`] | the past | the future |
//! | [`Horizontal`] | all rows, up to one of its last epochs | nothing |
//! | [`Snapshot`] | all rows, up to the end of a cosine cycle | nothing |
//! | [`FastGeometric`] | all rows, up to the trough of a triangle | nothing |
mod bagging;
mod forward_chaining;
mod k_fold;
mod multi_run;
mod random_patches;
mod random_split;
mod random_subspace;
mod registry;
pub(crate) mod resampled;
mod single_run;

pub use bagging::Bagging;
pub use forward_chaining::ForwardChaining;
pub use k_fold::KFold;
pub use multi_run::MultiRun;
pub use random_patches::RandomPatches;
pub use random_split::RandomSplit;
pub use random_subspace::RandomSubspace;
pub use registry::{parse, parse_list, parse_with, registry};
pub use resampled::Strategy;

pub use crate::plan::{Collect, FastGeometric, Horizontal, Plan, RunSpec, Settings, Snapshot, Value};

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
