//! How predictions of several members become one.
use serde::{Deserialize, Serialize};

/// How the predictions of the members that may predict a row become one prediction.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::Aggregation;
///
/// assert_eq!(Aggregation::Mean.of(&mut [1.0, 2.0, 6.0]), Some(3.0));
/// assert_eq!(Aggregation::Median.of(&mut [6.0, 1.0, 2.0]), Some(2.0));
/// assert_eq!(Aggregation::Median.of(&mut []), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregation {
    /// The mean, as bagging takes it.
    #[default]
    Mean,
    /// The median, that of an even number being the mean of the two in the middle. A few members with wild
    /// predictions do not change it.
    Median,
}

impl Aggregation {
    /// Aggregates predictions, or returns `None` if there are none. It may change their order.
    #[must_use]
    pub fn of(self, predictions: &mut [f64]) -> Option<f64> {
        if predictions.is_empty() {
            return None;
        }
        Some(match self {
            Self::Mean => predictions.iter().sum::<f64>() / predictions.len() as f64,
            Self::Median => median(predictions),
        })
    }
}

/// The median of at least one number.
fn median(values: &mut [f64]) -> f64 {
    let even = values.len().is_multiple_of(2);
    let (lower, upper, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    match lower.iter().copied().max_by(f64::total_cmp) {
        Some(below) if even => below.midpoint(*upper),
        _ => *upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_even_and_odd_numbers() {
        assert_eq!(Aggregation::Median.of(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(Aggregation::Median.of(&mut [4.0, 1.0]), Some(2.5));
        assert_eq!(Aggregation::Median.of(&mut [4.0]), Some(4.0));
        assert_eq!(Aggregation::Mean.of(&mut []), None);
    }
}
