//! Coincident failure diversity.
use super::CorrectShares;

/// Computes the coincident failure diversity: on the rows where any member fails, how few of them do.
///
/// ```text
/// CFD = 1/(1 − p_0) Σ_{i = 1…L} (L − i)/(L − 1) p_i,  and 0 for p_0 = 1
/// ```
///
/// Here `p_i` is the share of rows on which exactly `i` of `L` members are wrong. It is between 0, where all
/// members fail together or none ever fails, and 1, where each failure is that of a single member; more is
/// more diverse.
///
/// It is `None` for a single member.
///
/// ```
/// use candle_ensemble::evaluate::diversity::{coincident_failure_diversity, CorrectShares};
///
/// let shares = CorrectShares::new(&[1., 2., 3., 4.])?; // of the 6 rows with a failure, 3 are of one member
/// let cfd = coincident_failure_diversity(&shares).unwrap();
/// assert!((cfd - (3. + 2. / 2.) / 6.).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Partridge and Krzanowski 1997, doi:10.1016/S0950-5849(97)00023-2.
#[must_use]
pub fn coincident_failure_diversity(correct: &CorrectShares) -> Option<f64> {
    if correct.members() < 2 {
        return None;
    }
    let any_wrong = correct.mean(|right, members| f64::from(u8::from(right < members)));
    if any_wrong <= 0. {
        return Some(0.);
    }
    // Rows without a failure, on which all L are right, do not count.
    let spared = correct.mean(|right, members| if right < members { right / (members - 1.) } else { 0. });
    Some(spared / any_wrong)
}
