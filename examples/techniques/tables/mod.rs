//! The tables, one file each. A row names its settings, how their networks are trained, and what the reference
//! obtains; to add one takes a change in one place.
mod batch;
mod batch_norm;
mod circles;
mod depth;
mod greedy;
mod losses;
mod moons;
mod scaling;
mod transfer;

use super::{data::Bench, setting::Table};
use candle_ensemble::Result;

/// All tables, in the order in which they run.
pub fn all(bench: &Bench) -> Result<Vec<Table>> {
    let tables = [
        moons::table,
        circles::table,
        batch::table,
        losses::table,
        scaling::table,
        batch_norm::table,
        depth::table,
        greedy::table,
        transfer::table,
    ];
    tables.iter().map(|table| table(bench)).collect()
}
