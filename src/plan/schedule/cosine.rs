//! Half a cosine wave.
use super::{done, Schedule};
use crate::{
    check::non_negative,
    registry::{Argument, Entry},
    Result,
};
use std::f64::consts::PI;

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("cosine", "Schedule::Cosine", "Half a cosine wave", |arguments| {
        Ok(Schedule::Cosine { to: arguments.get("to")? })
    })
    .with_arguments(&[Argument::new("to", "0", "Fraction of the base rate at the end")])
    .with_source("Loshchilov and Hutter 2017, arXiv:1608.03983");

pub(super) fn factor(t: usize, total: usize, &to: &f64) -> f64 {
    to + (1.0 - to) * (1.0 + (PI * done(t, total)).cos()) / 2.0
}

pub(super) fn check(&to: &f64) -> Result<()> {
    non_negative("Schedule::Cosine::to", to)
}

pub(super) fn text(to: &f64) -> Option<String> {
    Some(format!("cosine:{to}"))
}
