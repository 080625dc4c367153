//! A straight line.
use super::{done, Schedule};
use crate::{
    check::non_negative,
    registry::{Argument, Entry},
    Result,
};

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("linear", "Schedule::Linear", "A straight line", |arguments| {
        Ok(Schedule::Linear { to: arguments.get("to")? })
    })
    .with_arguments(&[Argument::new("to", "0", "Fraction of the base rate at the end")]);

pub(super) fn factor(t: usize, total: usize, &to: &f64) -> f64 {
    1.0 + (to - 1.0) * done(t, total)
}

pub(super) fn check(&to: &f64) -> Result<()> {
    non_negative("Schedule::Linear::to", to)
}

pub(super) fn text(to: &f64) -> Option<String> {
    Some(format!("linear:{to}"))
}
