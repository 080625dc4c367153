//! A table of data and a network for it: what the examples that read tables share.
#![allow(dead_code)] // no program needs all of it
pub mod args;
pub mod data;
pub mod network;
pub mod prepared;
