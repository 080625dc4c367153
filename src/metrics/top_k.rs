//! The top-k accuracy.
use crate::{
    metrics::{
        inputs::{Case, Mean},
        stream::{of_classes, Accumulate},
    },
    Error, Result,
};
use candle_core::Tensor;

/// Computes the top-k accuracy: the share of rows whose label is among the `k` most probable classes.
///
/// ```text
/// 1/N Σᵢ [fewer than k classes come before yᵢ]
/// ```
///
/// It is between 0 and 1; more is better. `probs` is `(N, C)` (rows, classes) of any float type; `weights`
/// has one weight for each row and makes the mean a weighted one. Of classes that tie, the lower comes first,
/// so `k = 1` is the [`accuracy`](super::accuracy()); scikit-learn's `top_k_accuracy_score` puts the higher
/// first. With `k` of `C` or more every row is right.
///
/// Use it where there are many classes and several answers are shown, as for ImageNet with `k = 5`.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or `k` is 0.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::top_k_accuracy;
///
/// let probs = Tensor::new(&[[0.5f32, 0.3, 0.2], [0.5, 0.3, 0.2]], &Device::Cpu)?;
/// assert_eq!(top_k_accuracy(&probs, &[1, 2], 2, None)?, 0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Reference: scikit-learn's `top_k_accuracy_score`, where there are no ties.
pub fn top_k_accuracy(probs: &Tensor, labels: &[u32], k: usize, weights: Option<&[f64]>) -> Result<f64> {
    check_k(k)?;
    of_classes(TopK::new(k), probs, labels, weights)
}

pub(crate) fn check_k(k: usize) -> Result<()> {
    match k {
        0 => Err(Error::invalid("k of the top-k accuracy", "at least 1", 0)),
        _ => Ok(()),
    }
}

/// Accumulates [`top_k_accuracy`].
pub(crate) struct TopK {
    k: usize,
    mean: Mean,
}

impl TopK {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, mean: Mean::default() }
    }
}

impl Accumulate<Case<'_>> for TopK {
    fn add(&mut self, case: &Case<'_>) {
        let (lower, rest) = case.probs.split_at(case.label);
        let before = rest.first().map_or(0, |own| {
            lower.iter().filter(|p| *p >= own).count() + rest.iter().filter(|p| *p > own).count()
        });
        self.mean.add(f64::from(before < self.k), case.weight);
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        Ok(self.mean.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_classification, check_ties};

    #[test]
    fn agrees_with_scikit_learn() {
        let of = |k| move |p: &Tensor, y: &[u32], w: Option<&[f64]>| top_k_accuracy(p, y, k, w);
        check_classification(of(1), [0.7333333333333333, 0.8095238095238095]);
        check_classification(of(2), [0.8, 0.8571428571428571]);
        check_classification(of(3), [0.9166666666666666, 0.9476190476190476]);
        check_classification(of(4), [1.0, 1.0]);
        check_ties(of(1), [0.8333333333333334, 0.8809523809523809]);
        check_ties(of(2), [0.8333333333333334, 0.8809523809523809]);
        check_ties(of(3), [1.0, 1.0]);
    }

    #[test]
    fn k_is_at_least_one() {
        let e = check_k(0).unwrap_err().to_string();
        assert_eq!(e, "k of the top-k accuracy must be at least 1, but is 0");
    }
}
