//! The explained variance.
use crate::{
    metrics::{
        inputs::{finite, Pair},
        stream::{of_values, Accumulate},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the explained variance, averaged over the outputs.
///
/// ```text
/// 1/K Σ_k (1 − Varᵢ(t_ik − p_ik) / Varᵢ(t_ik))
/// ```
///
/// It is at most 1 and has no lower bound; more is better. It is the [`r2`](super::r2()) after the mean error
/// of each output has been taken from its predictions, so it does not see a constant offset. Predictions and
/// targets are `(N,)` or `(N, K)` (rows, outputs) of any float type, where `(N,)` and `(N, 1)` are the same.
/// `weights` has one weight for each row and makes the mean a weighted one.
///
/// An output whose targets are constant scores 1 if all its errors are the same, and 0 otherwise, as in
/// scikit-learn.
///
/// Use it beside [`r2`](super::r2()): where it is the higher one, the predictions have an offset. Do not use
/// it alone, because it hides the offset.
///
/// The cost is one pass over the predictions.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or squares overflow f64.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{explained_variance, r2};
///
/// let targets = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu)?;
/// let higher = Tensor::new(&[2f32, 3.0, 4.0], &Device::Cpu)?;
/// assert_eq!(explained_variance(&higher, &targets, None)?, 1.0);
/// assert_eq!(r2(&higher, &targets, None)?, -0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Reference: scikit-learn's `explained_variance_score`; the running sums are those of West 1979,
/// doi:10.1145/359146.359153.
pub fn explained_variance(predictions: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
    of_values(ExplainedVariance::default(), predictions, targets, weights)
}

/// Accumulates [`explained_variance`].
#[derive(Default)]
pub(crate) struct ExplainedVariance {
    weight: f64,
    /// The targets and the errors of each output.
    outputs: Vec<[Spread; 2]>,
}

/// The running mean and the squared deviations from it.
#[derive(Clone, Copy, Default)]
struct Spread {
    mean: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, value: f64, weight: f64, share: f64) {
        let from_old_mean = value - self.mean;
        self.mean += share * from_old_mean;
        self.squares += weight * from_old_mean * (value - self.mean);
    }
}

impl Accumulate<Pair<'_>> for ExplainedVariance {
    fn add(&mut self, pair: &Pair<'_>) {
        self.outputs.resize(pair.targets.len(), Default::default());
        if pair.weight == 0.0 {
            return; // The share below would be 0/0 before the first row with a weight.
        }
        self.weight += pair.weight;
        let share = pair.weight / self.weight;
        let values = pair.predictions.iter().zip(pair.targets);
        for ([targets, errors], (p, t)) in self.outputs.iter_mut().zip(values) {
            targets.add(*t, pair.weight, share);
            errors.add(t - p, pair.weight, share);
        }
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        let score = |[targets, errors]: &[Spread; 2]| match targets.squares != 0.0 {
            true => 1.0 - errors.squares / targets.squares,
            false => f64::from(errors.squares == 0.0),
        };
        let total: f64 = self.outputs.iter().map(score).sum();
        finite("explained variance", total / self.outputs.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_regression, close, regression};
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        check_regression(
            explained_variance,
            [0.9382435119429106, 0.9380772423980028],
            [0.9382044870583928, 0.9380596534066997],
        );
    }

    #[test]
    fn constant_targets_score_one_or_zero_as_in_scikit_learn() {
        let vector = |values: [f64; 2]| Tensor::new(&values, &Device::Cpu).unwrap();
        let score = |p| explained_variance(&vector(p), &vector([1.0, 1.0]), None).unwrap();
        assert_eq!((score([1.0, 2.0]), score([2.0, 2.0])), (0.0, 1.0));
    }

    #[test]
    fn a_large_offset_loses_no_digits() {
        let (p, t, w) = regression();
        let (far_p, far_t) = ((&p + 65536.0).unwrap(), (&t + 32768.0).unwrap());
        let near = explained_variance(&p, &t, Some(&w)).unwrap();
        let far = explained_variance(&far_p, &far_t, Some(&w));
        assert!((far.unwrap() - near).abs() < 1e-10);
        close(
            explained_variance(&p, &t, None).unwrap(),
            explained_variance(&p, &t, Some(&[2.0; 60])).unwrap(),
        );
    }
}
