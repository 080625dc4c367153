//! The classwise calibration error.
use crate::{
    metrics::{
        calibration_bins::{Bins, EqualWidth},
        inputs::Case,
        stream::{of_classes, Accumulate},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the classwise expected calibration error: the mean over the classes of the error of the
/// probability of each class, in bins of equal width.
///
/// ```text
/// 1/C Σ_c Σ_b n_bc/N |share of class c in bin b − mean of p_c in bin b|
/// ```
///
/// It is between 0 and 1; less is better. Bin `b` of class `c` has the `n_bc` rows with `p_ic` in
/// `(b/bins, (b+1)/bins]`, and the first bin those with 0 too. `probs` is `(N, C)` (rows, classes) of any
/// float type; `weights` has one weight for each row and takes the place of counts.
///
/// Use it where all probabilities are used, not only the greatest ([`ece`](super::ece())). With many classes
/// most probabilities are near 0 and so is the mean; compare it only between models on the same rows.
///
/// The cost is one pass over the probabilities and `bins · C` sums.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the number of bins is not between 1 and 65536.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{classwise_ece, ECE_BINS};
///
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.75, 0.25]], &Device::Cpu)?;
/// assert_eq!(classwise_ece(&probs, &[0, 1], ECE_BINS, None)?, 0.25);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Kull et al. 2019, arXiv:1910.12656; as "static calibration error" in Nixon et al. 2019,
/// arXiv:1904.01685.
pub fn classwise_ece(probs: &Tensor, labels: &[u32], bins: usize, weights: Option<&[f64]>) -> Result<f64> {
    of_classes(ClasswiseEce::new(Bins::new(bins)?), probs, labels, weights)
}

/// Accumulates [`classwise_ece`].
pub(crate) struct ClasswiseEce {
    bins: Bins,
    classes: Vec<EqualWidth>,
}

impl ClasswiseEce {
    pub(crate) fn new(bins: Bins) -> Self {
        Self { bins, classes: vec![] }
    }
}

impl Accumulate<Case<'_>> for ClasswiseEce {
    fn add(&mut self, case: &Case<'_>) {
        let new = || EqualWidth::new(self.bins);
        self.classes.resize_with(case.probs.len(), new);
        for (class, (table, p)) in self.classes.iter_mut().zip(case.probs).enumerate() {
            table.add(*p, class == case.label, case.weight);
        }
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        Ok(self.classes.iter().map(EqualWidth::expected).sum::<f64>() / self.classes.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_classification, check_ties};

    /// torchmetrics' `binary_calibration_error` of each class gives the same without weights.
    #[test]
    fn agrees_with_numpy() {
        check_classification(|p, y, w| classwise_ece(p, y, 5, w), [0.10840102942119882, 0.11230698815221539]);
        check_classification(|p, y, w| classwise_ece(p, y, 15, w), [0.14678193744522305, 0.1666759604486277]);
        check_ties(|p, y, w| classwise_ece(p, y, 5, w), [0.22222222222222224, 0.2222222222222222]);
        check_ties(|p, y, w| classwise_ece(p, y, 15, w), [0.25, 0.24999999999999994]);
    }
}
