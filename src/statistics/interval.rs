//! An estimate with its confidence interval.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// An estimate with its confidence interval.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::Interval;
///
/// let gain = Interval { estimate: 0.02, low: 0.01, high: 0.03, level: 0.95 };
/// assert!(gain.contains(0.015) && !gain.contains(0.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate from the data.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The confidence level, above 0 and below 1: the share of such intervals, over repetitions, that contain
    /// the true value.
    pub level: f64,
}

impl Interval {
    /// Returns whether `value` is between the ends. When an interval of differences does not contain 0, one
    /// predictor is better.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Checks that a level is above 0 and below 1.
pub(super) fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::invalid("level", "above 0 and below 1", level))
}
