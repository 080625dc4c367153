//! `Horizontal`, `Snapshot` and `FastGeometric` as strategies of their own: one run on all rows, which collects its
//! members as they say.
use crate::{
    data::Dataset,
    plan::{FastGeometric, Horizontal, Plan, Snapshot},
    resample::AllRows,
    strategy::{EnsembleBuilder, Strategy},
    Result, Seed,
};

macro_rules! single_run {
    ($($collect:ty => $name:literal),* $(,)?) => {$(
        impl EnsembleBuilder for $collect {
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
