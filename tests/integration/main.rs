//! Integration tests of the public API, in one program, because linking takes longer than compiling.
//! `tests/allocation.rs` counts the allocations of its whole process and is a program of its own.
mod adversarial;
mod averaging;
mod cases;
mod collecting;
mod combine;
mod common;
mod conformance;
mod corpus;
mod diagnosing;
mod distributions;
mod ensembles;
mod faults;
mod improve;
mod interrupted;
mod layers;
mod learned_rules;
mod linfa;
mod merging;
mod merging_on_threads;
mod odd_training;
mod one_network;
mod pool;
mod prune;
mod registries;
mod resampling;
mod resume;
mod retraining;
mod scaling;
mod serving;
mod shards;
mod stacking;
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
mod variance_reduction;
mod wrapping;
