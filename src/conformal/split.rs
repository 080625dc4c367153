//! Split conformal prediction of values, from absolute residuals.
use super::{
    inputs::{check_any, check_finite, check_rows},
    mondrian::ScoreQuantiles,
    PredictionInterval,
};
use crate::Result;
use serde::{Deserialize, Serialize};

/// Split conformal prediction: intervals of one width around the predictions of a fitted model.
///
/// ```text
/// C(x) = [μ(x) − q, μ(x) + q],  q = the conformal quantile of |yᵢ − μ(xᵢ)|
/// ```
///
/// The calibration rows must be rows that the model was not fitted on, and that no choice of a setting was
/// made on. Then `P(y ∈ C(x)) ≥ 1 − α` for a new row that is exchangeable with them, whatever the model, and
/// at most `1 − α + 1/(n + 1)` if no two residuals are equal.
///
/// Use it where there are enough rows to set some aside, for any model and any combiner. All intervals have
/// the same width: where the noise differs from row to row,
/// [`NormalizedConformal`](super::NormalizedConformal) or [`QuantileConformal`](super::QuantileConformal)
/// gives wide intervals to the noisy rows only. Where all rows are needed for the fit, use
/// [`CrossConformal`](super::CrossConformal). With residuals of out-of-bag or out-of-fold predictions instead
/// of rows set aside, it has no guarantee.
///
/// With groups, each group has a width of its own; see [`ScoreQuantiles`].
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::SplitConformal;
///
/// let (predictions, targets) = ([1.0, 2.0, 3.0, 4.0], [1.5, 2.25, 2.0, 4.125]);
/// let split = SplitConformal::fit(&predictions, &targets, None, 0.4)?;
/// let intervals = split.predict(&[10.0], None)?; // the third residual of 0.125, 0.25, 0.5, 1
/// assert_eq!((intervals[0].low, intervals[0].high), (9.5, 10.5));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, arXiv:1604.04173.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitConformal {
    quantiles: ScoreQuantiles,
}

impl SplitConformal {
    /// Fits the width on `(N,)` predictions and targets of calibration rows, with the group number of each
    /// row if each group shall have a width of its own.
    ///
    /// # Errors
    /// When there are no rows, the lengths differ, a number is not finite, or `alpha` is not above 0 and
    /// below 1.
    pub fn fit(predictions: &[f64], targets: &[f64], groups: Option<&[u32]>, alpha: f64) -> Result<Self> {
        let scores = absolute_residuals(predictions, targets)?;
        Ok(Self { quantiles: ScoreQuantiles::fit(&scores, groups, alpha)? })
    }

    /// The interval of each new row, from its prediction, and its group if the fit had groups.
    ///
    /// # Errors
    /// When a prediction is not finite, the lengths differ, or groups are given in the fit only or here only.
    pub fn predict(&self, predictions: &[f64], groups: Option<&[u32]>) -> Result<Vec<PredictionInterval>> {
        check_finite("prediction", predictions)?;
        let radii = self.quantiles.of_rows(predictions.len(), groups)?;
        Ok(predictions.iter().zip(radii).map(|(p, radius)| PredictionInterval::around(*p, radius)).collect())
    }

    /// The half width of the intervals, by group if the fit had groups.
    #[must_use]
    pub fn quantiles(&self) -> &ScoreQuantiles {
        &self.quantiles
    }
}

/// Computes the absolute residuals `|yᵢ − μ(xᵢ)|` of calibration rows: the scores of [`SplitConformal`].
///
/// # Errors
/// When there are no rows, the lengths differ or a number is not finite.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::absolute_residuals;
///
/// assert_eq!(absolute_residuals(&[1.0, 2.0], &[3.0, 1.5])?, [2.0, 0.5]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn absolute_residuals(predictions: &[f64], targets: &[f64]) -> Result<Vec<f64>> {
    check_any(targets.len())?;
    check_rows("predictions", predictions.len(), targets.len())?;
    check_finite("prediction", predictions)?;
    check_finite("target", targets)?;
    Ok(predictions.iter().zip(targets).map(|(p, t)| (t - p).abs()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn groups_have_widths_of_their_own() {
        let (predictions, targets) = ([0.0; 6], [1.0, 2.0, 3.0, 10.0, -20.0, 30.0]);
        let split = SplitConformal::fit(&predictions, &targets, Some(&[0, 0, 0, 1, 1, 1]), 0.5).unwrap();
        let found = split.predict(&[5.0, 5.0, 5.0], Some(&[0, 1, 2])).unwrap();
        assert_eq!(found[0], PredictionInterval { low: 3.0, high: 7.0 });
        assert_eq!(found[1], PredictionInterval { low: -15.0, high: 25.0 });
        assert_eq!(found[2], PredictionInterval { low: f64::NEG_INFINITY, high: f64::INFINITY });
    }

    #[test]
    fn bad_rows_are_named() {
        let error = SplitConformal::fit(&[], &[], None, 0.1).unwrap_err().to_string();
        assert_eq!(error, "number of calibration rows must be at least 1, but is 0");
        let error = SplitConformal::fit(&[1.0, 2.0], &[1.0], None, 0.1).unwrap_err().to_string();
        assert_eq!(error, "number of predictions must be 1, one for each row, but is 2");
        let error = SplitConformal::fit(&[1.0], &[f64::NAN], None, 0.1).unwrap_err().to_string();
        assert_eq!(error, "target of row 0 must be finite, but is NaN");
        let split = SplitConformal::fit(&[1.0], &[1.0], None, 0.5).unwrap();
        assert!(split.predict(&[f64::INFINITY], None).is_err());
    }

    proptest! {
        /// Integers, whose sums are exact.
        #[test]
        fn the_interval_has_the_target_where_the_score_is_at_most_the_quantile(
            rows in prop::collection::vec((-50i32..50, -50i32..50), 1..60),
            new in (-50i32..50, -50i32..50),
            alpha in 0.02f64..0.98,
        ) {
            let (predictions, targets): (Vec<f64>, Vec<f64>) =
                rows.iter().map(|(p, t)| (f64::from(*p), f64::from(*t))).unzip();
            let split = SplitConformal::fit(&predictions, &targets, None, alpha).unwrap();
            let quantile = split.quantiles().of(None).unwrap().quantile;
            let (p, t) = (f64::from(new.0), f64::from(new.1));
            prop_assert_eq!(split.predict(&[p], None).unwrap()[0].contains(t), (t - p).abs() <= quantile);
            let inside = split.predict(&predictions, None).unwrap();
            let covered = inside.iter().zip(&targets).filter(|(i, t)| i.contains(**t)).count() as f64;
            prop_assert!(covered + 1e-9 >= (1.0 - alpha) * (rows.len() as f64 + 1.0) || quantile.is_infinite());
        }
    }
}
