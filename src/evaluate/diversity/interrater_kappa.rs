//! The interrater agreement of a group.
use super::CorrectShares;

/// Computes the interrater agreement κ of a group of members, each of which is right or wrong on a row.
///
/// ```text
/// κ = 1 − (1/L Σ_j l_j (L − l_j)) / (N (L − 1) p̄ (1 − p̄))
/// ```
///
/// Here `l_j` of `L` members are right on row `j`, and `p̄` is their mean accuracy. It is 1 where all members
/// are right on the same rows, and 0 where they agree as often as by chance; less is more diverse. It is
/// `1 − D/(2 p̄ (1 − p̄))` with the mean [disagreement](super::disagreement()) `D` over pairs. It is not the
/// mean of the pairs' [κ](super::kappa()).
///
/// It is `None` for a single member, and when the members are always right or always wrong.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{interrater_kappa, CorrectShares};
///
/// let shares = CorrectShares::new(&[1., 2., 3., 4.])?; // the mean accuracy is 2/3
/// let kappa = interrater_kappa(&shares).unwrap();
/// assert!((kappa - (1. - (0.5 * 2. / 3.) / (2. * 2. / 9.))).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Fleiss 1981, "Statistical Methods for Rates and Proportions"; Kuncheva and Whitaker 2003,
/// doi:10.1023/A:1022859003006.
#[must_use]
pub fn interrater_kappa(correct: &CorrectShares) -> Option<f64> {
    let members = correct.members() as f64;
    let wrong = correct.mean(|right, members| (members - right) / members);
    let chance = (members - 1.) * correct.accuracy() * wrong;
    (chance > 0.).then(|| 1. - correct.mean(|right, members| right * (members - right) / members) / chance)
}
