//! The measure of difficulty.
use super::CorrectShares;

/// Computes the measure of difficulty θ: the variance over the rows of the share of members that are right.
///
/// ```text
/// θ = 1/N Σ_j (l_j/L − p̄)²
/// ```
///
/// Here `l_j` of `L` members are right on row `j`, and `p̄` is their mean accuracy. It is between 0 and 1/4;
/// less is more diverse. It is large where some rows are easy and some difficult for all members. Diverse
/// members find different rows difficult.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{difficulty, CorrectShares};
///
/// let all_alike = CorrectShares::new(&[5., 0., 0., 5.])?;
/// assert_eq!(difficulty(&all_alike), 0.25);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Hansen and Salamon 1990, doi:10.1109/34.58871; Kuncheva and Whitaker 2003,
/// doi:10.1023/A:1022859003006.
#[must_use]
pub fn difficulty(correct: &CorrectShares) -> f64 {
    let accuracy = correct.accuracy();
    correct.mean(|right, members| (right / members - accuracy).powi(2))
}
