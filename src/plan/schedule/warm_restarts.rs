//! Cosine waves with warm restarts.
use super::{at_least_one, Schedule};
use crate::{
    registry::{Argument, Entry},
    Result,
};
use std::f64::consts::PI;

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("warm-restarts", "Schedule::WarmRestarts", "Cosine waves with warm restarts", |arguments| {
        Ok(Schedule::WarmRestarts { cycles: arguments.get("cycles")? })
    })
    .with_arguments(&[Argument::new("cycles", "5", "Number of waves")])
    .with_source("Loshchilov and Hutter 2017, arXiv:1608.03983");

pub(super) fn factor(t: usize, total: usize, &cycles: &usize) -> f64 {
    let length = total.div_ceil(cycles.max(1)).max(1);
    (1.0 + (PI * (t % length) as f64 / length as f64).cos()) / 2.0
}

pub(super) fn check(&cycles: &usize) -> Result<()> {
    at_least_one("Schedule::WarmRestarts::cycles", cycles)
}

pub(super) fn text(cycles: &usize) -> Option<String> {
    Some(format!("warm-restarts:{cycles}"))
}
