//! A factor at given units.
use super::Schedule;
use crate::{
    check::{positive, power},
    registry::{Argument, Entry},
    Error, Result,
};

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("multi-step", "Schedule::MultiStep", "A factor at given units", |arguments| {
        Ok(Schedule::MultiStep { at: arguments.get("at")?, factor: arguments.get("factor")? })
    })
    .with_arguments(&[
        Argument::required("at", "The units of the changes, separated by commas"),
        Argument::new("factor", "0.1", "Factor of each change"),
    ]);

pub(super) fn factor(t: usize, _: usize, at: &[usize], &factor: &f64) -> f64 {
    power(factor, at.iter().filter(|unit| **unit <= t).count() as u64)
}

pub(super) fn check(at: &[usize], &factor: &f64) -> Result<()> {
    if at.is_empty() || at.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Error::invalid(
            "Schedule::MultiStep::at",
            "a list of increasing units",
            format!("{at:?}"),
        ));
    }
    positive("Schedule::MultiStep::factor", factor)
}

pub(super) fn text(at: &[usize], factor: &f64) -> Option<String> {
    let at: Vec<String> = at.iter().map(usize::to_string).collect();
    Some(format!("multi-step:{}:{factor}", at.join(",")))
}
