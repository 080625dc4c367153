//! Triangular cycles.
use super::{at_least_one, Schedule};
use crate::{
    check::{non_negative, positive, power},
    registry::{Argument, Entry},
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// How the height of the triangles of [`Schedule::Cyclic`] changes: the factor `s` on their height.
///
/// Source: Smith 2017, arXiv:1506.01186.
///
/// ```
/// use candle_ensemble::plan::{CyclicMode, Schedule};
///
/// // Triangles of 2000 units up and 2000 down, each half as high as the one before it.
/// let schedule = Schedule::Cyclic { up: 2000, down: 2000, low: 0.1, mode: CyclicMode::Triangular2 };
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum CyclicMode {
    /// All triangles have the same height: `s = 1`.
    #[default]
    Triangular,
    /// Each triangle is half as high as the one before it: `s = 1 / 2^k` in cycle `k`, from 0.
    Triangular2,
    /// The height falls with each unit: `s = gamma^t`.
    ExpRange {
        /// The factor from one unit to the next, above 0.
        gamma: f64,
    },
}

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("cyclic", "Schedule::Cyclic", "Triangular cycles", |arguments| {
        let up = arguments.get("up")?;
        let gamma = arguments.get("gamma")?;
        let modes = [
            ("triangular", CyclicMode::Triangular),
            ("triangular2", CyclicMode::Triangular2),
            ("exp-range", CyclicMode::ExpRange { gamma }),
        ];
        let mode = arguments.choice("mode", &modes)?.unwrap_or_default();
        let down = arguments.optional("down")?.unwrap_or(up);
        Ok(Schedule::Cyclic { up, down, low: arguments.get("low")?, mode })
    })
    .with_arguments(&[
        Argument::new("up", "2000", "Units in which the rate rises"),
        Argument::new("low", "0.1", "Fraction of the base rate at the feet of the triangles"),
        Argument::new("mode", "triangular", "triangular, triangular2 or exp-range"),
        Argument::optional("down", "Units in which the rate falls, as many as it rises in if not given"),
        Argument::new("gamma", "0.9999", "Factor on the height for each unit, for exp-range"),
    ])
    .with_source("Smith 2017, arXiv:1506.01186");

pub(super) fn factor(t: usize, _: usize, &up: &usize, &down: &usize, &low: &f64, &mode: &CyclicMode) -> f64 {
    let (up, down) = (up.max(1), down.max(1));
    let (cycle, within) = (t / up.saturating_add(down), t % up.saturating_add(down));
    let height = match within {
        within if within <= up => within as f64 / up as f64,
        within => 1.0 - (within - up) as f64 / down as f64,
    };
    let scale = match mode {
        CyclicMode::Triangular => 1.0,
        CyclicMode::Triangular2 => power(0.5, cycle as u64),
        CyclicMode::ExpRange { gamma } => power(gamma, t as u64),
    };
    low + (1.0 - low) * height * scale
}

pub(super) fn check(&up: &usize, &down: &usize, &low: &f64, &mode: &CyclicMode) -> Result<()> {
    at_least_one("Schedule::Cyclic::up", up)?;
    at_least_one("Schedule::Cyclic::down", down)?;
    non_negative("Schedule::Cyclic::low", low)?;
    if low > 1.0 {
        return Err(Error::invalid("Schedule::Cyclic::low", "at most 1, the base rate", low));
    }
    match mode {
        CyclicMode::ExpRange { gamma } => positive("CyclicMode::ExpRange::gamma", gamma),
        CyclicMode::Triangular | CyclicMode::Triangular2 => Ok(()),
    }
}

pub(super) fn text(up: &usize, down: &usize, low: &f64, mode: &CyclicMode) -> Option<String> {
    let mode = match mode {
        CyclicMode::Triangular => format!("triangular:{down}"),
        CyclicMode::Triangular2 => format!("triangular2:{down}"),
        CyclicMode::ExpRange { gamma } => format!("exp-range:{down}:{gamma}"),
    };
    Some(format!("cyclic:{up}:{low}:{mode}"))
}
