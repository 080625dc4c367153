//! A power of the part that is left.
use super::{done, Schedule};
use crate::{
    check::{non_negative, positive},
    registry::{Argument, Entry},
    Result,
};

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("polynomial", "Schedule::Polynomial", "A power of the part that is left", |arguments| {
        Ok(Schedule::Polynomial { to: arguments.get("to")?, power: arguments.get("power")? })
    })
    .with_arguments(&[
        Argument::new("to", "0", "Fraction of the base rate at the end"),
        Argument::new("power", "2", "The power; 1 is a straight line"),
    ]);

pub(super) fn factor(t: usize, total: usize, &to: &f64, &power: &f64) -> f64 {
    to + (1.0 - to) * (1.0 - done(t, total)).powf(power)
}

pub(super) fn check(&to: &f64, &power: &f64) -> Result<()> {
    non_negative("Schedule::Polynomial::to", to)?;
    positive("Schedule::Polynomial::power", power)
}

pub(super) fn text(to: &f64, power: &f64) -> Option<String> {
    Some(format!("polynomial:{to}:{power}"))
}
