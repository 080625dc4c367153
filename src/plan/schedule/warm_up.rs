//! A linear warm-up before another schedule.
use super::{nested, Schedule, Span};
use crate::{
    registry::{Argument, Entry},
    Result,
};

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("warm-up", "Schedule::WarmUp", "A linear warm-up, and the schedule after it", |arguments| {
        Ok(nested(arguments)?.after_warm_up(arguments.get("over")?))
    })
    .with_arguments(&[
        Argument::new("over", "0.1", "Units of the warm-up, or its share of the training"),
        Argument::new("schedule", "constant", "The schedule after it"),
    ])
    .with_source("Goyal et al. 2017, arXiv:1706.02677");

pub(super) fn factor(t: usize, total: usize, over: &Span, then: &Schedule) -> f64 {
    let n = over.units(total);
    let rest = total.saturating_sub(n);
    if t < n {
        (t + 1) as f64 / (n + 1) as f64 * then.factor(0, rest)
    } else {
        then.factor(t - n, rest)
    }
}

pub(super) fn check(over: &Span, then: &Schedule) -> Result<()> {
    over.check("Schedule::WarmUp::over")?;
    then.check()
}

pub(super) fn text(over: &Span, then: &Schedule) -> Option<String> {
    Some(format!("warm-up:{}:{}", over.text(), then.text()?))
}
