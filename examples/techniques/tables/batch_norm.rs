//! Batch normalization on circles_1000: 2 → 50 → 1, He-uniform, SGD, batch 32, 100 epochs; momentum .99,
//! ε .001, batch variances divided by n.
use crate::{data::Bench, setting::Table};
use candle_ensemble::Result;

pub fn table(_: &Bench) -> Result<Table> {
    let rows = vec![];
    Ok(Table { key: "batch-norm", title: "batch normalisation (circles_1000, 50 units, 100 epochs)", rows })
}
