//! What a user meets, in one program: linking takes longer than compiling. `tests/allocation.rs` counts what its whole
//! process allocates, and stays alone.
mod averaging;
mod combine;
mod common;
mod conformance;
mod corpus;
mod ensembles;
mod faults;
mod interrupted;
mod layers;
mod learned_rules;
mod linfa;
mod merging;
mod one_network;
mod prune;
mod resampling;
mod resume;
mod shards;
mod takes;
mod training;
mod variance_reduction;
