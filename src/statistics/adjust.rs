//! P-values adjusted for several tests.
use crate::{Error, Result};

/// Adjusts p-values for several tests by Holm's step-down procedure.
///
/// ```text
/// adjusted p_(i) = max over j ≤ i of min(1, (m − j + 1) p_(j)),  p_(1) ≤ … ≤ p_(m)
/// ```
///
/// The results are in the order of the inputs. When all adjusted p-values of at most 0.05 are called
/// differences, the probability of one false call or more is at most 0.05, **whatever the dependence** of the
/// tests. It finds at least what [`bonferroni`] finds. Cost: `O(m log m)`.
///
/// # Errors
/// When a p-value is not between 0 and 1.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::holm;
///
/// assert_eq!(holm(&[0.02, 0.01, 0.5])?, [0.04, 0.03, 0.5]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Holm 1979, <https://www.jstor.org/stable/4615733>.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>> {
    let order = ascending(p_values)?;
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest = 0f64;
    for (place, &i) in order.iter().enumerate() {
        largest = largest.max((p_values.len() - place) as f64 * p_values[i]).min(1.0);
        adjusted[i] = largest;
    }
    Ok(adjusted)
}

/// Adjusts p-values for several tests by Hochberg's step-up procedure.
///
/// ```text
/// adjusted p_(i) = min over j ≥ i of min(1, (m − j + 1) p_(j)),  p_(1) ≤ … ≤ p_(m)
/// ```
///
/// It finds at least what [`holm`] finds, but **assumes** that the tests are independent or depend on each
/// other positively, as those against one control do. Use [`holm`] for all pairs.
///
/// # Errors
/// When a p-value is not between 0 and 1.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::hochberg;
///
/// assert_eq!(hochberg(&[0.04, 0.03, 0.02])?, [0.04, 0.04, 0.04]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Hochberg 1988, doi:10.1093/biomet/75.4.800.
pub fn hochberg(p_values: &[f64]) -> Result<Vec<f64>> {
    let order = ascending(p_values)?;
    let mut adjusted = vec![1.0; p_values.len()];
    let mut smallest = 1f64;
    for (place, &i) in order.iter().enumerate().rev() {
        smallest = smallest.min((p_values.len() - place) as f64 * p_values[i]);
        adjusted[i] = smallest;
    }
    Ok(adjusted)
}

/// Adjusts p-values for several tests by Bonferroni's inequality: `min(1, m p)`.
///
/// It holds whatever the dependence of the tests. [`holm`] holds as well and finds at least as much.
///
/// # Errors
/// When a p-value is not between 0 and 1.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::bonferroni;
///
/// assert_eq!(bonferroni(&[0.02, 0.01, 0.5])?, [0.06, 0.03, 1.0]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Dunn 1961, doi:10.1080/01621459.1961.10482090.
pub fn bonferroni(p_values: &[f64]) -> Result<Vec<f64>> {
    check(p_values)?;
    Ok(p_values.iter().map(|p| (p * p_values.len() as f64).min(1.0)).collect())
}

/// The places of the p-values in ascending order.
fn ascending(p_values: &[f64]) -> Result<Vec<usize>> {
    check(p_values)?;
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    Ok(order)
}

fn check(p_values: &[f64]) -> Result<()> {
    match p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(format!("p-value {i}"), "between 0 and 1", p_values[i])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::{close, draws};
    use proptest::prelude::*;

    /// statsmodels' `multipletests`: `tests/reference/statistics.py`.
    #[test]
    fn adjusted_values_agree_with_statsmodels() {
        let mut draw = draws(14);
        let p: Vec<f64> = (0..8).map(|_| draw().powi(3)).collect();
        for (adjusted, expected) in [
            (
                bonferroni(&p),
                [
                    0.11266977845748904,
                    1.0,
                    0.5332127532516121,
                    0.05155861537722332,
                    1.0,
                    0.0057853960696899855,
                    0.4329197969155459,
                    0.8104807818940643,
                ],
            ),
            (
                holm(&p),
                [
                    0.08450233384311678,
                    0.32988984600779314,
                    0.27057487307221617,
                    0.0451137884550704,
                    0.3649203767557203,
                    0.0057853960696899855,
                    0.27057487307221617,
                    0.3039302932102741,
                ],
            ),
            (
                hochberg(&p),
                [
                    0.08450233384311678,
                    0.32988984600779314,
                    0.26660637662580605,
                    0.0451137884550704,
                    0.3649203767557203,
                    0.0057853960696899855,
                    0.26660637662580605,
                    0.3039302932102741,
                ],
            ),
        ] {
            adjusted.unwrap().iter().zip(expected).for_each(|(a, b)| close(*a, b, 1e-13));
        }
    }

    proptest! {
        #[test]
        fn procedures_are_ordered(p in proptest::collection::vec(0.0..=1.0, 0..20)) {
            let (holm, hochberg) = (holm(&p).unwrap(), hochberg(&p).unwrap());
            let bonferroni = bonferroni(&p).unwrap();
            for i in 0..p.len() {
                prop_assert!(p[i] <= hochberg[i] && hochberg[i] <= holm[i] && holm[i] <= bonferroni[i]);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || (holm[i] <= holm[j] && hochberg[i] <= hochberg[j]));
                }
            }
        }
    }

    #[test]
    fn values_that_are_no_probabilities_are_errors() {
        for bad in [-0.1, 1.1, f64::NAN] {
            let error = holm(&[0.5, bad]).unwrap_err();
            assert_eq!(error.to_string(), format!("p-value 1 must be between 0 and 1, but is {bad}"));
            assert!(hochberg(&[bad]).is_err() && bonferroni(&[bad]).is_err());
        }
        assert!(holm(&[]).unwrap().is_empty());
    }
}
