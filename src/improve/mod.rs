//! The loop: diagnose, take a remedy, evaluate it, repeat.
//!
//! [`Improve`] is the loop with its parameters, and [`Improved`] what it leaves: an [`ImproveReport`], the
//! final [`Setup`](crate::remedy::Setup), and networks that were trained with it. [`ImproveEvent`] tells what
//! happens meanwhile, and [`Decide`] lets a user decide in place of the rules.
mod agenda;
mod bench;
mod budget;
mod builder;
mod course;
mod curve;
mod decide;
mod decisions;
mod diagnoser;
mod event;
mod finals;
mod gain;
mod improved;
mod kept;
mod layout;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod together;
mod words;

pub use budget::{Budget, Spent};
pub use builder::Improve;
pub use decide::{ByRule, Choice, Decide};
pub use diagnoser::Diagnoser;
pub use event::ImproveEvent;
pub use improved::Improved;
pub use report::{
    Diagnosed, FinalScores, Guard, ImproveReport, RangeTested, RunScores, Step, StopReason, Verdict,
};
pub(crate) use words::percents;
