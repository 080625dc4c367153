//! The median absolute error.
use crate::{
    metrics::{
        inputs::{finite, Pair},
        stream::{of_values, Accumulate},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the median absolute error, averaged over the outputs.
///
/// ```text
/// 1/K Σ_k medianᵢ |p_ik − t_ik|
/// ```
///
/// It is 0 or more, in the unit of the targets; less is better. Predictions and targets are `(N,)` or
/// `(N, K)` (rows, outputs) of any float type, where `(N,)` and `(N, 1)` are the same. `weights` has one
/// weight for each row and makes the median a weighted one: the error that half of the weight is below. Where
/// exactly half of the weight is at or below an error, the median is the mean of this error and the next, as
/// for an even number of rows.
///
/// Use it where some targets are wrong or far out: up to half of the errors may be of any size. It does not
/// see whether the other half became better.
///
/// The cost is a sort of the errors of each output, and a copy of them.
///
/// # Errors
/// When the inputs are not valid; see the [module](super).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::median_absolute_error;
///
/// let predictions = Tensor::new(&[1f32, 2.0, 100.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[2f32, 4.0, 6.0], &Device::Cpu)?;
/// assert_eq!(median_absolute_error(&predictions, &targets, None)?, 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Reference: scikit-learn's `median_absolute_error`.
pub fn median_absolute_error(predictions: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
    of_values(MedianError::default(), predictions, targets, weights)
}

/// Accumulates [`median_absolute_error`].
#[derive(Default)]
pub(crate) struct MedianError {
    /// The errors of each output, with the weights of their rows.
    outputs: Vec<Vec<(f64, f64)>>,
}

impl Accumulate<Pair<'_>> for MedianError {
    fn add(&mut self, pair: &Pair<'_>) {
        self.outputs.resize(pair.targets.len(), vec![]);
        if pair.weight == 0.0 {
            return;
        }
        let errors = pair.predictions.iter().zip(pair.targets).map(|(p, t)| (p - t).abs());
        for (output, error) in self.outputs.iter_mut().zip(errors) {
            output.push((error, pair.weight));
        }
    }

    fn finish(mut self: Box<Self>) -> Result<f64> {
        let total: f64 = self.outputs.iter_mut().map(|errors| weighted_median(errors)).sum();
        finite("the median absolute error", total / self.outputs.len() as f64)
    }
}

/// What rounding may take from a half of the weight, as a share of the weight.
const ROUNDING: f64 = 1e-12;

/// The median of values with positive weights, which it sorts. NaN where there are none.
fn weighted_median(values: &mut [(f64, f64)]) -> f64 {
    values.sort_unstable_by(|(a, v), (b, w)| a.total_cmp(b).then(v.total_cmp(w)));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let (half, slack) = (total / 2.0, ROUNDING * total);
    let mut below = 0.0;
    let mut lower = None;
    for (value, weight) in values.iter() {
        if let Some(lower) = lower {
            return f64::midpoint(lower, *value);
        }
        below += weight;
        if (below - half).abs() <= slack {
            lower = Some(*value);
        } else if below > half {
            return *value;
        }
    }
    lower.unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_regression;

    #[test]
    fn agrees_with_scikit_learn() {
        check_regression(median_absolute_error, [0.65625, 0.65625], [0.65625, 0.625]);
    }

    #[test]
    fn medians_of_one_to_four_agree_with_scikit_learn() {
        for (weights, expected) in [
            ([1.0, 1.0, 1.0, 1.0], 2.5),
            ([1.0, 2.0, 2.0, 1.0], 2.5),
            ([3.0, 0.0, 2.0, 1.0], 2.0),
            ([1.0, 1.0, 1.0, 5.0], 4.0),
            ([0.1, 0.2, 0.2, 0.1], 2.5),
        ] {
            let rows = [1.0, 2.0, 3.0, 4.0].into_iter().zip(weights).filter(|(_, weight)| *weight > 0.0);
            assert_eq!(weighted_median(&mut rows.collect::<Vec<_>>()), expected, "{weights:?}");
        }
    }
}
