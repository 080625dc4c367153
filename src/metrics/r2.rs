//! The coefficient of determination.
use crate::{
    metrics::{
        inputs::{finite, Pair},
        stream::{of_values, Accumulate},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the coefficient of determination, averaged over the outputs.
///
/// ```text
/// 1/K Σ_k (1 − Σᵢ (p_ik − t_ik)² / Σᵢ (t_ik − t̄_k)²)
/// ```
///
/// It is at most 1 and has no lower bound; more is better. Predicting the mean of the targets scores 0.
/// Predictions and targets are `(N,)` or `(N, K)` (rows, outputs) of any float type, where `(N,)` and
/// `(N, 1)` are the same. `weights` has one weight for each row, for both sums and the mean.
///
/// An output whose targets are constant scores 1 if every prediction is exactly right, and 0 otherwise, as in
/// scikit-learn's `r2_score`. So does a single row, for which scikit-learn returns NaN. Constant targets are
/// always recognised, also where the rounding of a mean would hide them (as in weighted scikit-learn).
///
/// Use it to compare errors between data sets of different scale. To compare models on the same rows,
/// [`rmse`](super::rmse()) has the same order and a unit.
///
/// The cost is one pass over the predictions.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or squares overflow f64.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::r2;
///
/// let targets = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu)?;
/// let mean = Tensor::new(&[2f32, 2.0, 2.0], &Device::Cpu)?;
/// assert_eq!(r2(&targets, &targets, None)?, 1.0);
/// assert_eq!(r2(&mean, &targets, None)?, 0.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Reference: scikit-learn's `r2_score`; the running sums are those of West 1979, doi:10.1145/359146.359153.
pub fn r2(predictions: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
    of_values(R2::default(), predictions, targets, weights)
}

/// Accumulates the score row by row.
#[derive(Default)]
pub(crate) struct R2 {
    weight: f64,
    outputs: Vec<Output>,
}

/// Running sums of one output. The mean and the squared deviations of the targets are updated together (West
/// 1979, doi:10.1145/359146.359153), which takes one pass and loses no digits to a large mean.
#[derive(Clone, Default)]
struct Output {
    mean: f64,
    spread: f64,
    residual: f64,
}

impl Accumulate<Pair<'_>> for R2 {
    fn add(&mut self, pair: &Pair<'_>) {
        let Pair { predictions, targets, weight } = *pair;
        self.outputs.resize(targets.len(), Output::default());
        if weight == 0.0 {
            return; // The share below would be 0/0 before the first row with a weight.
        }
        self.weight += weight;
        let share = weight / self.weight;
        for (output, (p, t)) in self.outputs.iter_mut().zip(predictions.iter().zip(targets)) {
            let from_old_mean = t - output.mean;
            output.mean += share * from_old_mean;
            output.spread += weight * from_old_mean * (t - output.mean);
            output.residual += weight * (p - t) * (p - t);
        }
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        let total: f64 = self.outputs.iter().map(Output::score).sum();
        finite("r2", total / self.outputs.len() as f64)
    }
}

impl Output {
    fn score(&self) -> f64 {
        // Not `spread > 0`, because a NaN from an overflow is not a constant.
        if self.spread != 0.0 {
            1.0 - self.residual / self.spread
        } else {
            f64::from(self.residual == 0.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_regression, close};
    use candle_core::Device;

    fn vector(values: &[f64]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn agrees_with_scikit_learn() {
        check_regression(
            r2,
            [0.9381257618497273, 0.9379531627270724],
            [0.9380102379017983, 0.9379004511280689],
        );
    }

    #[test]
    fn constant_targets_score_one_or_zero_as_in_scikit_learn() {
        let t = vector(&[2.0, 2.0, 2.0]);
        assert_eq!(r2(&t, &t, None).unwrap(), 1.0);
        assert_eq!(r2(&vector(&[2.0, 2.5, 2.0]), &t, None).unwrap(), 0.0);
        // 0.1 + 0.1 + 0.1 is not 3 · 0.1, so the rounding of a summed mean would look like deviations.
        let t = vector(&[0.1, 0.1, 0.1]);
        assert_eq!(r2(&vector(&[0.1, 0.1, 0.2]), &t, Some(&[0.3, 0.7, 0.9])).unwrap(), 0.0);
        assert_eq!(r2(&vector(&[3.0]), &vector(&[3.0]), None).unwrap(), 1.0);
        assert_eq!(r2(&vector(&[3.0]), &vector(&[4.0]), None).unwrap(), 0.0);
    }

    #[test]
    fn a_constant_output_is_averaged_with_the_others() {
        let t = Tensor::new(&[[1.0, 7.0], [3.0, 7.0]], &Device::Cpu).unwrap();
        let p = Tensor::new(&[[1.0, 7.0], [2.0, 8.0]], &Device::Cpu).unwrap();
        assert_eq!(r2(&p, &t, None).unwrap(), (0.5 + 0.0) / 2.0);
    }

    #[test]
    fn a_large_mean_loses_no_digits_after_a_row_of_weight_zero() {
        let t = vector(&[55.0, 1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
        let p = vector(&[-9.0, 1e9 + 5.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
        close(r2(&p, &t, Some(&[0.0, 1.0, 1.0, 1.0, 1.0])).unwrap(), 1.0 - 1.0 / 90.0);
    }

    #[test]
    fn overflow_is_an_error() {
        assert!(r2(&vector(&[0.0, 1.0]), &vector(&[1e200, -1e200]), None).is_err());
    }
}
