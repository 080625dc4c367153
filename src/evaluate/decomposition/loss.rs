//! The losses for which bias and variance add up.
use crate::{evaluate::RowTargets, metrics::NLL_EPSILON, Error, Result};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// A loss for which bias and variance add up to the expected loss.
///
/// Each has its own mean of several predictions, the *centroid*: of the members of an ensemble, and of the
/// predictions of several trainings. The sums hold for ensembles that combine their members in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AdditiveLoss {
    /// The squared error. For values it is the mean over the outputs; for class probabilities it is the Brier
    /// score, the sum over the classes. The centroid is the arithmetic mean
    /// ([`Mean`](crate::combine::Mean)).
    Squared,
    /// The cross-entropy (log-loss) in nats, for classes. Divergences are those of Kullback and Leibler. The
    /// centroid is the normalised geometric mean ([`GeometricMean`](crate::combine::GeometricMean)).
    ///
    /// Probabilities below [`NLL_EPSILON`] (2⁻⁵²) count as [`NLL_EPSILON`], and the probabilities of a row are
    /// then divided by their sum.
    CrossEntropy,
}

impl AdditiveLoss {
    /// Checks that the loss is defined for the targets.
    pub(super) fn check(self, targets: &RowTargets) -> Result<()> {
        match self {
            Self::Squared => Ok(()),
            Self::CrossEntropy => targets.labels("the cross-entropy").map(|_| ()),
        }
    }

    /// The factor of the sum over the columns.
    pub(super) fn scale(self, targets: &RowTargets) -> f64 {
        match targets.truth() {
            crate::metrics::Truth::Classes(_) => 1.,
            crate::metrics::Truth::Values(_) => 1. / targets.width() as f64,
        }
    }

    /// Brings a row of predictions to the coordinates in which the centroid is the mean.
    pub(super) fn to_dual(self, row: &mut [f64]) {
        if self == Self::CrossEntropy {
            row.iter_mut().for_each(|p| *p = p.max(NLL_EPSILON));
            let log_sum = row.iter().sum::<f64>().ln();
            row.iter_mut().for_each(|p| *p = p.ln() - log_sum);
        }
    }
}

/// The logarithm of the sum of the exponentials, for numbers that are not all far below 0.
pub(super) fn log_sum_exp(numbers: &[f64]) -> f64 {
    let largest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    numbers.iter().map(|x| (x - largest).exp()).sum::<f64>().ln() + largest
}

/// Checks the shape of predictions and that they are finite, and, for the cross-entropy, that each row is a
/// distribution. `values` are those of the tensor in f64.
pub(super) fn check_rows(loss: AdditiveLoss, tensor: &Tensor, values: &[f64], width: usize) -> Result<()> {
    if let Some(i) = values.iter().position(|x| !x.is_finite()) {
        return Err(Error::invalid(format!("prediction in row {}", i / width), "finite", values[i]));
    }
    let tolerance = match tensor.dtype() {
        DType::F16 => 2f64.powi(-9),
        DType::BF16 => 2f64.powi(-6),
        _ => 1e-3,
    };
    if loss == AdditiveLoss::CrossEntropy {
        for (row, probabilities) in values.chunks_exact(width).enumerate() {
            let sum: f64 = probabilities.iter().sum();
            if (sum - 1.).abs() > tolerance || probabilities.iter().any(|p| *p < -tolerance) {
                let what = format!("probabilities of row {row}");
                return Err(Error::invalid(what, "0 or more with the sum 1", format!("of sum {sum}")));
            }
        }
    }
    Ok(())
}
