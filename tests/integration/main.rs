//! Integration tests of the public API, in one program, because linking takes longer than compiling.
//! `tests/allocation.rs` counts the allocations of its whole process and is a program of its own.
mod accumulating;
mod adversarial;
mod augmenting;
mod averaging;
mod cases;
mod collecting;
mod combine;
mod common;
mod conformal;
mod conformance;
mod corpus;
mod diagnosing;
mod diagnosing_positions;
mod distilling;
mod distributions;
mod ensembles;
mod faults;
mod fitting;
mod held_out_on_disk;
mod improve;
mod interrupted;
mod layers;
mod learned_rules;
mod linfa;
mod losses;
mod merging;
mod merging_on_threads;
mod next_token;
mod odd_training;
mod one_network;
mod ordinal;
mod pool;
mod positions;
mod pretrained;
mod prune;
mod registries;
mod resampling;
mod resume;
mod retraining;
mod row_weights;
mod scaling;
mod serving;
mod shards;
mod stacking;
mod streaming;
#[cfg(feature = "parquet")]
mod streaming_parquet;
mod streaming_tables;
mod study;
/// The examples' reader of tables. Its unit tests run here: `cargo test` runs none in examples.
#[path = "../../examples/common/table/mod.rs"]
#[allow(dead_code, unused_imports)]
mod table;
mod techniques;
mod threads;
mod training;
mod transferring;

mod tuning;
mod uncertainty;
mod variance_reduction;
mod workers;
mod wrapping;
