//! Generalized diversity.
use super::CorrectShares;

/// Computes the generalized diversity: how seldom a second member fails where a first one does.
///
/// ```text
/// GD = 1 − p(2)/p(1),  p(1) = Σ_i i/L p_i,  p(2) = Σ_i i/L (i − 1)/(L − 1) p_i
/// ```
///
/// Here `p_i` is the share of rows on which exactly `i` of `L` members are wrong, so `p(1)` and `p(2)` are the
/// probabilities that one and that two members drawn at random are wrong. It is between 0, where a failure of
/// one member is a failure of all, and 1, where no two members fail together; more is more diverse.
///
/// It is `None` for a single member, and when no member is ever wrong.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{generalized_diversity, CorrectShares};
///
/// let shares = CorrectShares::new(&[0., 0., 3., 7.])?; // never are two of the three wrong
/// assert_eq!(generalized_diversity(&shares), Some(1.));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Partridge and Krzanowski 1997, doi:10.1016/S0950-5849(97)00023-2.
#[must_use]
pub fn generalized_diversity(correct: &CorrectShares) -> Option<f64> {
    let one = correct.mean(|right, members| (members - right) / members);
    if correct.members() < 2 || one <= 0. {
        return None;
    }
    let two = correct.mean(|right, members| {
        let wrong = members - right;
        wrong / members * (wrong - 1.) / (members - 1.)
    });
    Some(1. - two / one)
}
