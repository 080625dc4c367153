//! The loop: diagnose, take a remedy, evaluate it, repeat.
mod budget;
mod builder;
mod decide;
mod event;
mod report;

pub use budget::{Budget, Spent};
pub use builder::Improve;
pub use decide::{ByRule, Choice, Decide};
pub use event::ImproveEvent;
pub use report::{
    Diagnosed, FinalScores, Guard, ImproveReport, RangeTested, RunScores, Step, StopReason, Verdict,
};
