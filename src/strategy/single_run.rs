//! One run on all rows, whose members are collected as a rule for collecting says.
use crate::{
    data::Dataset,
    plan::{Collect, Plan},
    resample::AllRows,
    strategy::{EnsembleBuilder, Strategy},
    Result, Seed,
};
use std::fmt;

/// Every rule for collecting members is itself a strategy: one run on all rows.
impl<C: Into<Collect> + Copy + fmt::Debug + Sync> EnsembleBuilder for C {
    fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan> {
        Strategy::of(AllRows { runs: 1 }).collect(*self).plan(data, architectures, seed)
    }

    fn name(&self) -> String {
        (*self).into().name().into()
    }
}
