//! The mean squared logarithmic error.
use crate::{
    metrics::{
        inputs::{finite, Mean, Pair},
        stream::{of_values, Accumulate},
    },
    Error, Result,
};
use candle_core::Tensor;

/// Computes the mean squared logarithmic error.
///
/// ```text
/// 1/(N K) Σᵢ Σ_k (ln(1 + p_ik) − ln(1 + t_ik))²
/// ```
///
/// It is 0 or more, without a unit; less is better. Predictions and
/// targets are `(N,)` or `(N, K)` (rows, outputs) of any float type, where `(N,)` and `(N, 1)` are the same.
/// `weights` has one weight for each row and makes the mean a weighted one.
///
/// Use it for targets that are 0 or more and grow by factors, such as counts and prices. It punishes a
/// prediction that is too low more than one that is as much too high.
///
/// The cost is one pass over the predictions and two logarithms for each.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or a prediction or a target is −1 or less.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::msle;
///
/// let predictions = Tensor::new(&[3f64, 7.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[1f64, 7.0], &Device::Cpu)?;
/// assert!((msle(&predictions, &targets, None)? - 2f64.ln().powi(2) / 2.0).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Reference: scikit-learn's `mean_squared_log_error`.
pub fn msle(predictions: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
    of_values(Msle::default(), predictions, targets, weights)
}

/// Accumulates [`msle`].
#[derive(Default)]
pub(crate) struct Msle {
    mean: Mean,
    /// The least prediction or target.
    least: f64,
}

impl Accumulate<Pair<'_>> for Msle {
    fn add(&mut self, pair: &Pair<'_>) {
        let mut sum = 0.0;
        for (p, t) in pair.predictions.iter().zip(pair.targets) {
            self.least = self.least.min(*p).min(*t);
            sum += (p.ln_1p() - t.ln_1p()).powi(2);
        }
        self.mean.add(sum / pair.targets.len() as f64, pair.weight);
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        if self.least <= -1.0 {
            let what = "predictions and targets of the mean squared logarithmic error";
            return Err(Error::invalid(what, "above -1", self.least));
        }
        finite("msle", self.mean.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::check_shifted_regression;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        check_shifted_regression(
            msle,
            8.0,
            [0.010168762933348221, 0.009669455760411222],
            [0.010792873234353018, 0.009479802239340649],
        );
    }

    #[test]
    fn values_of_minus_one_are_errors() {
        let zero = Tensor::new(&[0f64, 0.0], &Device::Cpu).unwrap();
        let low = Tensor::new(&[0f64, -1.0], &Device::Cpu).unwrap();
        for (p, t) in [(&low, &zero), (&zero, &low)] {
            let e = msle(p, t, Some(&[1.0, 0.0])).unwrap_err().to_string();
            assert!(e.ends_with("must be above -1, but is -1"), "{e}");
        }
    }
}
