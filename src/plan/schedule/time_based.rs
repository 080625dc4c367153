//! The inverse of the time.
use super::Schedule;
use crate::{
    check::non_negative,
    registry::{Argument, Entry},
    Result,
};

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("time-based", "Schedule::TimeBased", "The inverse of the time", |arguments| {
        Ok(Schedule::TimeBased { decay: arguments.get("decay")? })
    })
    .with_arguments(&[Argument::required("decay", "After 1/decay units the rate is half the base rate")]);

pub(super) fn factor(t: usize, _: usize, &decay: &f64) -> f64 {
    1.0 / (1.0 + decay * t as f64)
}

pub(super) fn check(&decay: &f64) -> Result<()> {
    non_negative("Schedule::TimeBased::decay", decay)
}

pub(super) fn text(decay: &f64) -> Option<String> {
    Some(format!("time-based:{decay}"))
}
