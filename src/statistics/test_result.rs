//! What a test of a difference returns.
use serde::{Deserialize, Serialize};

/// The result of a test of a difference: how large it is, and how probable one as large is by chance.
///
/// A small p-value says that there is a difference, not that it is large, and a large one does not say that
/// there is none. Read it with the effect, or with an [`Interval`](crate::statistics::Interval). All tests
/// of this module are two-sided.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::paired_t_test;
///
/// let test = paired_t_test(&[0.02, 0.03, 0.01, 0.02])?;
/// assert!((test.effect - 0.02).abs() < 1e-15);
/// assert!(test.p_value < 0.05);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The estimated size of the difference; each test says in which unit.
    pub effect: f64,
    /// The test statistic; each test says which. It is `None` (null in JSON) where the data do not vary, so
    /// that it is a division by 0.
    pub statistic: Option<f64>,
    /// The probability of data that differ at least as much when there is no difference, from 0 to 1.
    pub p_value: f64,
}

impl TestResult {
    /// The result of a statistic `effect / error` whose p-value is `tail` of it. Without an error, any effect
    /// is certain and none is no evidence.
    pub(super) fn of_ratio(effect: f64, error: f64, tail: impl FnOnce(f64) -> f64) -> Self {
        if error > 0.0 {
            let statistic = effect / error;
            return Self { effect, statistic: Some(statistic), p_value: tail(statistic).clamp(0.0, 1.0) };
        }
        Self { effect, statistic: None, p_value: if effect == 0.0 { 1.0 } else { 0.0 } }
    }
}
