//! The expected calibration error.
use crate::{
    metrics::{
        calibration_bins::{signed_gap, Bins, EqualWidth},
        inputs::Case,
        stream::{of_classes, Accumulate},
    },
    Result,
};
use candle_core::Tensor;

/// The usual number of bins (Guo et al. 2017, arXiv:1706.04599).
pub const ECE_BINS: usize = 15;

/// Computes the expected calibration error of the most probable class, in bins of equal width.
///
/// ```text
/// Σ_b n_b/N |acc_b − conf_b|
/// ```
///
/// It is between 0 and 1; less is better. The confidence of a row is the probability of its most probable
/// class (ties go to the lowest class). Bin `b` has the `n_b` rows with a confidence in
/// `(b/bins, (b+1)/bins]`; `acc_b` is their accuracy and `conf_b` their mean confidence. Edges are compared
/// in f64, so an f32 confidence of 0.2 is above the edge 0.2. `probs` is `(N, C)` (rows, classes) of any
/// float type; `weights` has one weight for each row and takes the place of counts. [`ECE_BINS`] is the usual
/// number of bins.
///
/// Use it to see whether confidences can be trusted. It depends on the bins and has a bias with few rows; to
/// choose between models, use a proper score such as [`nll`](super::nll()).
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the number of bins is not between 1 and 65536.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{ece, ECE_BINS};
///
/// // Always 75 % confident and right half of the time.
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.25, 0.75]], &Device::Cpu)?;
/// assert_eq!(ece(&probs, &[0, 0], ECE_BINS, None)?, 0.25);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian
/// binning"; Guo, Pleiss, Sun and Weinberger 2017, arXiv:1706.04599.
pub fn ece(probs: &Tensor, labels: &[u32], bins: usize, weights: Option<&[f64]>) -> Result<f64> {
    of_classes(Ece::new(Bins::new(bins)?), probs, labels, weights)
}

/// Accumulates [`ece`].
pub(crate) struct Ece(EqualWidth);

impl Ece {
    pub(crate) fn new(bins: Bins) -> Self {
        Self(EqualWidth::new(bins))
    }
}

impl Accumulate<Case<'_>> for Ece {
    fn add(&mut self, case: &Case<'_>) {
        self.0.add(case.confidence, case.is_correct(), case.weight);
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        Ok(self.0.expected())
    }
}

/// Computes the expected calibration error of the most probable class, in bins of equal mass.
///
/// ```text
/// Σ_b n_b/N |acc_b − conf_b|
/// ```
///
/// It is as [`ece`], but each bin has the same share of the rows. Rows are sorted by confidence, and a row
/// belongs to the bin in which the middle of its weight lies. Rows of equal confidence stay together, so the
/// result does not depend on the order of the rows; where many are equal, bins are uneven or empty. `probs`
/// is `(N, C)` (rows, classes) of any float type; `weights` has one weight for each row and takes the place
/// of counts.
///
/// Use it where most confidences are close to each other, which leaves bins of equal width nearly empty.
///
/// The cost is one pass over the probabilities and a sort of the rows.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the number of bins is not between 1 and 65536.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::ece_equal_mass;
///
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.875, 0.125]], &Device::Cpu)?;
/// assert_eq!(ece_equal_mass(&probs, &[0, 0], 2, None)?, (0.25 + 0.125) / 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Nguyen and O'Connor 2015, arXiv:1508.05154; Nixon et al. 2019, arXiv:1904.01685.
pub fn ece_equal_mass(probs: &Tensor, labels: &[u32], bins: usize, weights: Option<&[f64]>) -> Result<f64> {
    of_classes(EqualMass::new(Bins::new(bins)?), probs, labels, weights)
}

/// What rounding may take from the middle of a row's weight, counted in bins.
const EDGE: f64 = 1e-9;

/// Accumulates [`ece_equal_mass`].
pub(crate) struct EqualMass {
    bins: Bins,
    /// The confidence of each row, whether its most probable class is right, and its weight.
    rows: Vec<(f64, bool, f64)>,
}

impl EqualMass {
    pub(crate) fn new(bins: Bins) -> Self {
        Self { bins, rows: vec![] }
    }
}

