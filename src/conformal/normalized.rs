//! Split conformal prediction of values, from residuals that are divided by a scale.
use super::{
    inputs::{check_any, check_finite, check_positive, check_rows},
    mondrian::ScoreQuantiles,
    PredictionInterval,
};
use crate::Result;
use serde::{Deserialize, Serialize};

/// Split conformal prediction with normalized residuals: intervals whose width is proportional to a scale of
/// each row.
///
/// ```text
/// C(x) = [μ(x) − q σ(x), μ(x) + q σ(x)],  q = the conformal quantile of |yᵢ − μ(xᵢ)| / σ(xᵢ)
/// ```
///
/// The scale `σ(x)` says how large the error of a row is expected to be: a predicted standard deviation, or
/// the standard deviation of the members of an ensemble. It need not be right, since any positive function of
/// the inputs keeps the guarantee of [`SplitConformal`](super::SplitConformal); a better one gives narrower
/// intervals. As the model, it must not be fitted on the calibration rows.
///
/// Where the scale is close to 0 for some rows, their scores are huge and make all intervals wide. Add a
/// constant to it, such as a tenth of its mean. The spread of an ensemble shows where the members disagree,
/// and knows nothing of the noise of the targets; alone it is often a bad scale.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::NormalizedConformal;
///
/// let (predictions, scales, targets) = ([0.0; 3], [1.0, 2.0, 4.0], [1.0, 4.0, 2.0]);
/// let normalized = NormalizedConformal::fit(&predictions, &scales, &targets, None, 0.5)?;
/// let intervals = normalized.predict(&[10.0, 10.0], &[1.0, 3.0], None)?; // the second of 0.5, 1, 2
/// assert_eq!((intervals[0].low, intervals[0].high), (9.0, 11.0));
/// assert_eq!((intervals[1].low, intervals[1].high), (7.0, 13.0));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Papadopoulos, Gammerman and Vovk 2008, "Normalized nonconformity measures for regression conformal
/// prediction"; Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, arXiv:1604.04173.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormalizedConformal {
    quantiles: ScoreQuantiles,
}

impl NormalizedConformal {
    /// Fits the factor on `(N,)` predictions, scales and targets of calibration rows, with the group number
    /// of each row if each group shall have a factor of its own.
    ///
    /// # Errors
    /// When there are no rows, the lengths differ, a number is not finite, a scale is not positive, or
    /// `alpha` is not above 0 and below 1.
    pub fn fit(
        predictions: &[f64],
        scales: &[f64],
        targets: &[f64],
        groups: Option<&[u32]>,
        alpha: f64,
    ) -> Result<Self> {
        let scores = normalized_residuals(predictions, scales, targets)?;
        Ok(Self { quantiles: ScoreQuantiles::fit(&scores, groups, alpha)? })
    }

    /// The interval of each new row, from its prediction and scale, and its group if the fit had groups.
    ///
    /// # Errors
    /// When a number is not finite, a scale is not positive, the lengths differ, or groups are given in the
    /// fit only or here only.
    pub fn predict(
        &self,
        predictions: &[f64],
        scales: &[f64],
        groups: Option<&[u32]>,
    ) -> Result<Vec<PredictionInterval>> {
        check_rows("scales", scales.len(), predictions.len())?;
        check_finite("prediction", predictions)?;
        check_positive("scale", scales)?;
        let factors = self.quantiles.of_rows(predictions.len(), groups)?;
        let radii = factors.iter().zip(scales).map(|(factor, scale)| factor * scale);
        Ok(predictions.iter().zip(radii).map(|(p, radius)| PredictionInterval::around(*p, radius)).collect())
    }

    /// The factor of the scales, by group if the fit had groups.
    #[must_use]
    pub fn quantiles(&self) -> &ScoreQuantiles {
        &self.quantiles
    }
}

/// Computes the normalized residuals `|yᵢ − μ(xᵢ)| / σ(xᵢ)` of calibration rows: the scores of
/// [`NormalizedConformal`].
///
/// # Errors
/// When there are no rows, the lengths differ, a number is not finite, or a scale is not positive.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::normalized_residuals;
///
/// assert_eq!(normalized_residuals(&[1.0, 2.0], &[4.0, 0.5], &[3.0, 1.0])?, [0.5, 2.0]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn normalized_residuals(predictions: &[f64], scales: &[f64], targets: &[f64]) -> Result<Vec<f64>> {
    check_any(targets.len())?;
    check_rows("predictions", predictions.len(), targets.len())?;
    check_rows("scales", scales.len(), targets.len())?;
    check_finite("prediction", predictions)?;
    check_finite("target", targets)?;
    check_positive("scale", scales)?;
    let residuals = predictions.iter().zip(targets).map(|(p, t)| (t - p).abs());
    Ok(residuals.zip(scales).map(|(residual, scale)| residual / scale).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformal::SplitConformal;
    use proptest::prelude::*;

    #[test]
    fn scales_are_positive() {
        let error = normalized_residuals(&[1.0], &[0.0], &[1.0]).unwrap_err().to_string();
        assert_eq!(error, "scale of row 0 must be positive and finite, but is 0");
        assert!(normalized_residuals(&[1.0], &[f64::INFINITY], &[1.0]).is_err());
        assert!(normalized_residuals(&[1.0], &[], &[1.0]).is_err());
        let fitted = NormalizedConformal::fit(&[1.0], &[1.0], &[1.0], None, 0.5).unwrap();
        assert!(fitted.predict(&[1.0], &[-1.0], None).is_err());
        assert!(fitted.predict(&[1.0], &[1.0, 1.0], None).is_err());
    }

    proptest! {
        /// Powers of two, by which products and quotients are exact.
        #[test]
        fn one_scale_for_all_rows_gives_the_intervals_of_split_conformal_prediction(
            rows in prop::collection::vec((-50i32..50, -50i32..50), 1..60),
            power in -3i32..4,
            alpha in 0.02f64..0.98,
        ) {
            let (predictions, targets): (Vec<f64>, Vec<f64>) =
                rows.iter().map(|(p, t)| (f64::from(*p), f64::from(*t))).unzip();
            let scales = vec![2f64.powi(power); rows.len()];
            let normalized = NormalizedConformal::fit(&predictions, &scales, &targets, None, alpha).unwrap();
            let split = SplitConformal::fit(&predictions, &targets, None, alpha).unwrap();
            prop_assert_eq!(
                normalized.predict(&predictions, &scales, None).unwrap(),
                split.predict(&predictions, None).unwrap()
            );
        }
    }
}
