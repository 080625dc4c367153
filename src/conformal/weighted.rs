//! The conformal quantile of weighted scores, for new rows from another distribution.
use super::inputs::{check_alpha, check_rows, check_scores};
use crate::{Error, Result};

/// Scores with weights, whose conformal quantile allows for a shift of the inputs.
///
/// ```text
/// q(w) = the least score s with Σ { wᵢ : sᵢ ≤ s } ≥ (1 − α)(Σ wᵢ + w);  ∞ where there is none
/// ```
///
/// `wᵢ` is the ratio of the densities of the inputs of row `i`, new over calibration, and `w` is that of the
/// new row. The ratio need only be known up to a factor. With equal weights, it is the
/// [`conformal_quantile`](super::conformal_quantile()).
///
/// Use it where new rows differ from the calibration rows in their inputs only (covariate shift) and the
/// ratio is known or estimated well, for example from a classifier that tells the two apart. The guarantee
/// does not hold where the relation of target and inputs has changed, and it is only approximate where the
/// ratio is an estimate. Large weights of a few rows make the quantile vary much.
///
/// The scores are sorted once, in `O(n log n)`. Each new row costs `O(log n)`.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::WeightedScores;
///
/// let scores = WeightedScores::new(&[0.3, 0.1, 0.2], &[2.0, 1.0, 1.0])?;
/// assert_eq!(scores.quantile(1.0, 0.5)?, 0.3); // 1 + 1 + 2 ≥ 0.5 · 5
/// assert_eq!(scores.quantile(0.0, 0.5)?, 0.2); // 1 + 1 ≥ 0.5 · 4
/// assert_eq!(scores.quantile(9.0, 0.5)?, f64::INFINITY);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Tibshirani, Barber, Candès and Ramdas 2019, arXiv:1904.06019.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedScores {
    /// Scores in ascending order, each with the sum of the weights up to it.
    cumulative: Vec<(f64, f64)>,
    total: f64,
}

impl WeightedScores {
    /// Sorts scores of calibration rows with their weights.
    ///
    /// # Errors
    /// When the numbers of scores and weights differ, a score is NaN, a weight is negative or not finite, or
    /// the sum of the weights overflows.
    pub fn new(scores: &[f64], weights: &[f64]) -> Result<Self> {
        check_rows("weights", weights.len(), scores.len())?;
        check_scores(scores)?;
        for (row, weight) in weights.iter().enumerate() {
            check_weight(&format!("weight of row {row}"), *weight)?;
        }
        let mut pairs: Vec<(f64, f64)> = scores.iter().copied().zip(weights.iter().copied()).collect();
        // Weights too, so that the sums do not depend on the order of the rows.
        pairs.sort_unstable_by(|(a, v), (b, w)| a.total_cmp(b).then(v.total_cmp(w)));
        let mut total = 0.0;
        for (_, weight) in &mut pairs {
            total += *weight;
            *weight = total;
        }
        check_weight("sum of the weights", total)?;
        Ok(Self { cumulative: pairs, total })
    }

    /// The conformal quantile for a new row of this weight.
    ///
    /// # Errors
    /// When the weight is negative or not finite, or `alpha` is not above 0 and below 1.
    pub fn quantile(&self, weight: f64, alpha: f64) -> Result<f64> {
        check_alpha(alpha)?;
        check_weight("weight of the new row", weight)?;
        let all = self.total + weight;
        // The sums are known up to rounding.
        let need = (1.0 - alpha) * all - 2.0 * f64::EPSILON * all;
        let below = self.cumulative.partition_point(|(_, sum)| *sum < need);
        Ok(self.cumulative.get(below).map_or(f64::INFINITY, |(score, _)| *score))
    }
}

fn check_weight(what: &str, weight: f64) -> Result<()> {
    match weight >= 0.0 && weight.is_finite() {
        true => Ok(()),
        false => Err(Error::invalid(what, "0 or more, and finite", weight)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformal::conformal_quantile;
    use proptest::prelude::*;

    #[test]
    fn bad_weights_are_named() {
        let error = WeightedScores::new(&[1.0, 2.0], &[1.0, -1.0]).unwrap_err().to_string();
        assert_eq!(error, "weight of row 1 must be 0 or more, and finite, but is -1");
        assert!(WeightedScores::new(&[1.0], &[1.0, 1.0]).is_err());
        assert!(WeightedScores::new(&[1.0, 1.0], &[f64::MAX, f64::MAX]).is_err());
        assert!(WeightedScores::new(&[1.0], &[1.0]).unwrap().quantile(f64::NAN, 0.1).is_err());
    }

    #[test]
    fn no_scores_give_an_infinite_quantile() {
        assert_eq!(WeightedScores::new(&[], &[]).unwrap().quantile(1.0, 0.1).unwrap(), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn equal_weights_give_the_conformal_quantile(
            scores in prop::collection::vec(-9i32..9, 0..60),
            percent in 1u32..100,
            weight in prop::sample::select(vec![0.25, 1.0, 8.0]),
        ) {
            let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
            let alpha = f64::from(percent) / 100.0;
            let weighted = WeightedScores::new(&scores, &vec![weight; scores.len()]).unwrap();
            prop_assert_eq!(
                weighted.quantile(weight, alpha).unwrap(),
                conformal_quantile(&scores, alpha).unwrap()
            );
        }

        /// An integer weight is as many rows, but for the new row, whose weight stays 1.
        #[test]
        fn integer_weights_repeat_rows(
            rows in prop::collection::vec((-9i32..9, 0usize..5), 1..30),
            percent in 1u32..100,
        ) {
            let alpha = f64::from(percent) / 100.0;
            let scores: Vec<f64> = rows.iter().map(|(score, _)| f64::from(*score)).collect();
            let weights: Vec<f64> = rows.iter().map(|(_, count)| *count as f64).collect();
            let repeated: Vec<f64> =
                rows.iter().flat_map(|(score, count)| vec![f64::from(*score); *count]).collect();
            let weighted = WeightedScores::new(&scores, &weights).unwrap();
            prop_assert_eq!(
                weighted.quantile(1.0, alpha).unwrap(),
                conformal_quantile(&repeated, alpha).unwrap()
            );
        }
    }
}
