//! The Kohavi–Wolpert variance.
use super::CorrectShares;

/// Computes the Kohavi–Wolpert variance of a group: the mean over the rows of how much its members vary
/// between right and wrong.
///
/// ```text
/// KW = 1/(N L²) Σ_j l_j (L − l_j)
/// ```
///
/// Here `l_j` of `L` members are right on row `j`. It is between 0 and 1/4; more is more diverse. It is
/// `(L − 1)/2L` times the mean [disagreement](super::disagreement()) over pairs.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{kohavi_wolpert_variance, CorrectShares};
///
/// let shares = CorrectShares::new(&[1., 2., 3., 4.])?;
/// assert!((kohavi_wolpert_variance(&shares) - (0.2 * 2. + 0.3 * 2.) / 9.).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Kohavi and Wolpert 1996, "Bias plus variance decomposition for zero-one loss functions"; Kuncheva
/// and Whitaker 2003, doi:10.1023/A:1022859003006.
#[must_use]
pub fn kohavi_wolpert_variance(correct: &CorrectShares) -> f64 {
    correct.mean(|right, members| right * (members - right) / (members * members))
}
