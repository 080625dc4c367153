//! The ranked probability score.
use crate::{
    metrics::{
        inputs::Case,
        stream::{of_classes, MeanScore},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the ranked probability score of classes with an order: the squared distance of the cumulative probabilities from
/// those of the label.
///
/// ```text
/// 1/N Σᵢ Σ_k (P_i(y ≤ k) − [yᵢ ≤ k])²    over the classes k but the last
/// ```
///
/// It is between 0 and `C − 1`; less is better. For two classes it is half of the [Brier score](super::brier()). `probs` is
/// `(N, C)` (rows, classes) of any float type, with the classes in their order; `weights` has one weight for each row and
/// makes the mean a weighted one. Some authors divide it by `C − 1`.
///
/// Use it as a proper score for grades, stages and other classes with an order: probability far from the label costs more
/// than probability next to it. Do not use it for classes without an order.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid; see the [module](super).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::rps;
///
/// // The label is class 2. A miss by one class, and one by two.
/// let probs = Tensor::new(&[[0f32, 1., 0.], [1., 0., 0.]], &Device::Cpu)?;
/// assert_eq!(rps(&probs, &[2, 2], None)?, (1. + 2.) / 2.);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Epstein 1969, `doi:10.1175/1520-0450(1969)008<0985:ASSFPF>2.0.CO;2`.
pub fn rps(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<f64> {
    of_classes(MeanScore::new(distance), probs, labels, weights)
}

/// The squared distance of the cumulative probabilities of one row from those of its label.
pub(crate) fn distance(case: &Case<'_>) -> f64 {
    let (before, from) = case.probs.split_at(case.label);
    // Below the label the cumulative probability should be 0, and from it on 1: what is above is summed from the end, so
    // that small errors do not cancel.
    let squares = |probs: &mut dyn Iterator<Item = &f64>| {
        let sums = probs.scan(0.0, |sum, p| {
            *sum += p;
            Some(*sum)
        });
        sums.map(|sum| sum * sum).sum::<f64>()
    };
    squares(&mut before.iter()) + squares(&mut from.iter().skip(1).rev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{brier, reference::check_classification};
    use candle_core::Device;

    /// `tests/reference/ordinal.py`.
    #[test]
    fn agrees_with_the_formula() {
        check_classification(rps, [0.46171232442030075, 0.48179343185667317]);
    }

    #[test]
    fn for_two_classes_it_is_half_of_the_brier_score() {
        let probs = Tensor::new(&[[0.75f64, 0.25], [0.1, 0.9], [0.5, 0.5]], &Device::Cpu).unwrap();
        let (labels, weights) = ([0, 0, 1], [1., 2., 3.]);
        let half = brier(&probs, &labels, Some(&weights)).unwrap() / 2.0;
        assert!((rps(&probs, &labels, Some(&weights)).unwrap() - half).abs() < 1e-15);
    }

    #[test]
    fn small_errors_do_not_cancel() {
        let e = 2f64.powi(-40);
        let probs = Tensor::new(&[[1.0 - e, 0., e]], &Device::Cpu).unwrap();
        assert_eq!(rps(&probs, &[0], None).unwrap(), 2.0 * e * e);
    }
}
