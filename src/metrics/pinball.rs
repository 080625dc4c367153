//! The pinball loss.
use crate::{
    metrics::stream::{of_values, MeanError, ValueRows},
    Error, Result,
};
use candle_core::Tensor;

/// Computes the pinball loss (quantile loss) of predictions of a quantile.
///
/// ```text
/// 1/(N K) Σᵢ Σ_k max(q (t_ik − p_ik), (1 − q) (p_ik − t_ik))
/// ```
///
/// It is 0 or more, in the unit of the targets; less is better. The predictions that minimise it are the
/// quantiles `q` of the targets; with `q` of ½ it is half of the [`mae`](super::mae()). Predictions and
/// targets are `(N,)` or `(N, K)` (rows, outputs) of any float type, where `(N,)` and `(N, 1)` are the same.
/// `weights` has one weight for each row and makes the mean a weighted one.
///
/// Use it to score predicted quantiles, or where a prediction that is too low costs more than one that is too
/// high (`q` above ½), or the reverse.
///
/// The cost is one pass over the predictions.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), the sum overflows f64, or `q` is not between 0
/// and 1.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::pinball;
///
/// let predictions = Tensor::new(&[1f32, 5.0], &Device::Cpu)?;
/// let targets = Tensor::new(&[2f32, 4.0], &Device::Cpu)?;
/// assert_eq!(pinball(&predictions, &targets, 0.75, None)?, (0.75 + 0.25) / 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Koenker and Bassett 1978, doi:10.2307/1913643. Reference: scikit-learn's `mean_pinball_loss`.
pub fn pinball(
    predictions: &Tensor,
    targets: &Tensor,
    quantile: f64,
    weights: Option<&[f64]>,
) -> Result<f64> {
    check_quantile(quantile)?;
    of_values(pinball_losses(quantile), predictions, targets, weights)
}

pub(crate) fn check_quantile(quantile: f64) -> Result<()> {
    match (0.0..=1.0).contains(&quantile) {
        true => Ok(()),
        false => Err(Error::invalid("the quantile of the pinball loss", "between 0 and 1", quantile)),
    }
}

pub(crate) fn pinball_losses(quantile: f64) -> impl ValueRows {
    MeanError::new("pinball", move |p, t| (quantile * (t - p)).max((1.0 - quantile) * (p - t)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{
        mae,
        reference::{check_regression, close, regression},
    };

    #[test]
    fn agrees_with_scikit_learn() {
        let of = |q| move |p: &Tensor, t: &Tensor, w: Option<&[f64]>| pinball(p, t, q, w);
        check_regression(
            of(0.9),
            [0.32479166666666665, 0.32131944444444444],
            [0.3395833333333333, 0.3375892857142857],
        );
        check_regression(of(0.25), [0.3234375, 0.3251240079365079], [0.3125, 0.31302083333333336]);
    }

    #[test]
    fn the_loss_of_the_median_is_half_of_the_absolute_error() {
        let (p, t, w) = regression();
        close(2.0 * pinball(&p, &t, 0.5, Some(&w)).unwrap(), mae(&p, &t, Some(&w)).unwrap());
    }

    #[test]
    fn quantiles_are_between_zero_and_one() {
        for q in [-0.1, 1.1, f64::NAN] {
            assert!(check_quantile(q).unwrap_err().to_string().contains("must be between 0 and 1"));
        }
    }
}
