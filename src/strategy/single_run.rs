//! One run on all rows, whose members are collected as a rule for collecting says.
use crate::{
    data::Dataset,
    plan::{FastGeometric, Horizontal, Plan, Snapshot},
    resample::AllRows,
    strategy::{EnsembleBuilder, Strategy},
    Result, Seed,
};

macro_rules! single_run {
    ($($rule:ty => $name:literal),* $(,)?) => {$(
        impl EnsembleBuilder for $rule {
            fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan> {
                Strategy::of(AllRows { runs: 1 }).collect(*self).plan(data, architectures, seed)
            }

            fn name(&self) -> String {
                $name.into()
            }
        }
    )*};
}

single_run! {
    Horizontal => "horizontal",
    Snapshot => "snapshot",
    FastGeometric => "fast-geometric",
}
