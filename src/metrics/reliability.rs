//! The bins of a reliability diagram.
use crate::{
    metrics::{
        calibration_bins::Bins,
        inputs::{Case, Cases},
    },
    Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// The rows of a classifier whose confidence lies in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// The lower edge of the interval, not included.
    pub low: f64,
    /// The upper edge, included.
    pub high: f64,
    /// The mean confidence of the rows.
    pub confidence: f64,
    /// The share of the rows whose most probable class is the true one.
    pub accuracy: f64,
    /// The number of rows, or the sum of their weights.
    pub weight: f64,
}

/// Compares confidence and accuracy in bins of equal width, for a reliability diagram.
///
/// ```text
/// conf_b = Σ_{i in b} wᵢ cᵢ / Σ_{i in b} wᵢ,  acc_b = Σ_{i in b} wᵢ [argmax pᵢ = yᵢ] / Σ_{i in b} wᵢ
/// ```
///
/// The confidence `cᵢ` of a row is the probability of its most probable class (ties go to the lowest class).
/// Bin `b` has the rows with a confidence in `(b/bins, (b+1)/bins]`. Bins without rows are left out. The bins
/// are those of [`ece`](super::ece()), which is the mean of `|acc_b − conf_b|`, weighted by the bins'
/// weights. `probs` is `(N, C)` (rows, classes) of any float type; `weights` has one weight for each row and
/// takes the place of counts.
///
/// Use it to see where a classifier is too confident. A bin with few rows has an accuracy that varies much.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the number of bins is not between 1 and 65536.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::reliability_bins;
///
/// // Always 75 % confident and right half of the time.
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.25, 0.75]], &Device::Cpu)?;
/// let bins = reliability_bins(&probs, &[0, 0], 2, None)?;
/// assert_eq!((bins.len(), bins[0].low, bins[0].high), (1, 0.5, 1.0));
/// assert_eq!((bins[0].confidence, bins[0].accuracy, bins[0].weight), (0.75, 0.5, 2.0));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Guo, Pleiss, Sun and Weinberger 2017, arXiv:1706.04599.
pub fn reliability_bins(
    probs: &Tensor,
    labels: &[u32],
    bins: usize,
    weights: Option<&[f64]>,
) -> Result<Vec<ReliabilityBin>> {
    let equal_width = Bins::new(bins)?;
    let edge = |b: usize| b as f64 / bins as f64;
    let mut sums = vec![Sums::default(); bins];
    Cases::new(probs, labels, weights)?.each(|case| {
        let (confidence, correct) = top(&case);
        if let Some(sums) = sums.get_mut(equal_width.of(confidence)) {
            sums.weight += case.weight;
            sums.confidence += case.weight * confidence.min(1.0);
            sums.correct += if correct { case.weight } else { 0.0 };
        }
    })?;
    let filled = sums.iter().enumerate().filter(|(_, s)| s.weight > 0.0);
    Ok(filled.map(|(b, s)| s.bin(edge(b), edge(b + 1))).collect())
}

/// The probability of the most probable class, and whether it is the true one.
fn top(case: &Case<'_>) -> (f64, bool) {
    let confidence = case.probs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (confidence, case.probs.iter().position(|&p| p == confidence) == Some(case.label))
}

/// Weighted sums over the rows of a bin.
#[derive(Clone, Copy, Default)]
struct Sums {
    weight: f64,
    confidence: f64,
    correct: f64,
}

impl Sums {
    fn bin(&self, low: f64, high: f64) -> ReliabilityBin {
        // Rounding must not leave a mean above one.
        let mean = |sum: f64| (sum / self.weight).min(1.0);
        let (confidence, accuracy) = (mean(self.confidence), mean(self.correct));
        ReliabilityBin { low, high, confidence, accuracy, weight: self.weight }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{
        ece,
        reference::{classification, close},
    };
    use candle_core::Device;

    /// Confidences .5 (a tie, for class 0), .625, .75 and .875 in four bins of width .25: .5 alone in (.25,
    /// .5]; .625 and .75 in (.5, .75]; .875 in (.75, 1]. Right, wrong, right, right.
    #[test]
    fn agrees_with_bins_by_hand() {
        let rows = [[0.5f64, 0.5], [0.625, 0.375], [0.25, 0.75], [0.875, 0.125]];
        let probs = Tensor::new(&rows, &Device::Cpu).unwrap();
        let bin = |low: f64, confidence, accuracy, weight| ReliabilityBin {
            low,
            high: low + 0.25,
            confidence,
            accuracy,
            weight,
        };
        assert_eq!(
            reliability_bins(&probs, &[0, 1, 1, 0], 4, None).unwrap(),
            [bin(0.25, 0.5, 1.0, 1.0), bin(0.5, 0.6875, 0.5, 2.0), bin(0.75, 0.875, 1.0, 1.0)]
        );
        // The second row three times: (3 · .625 + .75) / 4.
        let weighted = reliability_bins(&probs, &[0, 1, 1, 0], 4, Some(&[1.0, 3.0, 1.0, 1.0])).unwrap();
        assert_eq!(weighted[1], bin(0.5, 0.65625, 0.25, 4.0));
    }

    /// The expected calibration error is the mean gap of the bins. It is tested against numpy.
    #[test]
    fn the_gaps_give_the_expected_calibration_error() {
        let (probs, labels, weights) = classification();
        for weights in [None, Some(&weights[..])] {
            for bins in [1, 5, 15, 1000] {
                let table = reliability_bins(&probs, &labels, bins, weights).unwrap();
                let total: f64 = table.iter().map(|b| b.weight).sum();
                let gaps: f64 = table.iter().map(|b| b.weight * (b.accuracy - b.confidence).abs()).sum();
                close(gaps / total, ece(&probs, &labels, bins, weights).unwrap());
                assert!(table.iter().all(|b| b.low < b.confidence && b.confidence <= b.high));
            }
        }
    }

    #[test]
    fn bad_numbers_of_bins_are_errors() {
        let probs = Tensor::new(&[[0.75f32, 0.25]], &Device::Cpu).unwrap();
        for bins in [0, usize::MAX] {
            assert!(reliability_bins(&probs, &[0], bins, None).is_err());
        }
    }
}
