//! The learning rate while weights are averaged.
use super::{nested, Schedule, Span};
use crate::{
    check::non_negative,
    registry::{Argument, Entry},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The learning rate of stochastic weight averaging: the factor on the base rate, `s = 0, 1, …` units after
/// the averaging starts.
///
/// Source: Izmailov et al. 2018, arXiv:1803.05407.
///
/// ```
/// use candle_ensemble::plan::{Schedule, Span, SwaRate, Unit};
///
/// // Cycles of 4 epochs from the base rate down to a tenth of it, in the last quarter.
/// let rate = SwaRate::Cycle { from: 1.0, to: 0.1, length: 4 };
/// let schedule = Schedule::Constant.then_swa(Span::Share(0.75), rate).per(Unit::Epoch);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum SwaRate {
    /// From the rate `g` at the start to a constant, in `over` units: `f = a · to + (1 − a) · g`, where `a`
    /// is `u` or `(1 − cos πu) / 2`, with `u = min(1, s / over)`. This is the form of PyTorch's `SWALR`.
    Constant {
        /// Fraction of the base rate, 0 or more.
        to: f64,
        /// Units until the constant is reached. With 0 it is reached at once.
        over: usize,
        /// Whether the rate follows half a cosine wave rather than a straight line.
        cosine: bool,
    },
    /// The cyclic rate of the paper: `f = (1 − u) · from + u · to`, with `u = (s mod length + 1) / length`.
    /// It falls along a straight line, reaches `to` at the last unit of a cycle, and starts again.
    Cycle {
        /// Fraction of the base rate from which a cycle falls, 0 or more.
        from: f64,
        /// Fraction of the base rate at the end of a cycle, 0 or more.
        to: f64,
        /// Units of a cycle, at least 1.
        length: usize,
    },
}

impl SwaRate {
    /// The factor `s` units after the start, where the factor was `g`.
    fn factor(self, s: usize, g: f64) -> f64 {
        match self {
            Self::Constant { to, over, cosine } => {
                let u = if s >= over { 1.0 } else { s as f64 / over as f64 };
                let a = if cosine { (1.0 - (PI * u).cos()) / 2.0 } else { u };
                to * a + g * (1.0 - a)
            }
            Self::Cycle { from, to, length } => {
                let length = length.max(1);
                let u = (s % length + 1) as f64 / length as f64;
                from * (1.0 - u) + to * u
            }
        }
    }

    fn check(self) -> Result<()> {
        match self {
            Self::Constant { to, .. } => non_negative("SwaRate::Constant::to", to),
            Self::Cycle { length: 0, .. } => Err(Error::invalid("SwaRate::Cycle::length", "at least 1", 0)),
            Self::Cycle { from, to, .. } => {
                non_negative("SwaRate::Cycle::from", from)?;
                non_negative("SwaRate::Cycle::to", to)
            }
        }
    }
}

pub(super) const ENTRY: Entry<Schedule> = Entry::new(
    "swa",
    "Schedule::Swa",
    "A schedule, and a constant rate while weights are averaged",
    |arguments| {
        let then = SwaRate::Constant { to: arguments.get("to")?, over: arguments.get("over")?, cosine: true };
        Ok(nested(arguments)?.then_swa(arguments.get("start")?, then))
    },
)
.with_arguments(&[
    Argument::new("start", "0.75", "Units before the averaging starts, or their share of the training"),
    Argument::new("to", "0.5", "Fraction of the base rate while weights are averaged"),
    Argument::new("over", "5", "Units until that rate is reached"),
    Argument::new("schedule", "constant", "The schedule before it"),
])
.with_source("Izmailov et al. 2018, arXiv:1803.05407");

pub(super) fn factor(t: usize, total: usize, before: &Schedule, start: &Span, then: &SwaRate) -> f64 {
    match start.units(total) {
        n if t < n => before.factor(t, total),
        n => then.factor(t - n, before.factor(n, total)),
    }
}

pub(super) fn check(before: &Schedule, start: &Span, then: &SwaRate) -> Result<()> {
    start.check("Schedule::Swa::start")?;
    then.check()?;
    before.check()
}

/// Only for a rate that follows a cosine to its constant.
pub(super) fn text(before: &Schedule, start: &Span, then: &SwaRate) -> Option<String> {
    match then {
        SwaRate::Constant { to, over, cosine: true } => {
            Some(format!("swa:{}:{to}:{over}:{}", start.text(), before.text()?))
        }
        _ => None,
    }
}
