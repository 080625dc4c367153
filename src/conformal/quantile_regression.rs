//! Conformalized quantile regression.
use super::{
    inputs::{check_alpha, check_any, check_finite, check_rows},
    mondrian::ScoreQuantiles,
    PredictionInterval,
};
use crate::Result;
use serde::{Deserialize, Serialize};

/// How [`QuantileConformal`] corrects predicted quantiles.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{QuantileConformal, QuantileCorrection};
///
/// // The upper quantile is too low by up to 3, the lower one fits.
/// let (low, high, targets) = ([0.0; 3], [1.0; 3], [0.0, 2.0, 4.0]);
/// let width = |correction| {
///     let fitted = QuantileConformal::fit([&low, &high], &targets, None, correction, 0.5)?;
///     Ok::<_, candle_ensemble::Error>(fitted.predict([&[0.0], &[1.0]], None)?[0].width())
/// };
/// assert_eq!(width(QuantileCorrection::Symmetric)?, 3.0); // [−1, 2]
/// assert_eq!(width(QuantileCorrection::Asymmetric)?, 4.0); // [0, 4]
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuantileCorrection {
    /// Both ends move by the same amount. The intervals are narrower on average, and the errors may lie
    /// mostly on one side.
    #[default]
    Symmetric,
    /// Each end has a correction of its own, at `α/2`. The share of errors is at most `α/2` on each side, and
    /// the intervals are somewhat wider. It needs twice as many rows.
    Asymmetric,
}

/// Conformalized quantile regression: intervals from predicted quantiles.
///
/// ```text
/// symmetric:   C(x) = [l(x) − q, h(x) + q],    q = the conformal quantile of max(lᵢ − yᵢ, yᵢ − hᵢ)
/// asymmetric:  C(x) = [l(x) − q_l, h(x) + q_h],  q_l, q_h = those of lᵢ − yᵢ and yᵢ − hᵢ at α/2
/// ```
///
/// `l(x)` and `h(x)` are predictions of the quantiles `α/2` and `1 − α/2`, from a network with the pinball
/// loss. The intervals follow the noise, wide where it is large. As in split conformal prediction, the
/// calibration rows are rows that the model was not fitted on. The coverage is then at least `1 − α` whatever
/// the quality of the quantiles; it is close to it for each `x` only if they are good. `q` is negative where
/// the predicted intervals are too wide, and makes them narrower.
///
/// Predicted quantiles may cross, and a negative `q` may make a narrow interval empty: `low` is above `high`
/// then. Both are kept as they are, since the guarantee counts them.
///
/// Use [`SplitConformal`](super::SplitConformal) where there is one prediction for each row, and
/// [`NormalizedConformal`](super::NormalizedConformal) where there is a standard deviation too.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{QuantileConformal, QuantileCorrection};
///
/// let (low, high, targets) = ([0.0, 0.0, 0.0], [1.0, 2.0, 4.0], [1.5, 1.0, 4.25]);
/// let fitted = QuantileConformal::fit([&low, &high], &targets, None, QuantileCorrection::Symmetric, 0.5)?;
/// let intervals = fitted.predict([&[0.0], &[3.0]], None)?; // the second of −1, 0.25, 0.5
/// assert_eq!((intervals[0].low, intervals[0].high), (-0.25, 3.25));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Romano, Patterson and Candès 2019, arXiv:1905.03222 (theorems 1 and 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileConformal {
    /// The corrections of the lower and of the upper end.
    corrections: [ScoreQuantiles; 2],
}

impl QuantileConformal {
    /// Fits the correction on `(N,)` lower and upper quantiles and targets of calibration rows, with the
    /// group number of each row if each group shall have a correction of its own.
    ///
    /// # Errors
    /// When there are no rows, the lengths differ, a number is not finite, or `alpha` is not above 0 and
    /// below 1.
    pub fn fit(
        [low, high]: [&[f64]; 2],
        targets: &[f64],
        groups: Option<&[u32]>,
        correction: QuantileCorrection,
        alpha: f64,
    ) -> Result<Self> {
        let quantiles = |scores: &[f64], alpha| ScoreQuantiles::fit(scores, groups, alpha);
        Self::fit_by([low, high], targets, correction, alpha, quantiles)
    }

    /// The same where `quantiles` gives the conformal quantiles of scores.
    pub(super) fn fit_by(
        ends: [&[f64]; 2],
        targets: &[f64],
        correction: QuantileCorrection,
        alpha: f64,
        quantiles: impl Fn(&[f64], f64) -> Result<ScoreQuantiles>,
    ) -> Result<Self> {
        check_alpha(alpha)?;
        let [below, above] = quantile_excesses(ends, targets)?;
        let corrections = match correction {
            QuantileCorrection::Symmetric => {
                let scores: Vec<f64> = below.iter().zip(&above).map(|(b, a)| b.max(*a)).collect();
                let both = quantiles(&scores, alpha)?;
                [both.clone(), both]
            }
            QuantileCorrection::Asymmetric => {
                [quantiles(&below, alpha / 2.0)?, quantiles(&above, alpha / 2.0)?]
            }
        };
        Ok(Self { corrections })
    }

