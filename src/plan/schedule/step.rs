//! A factor at regular intervals.
use super::{at_least_one, Schedule};
use crate::{
    check::{positive, power},
    registry::{Argument, Entry},
    Result,
};

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("step", "Schedule::Step", "A factor at regular intervals", |arguments| {
        Ok(Schedule::Step { every: arguments.get("every")?, factor: arguments.get("factor")? })
    })
    .with_arguments(&[
        Argument::required("every", "Units from one change to the next"),
        Argument::new("factor", "0.1", "Factor of each change"),
    ]);

pub(super) fn factor(t: usize, _: usize, &every: &usize, &factor: &f64) -> f64 {
    power(factor, (t / every.max(1)) as u64)
}

pub(super) fn check(&every: &usize, &factor: &f64) -> Result<()> {
    at_least_one("Schedule::Step::every", every)?;
    positive("Schedule::Step::factor", factor)
}

pub(super) fn text(every: &usize, factor: &f64) -> Option<String> {
    Some(format!("step:{every}:{factor}"))
}
