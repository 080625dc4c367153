//! The entropy measure.
use super::CorrectShares;

/// Computes the entropy measure E: how evenly the members of a group are divided into right and wrong.
///
/// ```text
/// E = 1/N Σ_j min(l_j, L − l_j) / (L − ⌈L/2⌉)
/// ```
///
/// Here `l_j` of `L` members are right on row `j`. It is between 0, where all members are right on the same
/// rows, and 1, where on each row half of them are right; more is more diverse. Despite its name it has no
/// logarithm.
///
/// It is `None` for a single member.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{entropy, CorrectShares};
///
/// let shares = CorrectShares::new(&[1., 2., 3., 4.])?; // of 3 members, L − ⌈L/2⌉ = 1
/// assert_eq!(entropy(&shares), Some(0.5));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Kuncheva and Whitaker 2003, doi:10.1023/A:1022859003006.
#[must_use]
pub fn entropy(correct: &CorrectShares) -> Option<f64> {
    let most = correct.members() / 2;
    (most > 0).then(|| correct.mean(|right, members| right.min(members - right)) / most as f64)
}