    /// The interval of each new row, from its lower and upper quantile, and its group if the fit had groups.
    ///
    /// # Errors
    /// When a number is not finite, the lengths differ, or groups are given in the fit only or here only.
    pub fn predict(
        &self,
        [low, high]: [&[f64]; 2],
        groups: Option<&[u32]>,
    ) -> Result<Vec<PredictionInterval>> {
        check_rows("upper quantiles", high.len(), low.len())?;
        check_finite("lower quantile", low)?;
        check_finite("upper quantile", high)?;
        let [below, above] = &self.corrections;
        let lows = low.iter().zip(below.of_rows(low.len(), groups)?).map(|(low, q)| low - q);
        let highs = high.iter().zip(above.of_rows(high.len(), groups)?).map(|(high, q)| high + q);
        Ok(lows.zip(highs).map(|(low, high)| PredictionInterval { low, high }).collect())
    }

    /// The corrections of the lower and of the upper end, by group if the fit had groups. They are the same
    /// for the symmetric correction.
    #[must_use]
    pub fn corrections(&self) -> &[ScoreQuantiles; 2] {
        &self.corrections
    }
}

/// Computes by how much targets are below the lower and above the upper quantile: `lᵢ − yᵢ` and `yᵢ − hᵢ`.
/// Their maximum is the score of the symmetric [`QuantileConformal`].
///
/// # Errors
/// When there are no rows, the lengths differ or a number is not finite.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::quantile_excesses;
///
/// let [below, above] = quantile_excesses([&[1.0], &[2.0]], &[2.5])?;
/// assert_eq!((below[0], above[0]), (-1.5, 0.5));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn quantile_excesses([low, high]: [&[f64]; 2], targets: &[f64]) -> Result<[Vec<f64>; 2]> {
    check_any(targets.len())?;
    check_rows("lower quantiles", low.len(), targets.len())?;
    check_rows("upper quantiles", high.len(), targets.len())?;
    check_finite("lower quantile", low)?;
    check_finite("upper quantile", high)?;
    check_finite("target", targets)?;
    let below = low.iter().zip(targets).map(|(low, t)| low - t).collect();
    let above = high.iter().zip(targets).map(|(high, t)| t - high).collect();
    Ok([below, above])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformal::SplitConformal;
    use proptest::prelude::*;
    use QuantileCorrection::{Asymmetric, Symmetric};

    #[test]
    fn too_wide_intervals_become_narrower_and_may_become_empty() {
        let (low, high, targets) = ([-5.0; 4], [5.0; 4], [0.0, 1.0, -1.0, 2.0]);
        let fitted = QuantileConformal::fit([&low, &high], &targets, None, Symmetric, 0.2).unwrap();
        let found = fitted.predict([&[-5.0, 0.0], &[5.0, 4.0]], None).unwrap();
        assert_eq!(found[0], PredictionInterval { low: -2.0, high: 2.0 });
        assert!(found[1].is_empty());
    }

    #[test]
    fn each_side_has_half_of_the_errors() {
        // lᵢ − yᵢ = −1 to −9, yᵢ − hᵢ = −9 to −1.
        let targets: Vec<f64> = (1..10).map(f64::from).collect();
        let fitted =
            QuantileConformal::fit([&[0.0; 9], &[10.0; 9]], &targets, None, Asymmetric, 0.4).unwrap();
        let [below, above] = fitted.corrections();
        assert_eq!((below.of(None).unwrap().quantile, above.of(None).unwrap().quantile), (-2.0, -2.0));
        let found = fitted.predict([&[0.0], &[10.0]], None).unwrap();
        assert_eq!(found[0], PredictionInterval { low: 2.0, high: 8.0 });
        let few = QuantileConformal::fit([&[0.0; 9], &[10.0; 9]], &targets, None, Asymmetric, 0.1).unwrap();
        assert_eq!(few.predict([&[0.0], &[10.0]], None).unwrap()[0].width(), f64::INFINITY);
    }

    #[test]
    fn bad_inputs_are_named() {
        let error = quantile_excesses([&[1.0], &[]], &[1.0]).unwrap_err().to_string();
        assert_eq!(error, "number of upper quantiles must be 1, one for each row, but is 0");
        let error =
            QuantileConformal::fit([&[1.0], &[1.0]], &[1.0], None, Asymmetric, 1.5).unwrap_err().to_string();
        assert_eq!(error, "alpha must be above 0 and below 1, but is 1.5");
        let fitted = QuantileConformal::fit([&[1.0], &[1.0]], &[1.0], None, Symmetric, 0.5).unwrap();
        assert!(fitted.predict([&[1.0], &[f64::NAN]], None).is_err());
        assert!(fitted.predict([&[1.0], &[]], None).is_err());
    }

    proptest! {
        #[test]
        fn equal_quantiles_give_the_intervals_of_split_conformal_prediction(
            rows in prop::collection::vec((-50i32..50, -50i32..50), 1..60),
            alpha in 0.02f64..0.98,
        ) {
            let (predictions, targets): (Vec<f64>, Vec<f64>) =
                rows.iter().map(|(p, t)| (f64::from(*p), f64::from(*t))).unzip();
            let both = [&predictions[..], &predictions[..]];
            let quantiles = QuantileConformal::fit(both, &targets, None, Symmetric, alpha).unwrap();
            let split = SplitConformal::fit(&predictions, &targets, None, alpha).unwrap();
            prop_assert_eq!(
                quantiles.predict(both, None).unwrap(),
                split.predict(&predictions, None).unwrap()
            );
        }
    }
}
