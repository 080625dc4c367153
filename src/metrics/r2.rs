//! Coefficient of determination.
use crate::{
    metrics::inputs::{finite, Pairs},
    Result,
};
use candle_core::Tensor;

/// Coefficient of determination: for each output `1 - Σᵢ (p_i - t_i)² / Σᵢ (t_i - t̄)²`, averaged over the
/// outputs; at most 1, 0 for predicting the targets' mean, without lower bound.
///
/// An output whose targets are constant has nothing to explain: it counts 1 if every prediction is exactly right
/// and 0 otherwise, as in scikit-learn's `r2_score`. So does a single row, for which scikit-learn gives NaN.
/// Targets that are equal are always found constant here, also where a mean taken by summing would be off by
/// rounding (weighted scikit-learn). Predictions and targets are `(N,)` or `(N, K)`, where `(N,)` and `(N, 1)`
/// are the same; `weights`, one a row, weigh both sums and the mean. Errors: see the [module](super); and if
/// squares overflow f64.
///
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
pub fn r2(predictions: &Tensor, targets: &Tensor, weights: Option<&[f32]>) -> Result<f64> {
    let mut score = R2::default();
    Pairs::new(predictions, targets, weights)?.each(|p, t, weight| score.add(p, t, weight))?;
    score.get()
}

/// The score under way.
#[derive(Default)]
pub(crate) struct R2 {
    weight: f64,
    outputs: Vec<Output>,
}

/// Running sums of one output. The mean and the spread of the targets are updated together (West 1979,
/// doi:10.1145/359146.359153), which takes one pass and loses nothing to a large mean.
#[derive(Clone, Default)]
struct Output {
    mean: f64,
    spread: f64,
    residual: f64,
}

impl R2 {
    pub(crate) fn add(&mut self, predictions: &[f64], targets: &[f64], weight: f64) {
        self.outputs.resize(targets.len(), Output::default());
        if weight == 0.0 {
            return; // The share below would be 0/0 before the first row that counts.
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

    pub(crate) fn get(&self) -> Result<f64> {
        let total: f64 = self.outputs.iter().map(Output::score).sum();
        finite("r2", total / self.outputs.len() as f64)
    }
}

impl Output {
    fn score(&self) -> f64 {
        // Not `spread > 0`: an overflow to NaN must not pass for a constant.
        if self.spread != 0.0 {
            1.0 - self.residual / self.spread
        } else {
            f64::from(self.residual == 0.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;
    use candle_core::Device;

    fn vector(values: &[f64]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn agrees_with_scikit_learn() {
        let (p, t, w) = tables::regression();
        tables::close(r2(&p, &t, None).unwrap(), 0.9381257618497273);
        tables::close(r2(&p, &t, Some(&w)).unwrap(), 0.9379531627270724);
        let (p, t) = (tables::first(&p), tables::first(&t));
        tables::close(r2(&p, &t, None).unwrap(), 0.9380102379017983);
        tables::close(r2(&p, &t, Some(&w)).unwrap(), 0.9379004511280689);
    }

    #[test]
    fn constant_targets_count_one_or_zero_as_in_scikit_learn() {
        let t = vector(&[2.0, 2.0, 2.0]);
        assert_eq!(r2(&t, &t, None).unwrap(), 1.0);
        assert_eq!(r2(&vector(&[2.0, 2.5, 2.0]), &t, None).unwrap(), 0.0);
        // 0.1 + 0.1 + 0.1 is not 3 · 0.1: a summed mean would make a spread out of rounding.
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
    fn a_large_mean_costs_no_digits_and_zero_weights_come_first() {
        let t = vector(&[55.0, 1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
        let p = vector(&[-9.0, 1e9 + 5.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
        tables::close(r2(&p, &t, Some(&[0.0, 1.0, 1.0, 1.0, 1.0])).unwrap(), 1.0 - 1.0 / 90.0);
    }

    #[test]
    fn overflow_is_an_error() {
        assert!(r2(&vector(&[0.0, 1.0]), &vector(&[1e200, -1e200]), None).is_err());
    }
}
