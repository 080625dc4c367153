//! The same factor at each unit.
use super::Schedule;
use crate::{
    check::{positive, power},
    registry::{Argument, Entry},
    Result,
};

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("exponential", "Schedule::Exponential", "The same factor at each unit", |arguments| {
        Ok(Schedule::Exponential { gamma: arguments.get("gamma")? })
    })
    .with_arguments(&[Argument::required("gamma", "The factor from one unit to the next")]);

pub(super) fn factor(t: usize, _: usize, &gamma: &f64) -> f64 {
    power(gamma, t as u64)
}

pub(super) fn check(&gamma: &f64) -> Result<()> {
    positive("Schedule::Exponential::gamma", gamma)
}

pub(super) fn text(gamma: &f64) -> Option<String> {
    Some(format!("exponential:{gamma}"))
}
