//! Prediction intervals.
use super::inputs::check_rows;
use crate::{codec::real, Result};
use serde::{Deserialize, Serialize};

/// An interval that contains the target of a row with a stated probability.
///
/// The ends may be infinite, where the calibration rows are too few for a finite interval. `low` may be above
/// `high`: such an interval is empty, contains nothing and has the width 0. Conformalized quantile regression
/// can give one, and the jackknife+ with an `alpha` above ½.
///
/// It is not a confidence interval: it is about the target of one row, and not about a mean.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::PredictionInterval;
///
/// let interval = PredictionInterval { low: 1.0, high: 3.0 };
/// assert!(interval.contains(3.0) && !interval.contains(3.5));
/// assert_eq!(interval.width(), 2.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionInterval {
    /// The lower end, which belongs to the interval.
    #[serde(with = "real")]
    pub low: f64,
    /// The upper end, which belongs to the interval.
    #[serde(with = "real")]
    pub high: f64,
}

impl PredictionInterval {
    /// Returns whether `value` is in the interval.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The width: `high − low`, and 0 for an empty interval.
    #[must_use]
    pub fn width(&self) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        self.high - self.low
    }

    /// Returns whether no value is in the interval.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.low > self.high
    }

    /// The interval of the values within `radius` of `centre`.
    pub(super) fn around(centre: f64, radius: f64) -> Self {
        Self { low: centre - radius, high: centre + radius }
    }
}

/// Returns for each row whether its interval contains its target.
///
/// # Errors
/// When the numbers of intervals and targets differ.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{intervals_contain, PredictionInterval};
///
/// let intervals = [PredictionInterval { low: 0.0, high: 1.0 }; 2];
/// assert_eq!(intervals_contain(&intervals, &[0.5, 2.0])?, [true, false]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn intervals_contain(intervals: &[PredictionInterval], targets: &[f64]) -> Result<Vec<bool>> {
    check_rows("targets", targets.len(), intervals.len())?;
    Ok(intervals.iter().zip(targets).map(|(interval, target)| interval.contains(*target)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_of_empty_and_infinite_intervals() {
        let empty = PredictionInterval { low: 1.0, high: 0.5 };
        assert!(empty.is_empty() && !empty.contains(0.7));
        assert_eq!(empty.width(), 0.0);
        let all = PredictionInterval::around(3.0, f64::INFINITY);
        assert_eq!(all.width(), f64::INFINITY);
        assert!(all.contains(-1e300) && !all.contains(f64::NAN));
        assert!(intervals_contain(&[all], &[]).is_err());
    }
}