impl Accumulate<Case<'_>> for EqualMass {
    fn add(&mut self, case: &Case<'_>) {
        self.rows.push((case.confidence, case.is_correct(), case.weight));
    }

    fn finish(mut self: Box<Self>) -> Result<f64> {
        // By all fields, so that sums have the same bits for any order of the rows.
        self.rows.sort_unstable_by(|(p, a, v), (q, b, w)| p.total_cmp(q).then(a.cmp(b)).then(v.total_cmp(w)));
        let total: f64 = self.rows.iter().map(|(_, _, weight)| weight).sum();
        let bins = self.bins.count();
        let mut gaps = vec![0.0; bins];
        let mut below = 0.0;
        for equals in self.rows.chunk_by(|(p, ..), (q, ..)| p == q) {
            let weight: f64 = equals.iter().map(|(_, _, weight)| weight).sum();
            let middle = bins as f64 * (below + weight / 2.0) / total;
            // A middle on an edge belongs to the bin above it, even if rounding left it just below.
            if let Some(gap) = gaps.get_mut(((middle + EDGE) as usize).min(bins - 1)) {
                *gap += equals.iter().map(|(p, hit, weight)| signed_gap(*p, *hit, *weight)).sum::<f64>();
            }
            below += weight;
        }
        Ok(gaps.iter().map(|gap: &f64| gap.abs()).sum::<f64>() / total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_classification, classification, close};
    use candle_core::Device;

    #[test]
    fn agrees_with_numpy() {
        check_classification(|p, y, w| ece(p, y, 5, w), [0.35096955169854704, 0.4427814266188019]);
        check_classification(|p, y, w| ece(p, y, 15, w), [0.3550776182141712, 0.4427814266188018]);
        let (probs, labels, _) = classification();
        for (bins, expected) in [(5, 0.3257662996660267), (15, 0.39528135891229194)] {
            close(ece_equal_mass(&probs, &labels, bins, None).unwrap(), expected);
        }
    }

    /// Confidences .5 (a tie, for class 0), .625, .75 and .875 in four bins of width .25: .5 alone in (.25,
    /// .5]; .625 and .75 in (.5, .75]; .875 in (.75, 1]. Right, wrong, right, right: gaps .5, -.625 + .25,
    /// .125.
    #[test]
    fn agrees_with_bins_by_hand() {
        let rows = [[0.5f64, 0.5], [0.625, 0.375], [0.25, 0.75], [0.875, 0.125]];
        let probs = Tensor::new(&rows, &Device::Cpu).unwrap();
        let labels = [0, 1, 1, 0];
        assert_eq!(ece(&probs, &labels, 4, None).unwrap(), (0.5 + 0.375 + 0.125) / 4.0);
        // The second row three times: gaps .5, -1.875 + .25, .125.
        let weights = [1.0, 3.0, 1.0, 1.0];
        close(ece(&probs, &labels, 4, Some(&weights)).unwrap(), (0.5 + 1.625 + 0.125) / 6.0);
        // Halves of equal mass: .5 - .625 and .25 + .125.
        assert_eq!(ece_equal_mass(&probs, &labels, 2, None).unwrap(), (0.125 + 0.375) / 4.0);
        // The middles of the weights lie at .5, 2.5, 4.5 and 5.5 of 6: gaps .5 - 1.875 and .25 + .125.
        close(ece_equal_mass(&probs, &labels, 2, Some(&weights)).unwrap(), (1.375 + 0.375) / 6.0);
        assert_eq!(ece(&probs, &labels, 1, None).unwrap(), ece_equal_mass(&probs, &labels, 1, None).unwrap());
    }

    #[test]
    fn rows_of_equal_confidence_stay_together() {
        let probs = Tensor::new(&[[0.75f32, 0.25]; 8], &Device::Cpu).unwrap();
        let labels = [0, 0, 0, 0, 0, 0, 1, 1];
        assert_eq!(ece_equal_mass(&probs, &labels, 4, None).unwrap(), 0.0);
    }

    #[test]
    fn bad_numbers_of_bins_are_errors() {
        let probs = Tensor::new(&[[0.75f32, 0.25]], &Device::Cpu).unwrap();
        for bins in [0, usize::MAX] {
            assert!(ece(&probs, &[0], bins, None).is_err());
            assert!(ece_equal_mass(&probs, &[0], bins, None).is_err());
        }
    }
}
