//! The loop: diagnose, take a remedy, evaluate it, repeat.
mod report;

pub use report::{FinalScores, ImproveReport, RunScores, Step, StopReason, Verdict};
