//! The inverse square root of the time, after a warm-up.
use super::{Schedule, Span};
use crate::{
    registry::{Argument, Entry},
    Result,
};

pub(super) const ENTRY: Entry<Schedule> = Entry::new(
    "inverse-square-root",
    "Schedule::InverseSquareRoot",
    "A linear warm-up, then the inverse square root of the time",
    |arguments| Ok(Schedule::InverseSquareRoot { warm_up: arguments.get("warm-up")? }),
)
.with_arguments(&[Argument::new("warm-up", "0.1", "Units of the warm-up, or its share of the training")])
.with_source("Vaswani et al. 2017, arXiv:1706.03762");

pub(super) fn factor(t: usize, total: usize, warm_up: &Span) -> f64 {
    let (step, warm_up) = ((t + 1) as f64, warm_up.units(total).max(1) as f64);
    (step / warm_up).min((warm_up / step).sqrt())
}

pub(super) fn check(warm_up: &Span) -> Result<()> {
    warm_up.check("Schedule::InverseSquareRoot::warm_up")
}

pub(super) fn text(warm_up: &Span) -> Option<String> {
    Some(format!("inverse-square-root:{}", warm_up.text()))
}
