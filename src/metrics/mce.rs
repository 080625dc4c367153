//! The maximum calibration error.
use crate::{
    metrics::{
        calibration_bins::{Bins, EqualWidth},
        inputs::Case,
        stream::{of_classes, Accumulate},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the maximum calibration error of the most probable class, in bins of equal width.
///
/// ```text
/// max_b |acc_b − conf_b|
/// ```
///
/// It is between 0 and 1; less is better. Bins, confidences and weights are those of [`ece`](super::ece());
/// bins without rows do not count.
///
/// Use it where the worst confidence matters. It varies much: a bin with one row can decide it.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the number of bins is not between 1 and 65536.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{mce, ECE_BINS};
///
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.5, 0.5]], &Device::Cpu)?;
/// assert_eq!(mce(&probs, &[1, 0], ECE_BINS, None)?, 0.75);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian
/// binning"; Guo, Pleiss, Sun and Weinberger 2017, arXiv:1706.04599.
pub fn mce(probs: &Tensor, labels: &[u32], bins: usize, weights: Option<&[f64]>) -> Result<f64> {
    of_classes(Mce::new(Bins::new(bins)?), probs, labels, weights)
}

/// Accumulates [`mce`].
pub(crate) struct Mce(EqualWidth);

impl Mce {
    pub(crate) fn new(bins: Bins) -> Self {
        Self(EqualWidth::new(bins))
    }
}

impl Accumulate<Case<'_>> for Mce {
    fn add(&mut self, case: &Case<'_>) {
        self.0.add(case.confidence, case.is_correct(), case.weight);
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        Ok(self.0.maximum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_classification, check_ties, classification, close};

    #[test]
    fn agrees_with_numpy() {
        check_classification(|p, y, w| mce(p, y, 5, w), [0.7560975609756098, 0.7560975609756098]);
        check_classification(|p, y, w| mce(p, y, 15, w), [0.7560975609756098, 0.7560975609756098]);
        check_ties(|p, y, w| mce(p, y, 5, w), [0.5, 0.5]);
        check_ties(|p, y, w| mce(p, y, 15, w), [0.5, 0.5]);
    }

    /// With one bin it is the ECE, and with any number of bins at least that.
    #[test]
    fn it_is_at_least_the_expected_error() {
        use crate::metrics::ece;
        let (probs, labels, weights) = classification();
        let both =
            |bins| (mce(&probs, &labels, bins, Some(&weights)), ece(&probs, &labels, bins, Some(&weights)));
        let (most, mean) = both(1);
        close(most.unwrap(), mean.unwrap());
        for bins in 2..40 {
            let (most, mean) = both(bins);
            assert!(most.unwrap() >= mean.unwrap());
        }
    }
}
