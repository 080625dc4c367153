//! Scaling of predicted standard deviations.
use super::inputs::{check_lengths, deviation};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Variance scaling: one factor for all predicted standard deviations, so that the errors are as large as predicted on average.
///
/// ```text
/// s² = 1/n Σ_i ((y_i − μ_i) / σ_i)²        σ' = s σ
/// ```
///
/// It is the factor with the least negative log-likelihood of normal distributions, the counterpart of temperature scaling.
/// Fit it on rows that the network was not fitted on. The means do not change, and neither does the order of the rows by
/// uncertainty. A factor above 1 says that the network was too sure.
///
/// Use it where the deviations are wrong by a common factor. Where the shape of the distributions is wrong,
/// [`CdfCalibration`](super::CdfCalibration) corrects it. For intervals with a stated coverage use
/// [`NormalizedConformal`](crate::conformal::NormalizedConformal), which needs no normal distribution.
///
/// # Examples
/// ```
/// use candle_ensemble::uncertainty::VarianceScaling;
///
/// // Errors of 2 and 4 where 1 and 2 were predicted.
/// let scaling = VarianceScaling::fit(&[0., 0.], &[1., 2.], &[2., -4.])?;
/// assert_eq!(scaling.factor(), 2.);
/// assert_eq!(scaling.apply(&[0.5])?, [1.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Levi, Gispan, Giladi and Fetaya 2022, doi:10.3390/s22155540, arXiv:1905.11659; Laves, Ihler, Fast, Kahrs and
/// Ortmaier 2020, arXiv:2006.13092.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VarianceScaling {
    factor: f64,
}

impl VarianceScaling {
    /// Fits the factor on predicted means, standard deviations and targets.
    ///
    /// # Errors
    /// When there are no rows, the lengths differ, a number is not finite, a deviation is not positive, or all errors are 0.
    pub fn fit(means: &[f64], deviations: &[f64], targets: &[f64]) -> Result<Self> {
        check_lengths(targets.len(), &[("means", means.len()), ("standard deviations", deviations.len())])?;
        let rows = means.iter().zip(deviations).zip(targets).enumerate();
        let squares = rows.map(|(row, ((mean, sigma), target))| {
            let z = (target - mean) / deviation(row, *sigma)?;
            match z.is_finite() {
                true => Ok(z * z),
                false => {
                    Err(Error::invalid(format!("error of row {row} in standard deviations"), "finite", z))
                }
            }
        });
        let mean = squares.sum::<Result<f64>>()? / targets.len() as f64;
        match mean > 0. && mean.is_finite() {
            true => Ok(Self { factor: mean.sqrt() }),
            false => {
                Err(Error::invalid("mean squared error in standard deviations", "positive and finite", mean))
            }
        }
    }

    /// The factor of the standard deviations.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// The scaled standard deviations.
    ///
    /// # Errors
    /// When a deviation is not positive and finite.
    pub fn apply(&self, deviations: &[f64]) -> Result<Vec<f64>> {
        deviations.iter().enumerate().map(|(row, sigma)| Ok(self.factor * deviation(row, *sigma)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The negative log-likelihood of normal distributions, without its constant.
    fn loss(factor: f64, means: &[f64], deviations: &[f64], targets: &[f64]) -> f64 {
        let rows = means.iter().zip(deviations).zip(targets);
        rows.map(|((m, s), y)| (factor * s).ln() + ((y - m) / (factor * s)).powi(2) / 2.).sum()
    }

    proptest! {
        #[test]
        fn no_other_factor_has_a_smaller_loss(
            rows in prop::collection::vec((-9f64..9., 0.1f64..5., -9f64..9.), 1..30),
            other in 0.01f64..20.,
        ) {
            let column = |f: fn(&(f64, f64, f64)) -> f64| rows.iter().map(f).collect::<Vec<_>>();
            let (means, deviations, targets) = (column(|r| r.0), column(|r| r.1), column(|r| r.2));
            let scaling = VarianceScaling::fit(&means, &deviations, &targets).unwrap();
            let best = loss(scaling.factor(), &means, &deviations, &targets);
            prop_assert!(best <= loss(other, &means, &deviations, &targets) + 1e-9);
            // Fitted once more, nothing is left to scale.
            let again = VarianceScaling::fit(&means, &scaling.apply(&deviations).unwrap(), &targets).unwrap();
            prop_assert!((again.factor() - 1.).abs() < 1e-9);
        }
    }

    #[test]
    fn bad_rows_are_named() {
        let error = |m: &[f64], s: &[f64], y: &[f64]| VarianceScaling::fit(m, s, y).unwrap_err().to_string();
        assert!(error(&[], &[], &[]).contains("number of rows must be at least 1"));
        assert!(error(&[1.], &[], &[1.]).contains("number of standard deviations must be 1"));
        assert!(
            error(&[1.], &[0.], &[1.]).contains("standard deviation of row 0 must be positive and finite")
        );
        assert!(error(&[f64::NAN], &[1.], &[1.]).contains("error of row 0"));
        assert!(error(&[1.], &[1.], &[1.]).contains("mean squared error"));
        assert!(VarianceScaling { factor: 2. }.apply(&[-1.]).is_err());
    }
}
