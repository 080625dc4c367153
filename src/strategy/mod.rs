//! Strategies: how the members of an ensemble are trained.
//!
//! A strategy is *which rows each run trains on* ([`crate::resample`]) × *when the run collects members*
//! ([`Collect`]) × *what varies between runs* ([`Settings`], architectures). [`Strategy`] puts the three
//! together: `KFold::new(5).collect(Snapshot::new(3))` collects three snapshots within each of five folds.
//!
//! [`InSequence`] is a strategy whose members are trained one after the other, because each depends on those before:
//! [`AdaBoost`], [`GradientBoosting`], or one with a [rule](crate::sequence::SequenceRule) of your own. The members of a sequence predict together,
//! so a pool has one slot for each sequence. It can be put within the runs of any other strategy.
//!
//! [`Efficient`] trains many members in one network ([`nn::many`](crate::nn::many)), each of which has a slot of its own. It
//! can be put within the runs of any other strategy, too.
//!
//! | Strategy | Each member trains on | Held out |
//! |---|---|---|
//! | [`MultiRun`] | all rows | nothing |
//! | [`Bagging`] | rows drawn with replacement | about 37 % of the rows, for each member |
//! | [`KFold`] | all folds but one | each row, for one member of each slot |
//! | [`RandomSplit`] | a random part of the rows | the other rows, for each member |
//! | [`RandomSubspace`] | all rows, some features | nothing |
//! | [`RandomPatches`] | some rows, some features | the other rows, for each member |
//! | [`ForwardChaining`] | the past | the future |
//! | [`AdaBoost`] | all rows, with more weight where the member before was wrong | nothing |
//! | [`GradientBoosting`] | all rows, and what the sum of the members before leaves over | nothing |
//! | [`Efficient`] | all rows, with the others of its network | nothing |
//! | [`Horizontal`] | all rows, up to one of its last epochs | nothing |
//! | [`Snapshot`] | all rows, up to the end of a cosine cycle | nothing |
//! | [`FastGeometric`] | all rows, up to the trough of a triangular cycle | nothing |
//!
//! [`parse`] makes strategies from text. An argument in brackets may be left out.
//!
//! | Name | Item | What it does | Arguments |
//! |---|---|---|---|
//! | `multi-run` | [`MultiRun`] | Every member on all rows, from another seed | `runs=10`, `[validation=…]` |
//! | `bootstrap`, `bagging` | [`Bagging`] | Every member on rows drawn with replacement | `runs=10`, `size=1`, `[unit=…]`, `[validation=…]` |
//! | `k-fold` | [`KFold`] | Every member on all folds of the rows but one | `k=5`, `repeats=1`, `refit=false`, `[unit=…]`, `[validation=…]` |
//! | `random-split`, `pasting` | [`RandomSplit`] | Every member on rows drawn without replacement | `runs=10`, `size=0.5`, `[unit=…]`, `[validation=…]` |
//! | `random-subspace`, `subspace` | [`RandomSubspace`] | Every member on some of the features | `runs=10`, `features=0.5`, `[validation=…]` |
//! | `random-patches` | [`RandomPatches`] | Every member on some of the rows and features | `runs=10`, `size=0.5`, `features=0.5`, `[unit=…]`, `[validation=…]` |
//! | `forward-chaining` | [`ForwardChaining`] | Every member on the past of its test window | `folds=5`, `gap=0`, `[window=…]`, `[test=…]`, `[validation=…]` |
//! | `adaboost` | [`AdaBoost`] | Members one after the other, with more weight on rows that the one before got wrong | `runs=10`, `boosting-rate=1`, `algorithm=samme`, `error-loss=linear`, `resample=false`, `[validation=…]` |
//! | `gradient-boosting` | [`GradientBoosting`] | Members one after the other, each on what the sum of those before leaves over | `runs=10`, `shrinkage=1`, `subsample=1`, `[patience=…]`, `[validation=…]` |
//! | `efficient`, `efficient-ensemble` | [`Efficient`] | Many members in one network | `method=tab-m:32`, `[validation=…]` |
//! | `horizontal` | [`Horizontal`] | Networks of one run, after each of its last epochs | `epochs=5`, `every=1` |
//! | `snapshot` | [`Snapshot`] | Networks of one run, at the end of each cosine cycle | `cycles=5`, `[keep=…]`, `per=iteration` |
//! | `fast-geometric` | [`FastGeometric`] | Networks of one run, at the trough of each triangular cycle | `cycle=4`, `high=0.05`, `low=0.0005`, `pretraining=0.75` |
mod in_sequence;
mod registry;
pub(crate) mod resampled;
mod single_run;

pub use in_sequence::InSequence;
pub(crate) use registry::collect_in;
pub use registry::{parse, parse_list, parse_with, registry};
pub use resampled::Strategy;

pub use crate::plan::{Collect, FastGeometric, Horizontal, Plan, RunSpec, Settings, Snapshot, Value};

use crate::{data::Dataset, registry::Entry, Error, Result, Seed};

/// Declares the strategies: each has a file with a type and its entry of the registry.
macro_rules! strategies {
    ($($file:ident::$strategy:ident),+ $(,)?) => {
        $(
            mod $file;
            pub use $file::$strategy;
        )+

        /// The entries of the registry, in the order of the list.
        fn entries() -> Vec<Entry<Box<dyn EnsembleBuilder>>> {
            vec![$($file::ENTRY),+]
        }
    };
}

strategies! {
    multi_run::MultiRun,
    bagging::Bagging,
    k_fold::KFold,
    random_split::RandomSplit,
    random_subspace::RandomSubspace,
    random_patches::RandomPatches,
    forward_chaining::ForwardChaining,
    adaboost::AdaBoost,
    gradient_boosting::GradientBoosting,
    efficient::Efficient,
}

/// A strategy: lays out the runs that train the members of an ensemble. To add one of your own, implement
/// this trait for a struct, or [`Resample`](crate::resample::Resample) for the rows alone and pass it to
/// [`Strategy::of`].
pub trait EnsembleBuilder: std::fmt::Debug + Sync {
    /// Checks the parameters and lays out the runs for each of the learner's `architectures`. The plan
    /// depends on the arguments alone.
    ///
    /// # Errors
    /// When a parameter is out of range or does not fit the data.
    fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan>;

    /// The name in tables and files.
    fn name(&self) -> String;

    /// This strategy within each run of another one, which says on which rows it trains. The default is that it cannot be.
    ///
    /// # Errors
    /// When it cannot.
    fn within(&self, _other: Box<dyn EnsembleBuilder>) -> Result<Box<dyn EnsembleBuilder>> {
        let must = "one whose members depend on each other, or a rule for collecting members";
        Err(Error::invalid("a strategy within the runs of another one", must, self.name()))
    }
}

#[cfg(test)]
mod tests;
