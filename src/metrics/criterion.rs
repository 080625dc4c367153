//! Criteria: losses of predictions that combiners minimise on held-out rows.
use crate::{data::Task, metrics::NLL_EPSILON, Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The targets of a set of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// The class of each row.
    Classes(Vec<u32>),
    /// The values `(N, K)` (rows, outputs), row by row.
    Values(Vec<f64>),
}

/// Predictions with their targets and weights.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// The predictions `(N, C)` (rows, classes or outputs), row by row: probabilities or values.
    pub values: &'a [f64],
    /// `C`, the number of classes or outputs.
    pub width: usize,
    /// The targets.
    pub truth: &'a Truth,
    /// The weight of each row; the weights sum to one.
    pub weights: &'a [f64],
}

/// A loss of predictions that a combiner minimises on held-out rows.
///
/// [`RowLoss`] has the usual losses. They are means over rows, so combiners can evaluate changes of them
/// quickly. [`Custom`] is any function of all predictions.
pub trait Criterion: fmt::Debug + Send + Sync {
    /// Returns its name for tables and messages.
    fn name(&self) -> String;

    /// Computes the loss of predictions; less is better.
    ///
    /// # Errors
    /// When the loss is not defined for them.
    fn loss(&self, predicted: &Scored<'_>) -> Result<f64>;

    /// Returns the loss of one row, where the criterion is the weighted mean of a [`RowLoss`] over the rows.
    fn by_row(&self) -> Option<RowLoss> {
        None
    }
}

/// The losses that are means over rows.
///
/// ```text
/// Σᵢ wᵢ loss(pᵢ, yᵢ)
/// ```
///
/// Predictions are `(N, C)` (rows, classes or outputs). Use the log-loss or Brier score to learn from
/// probabilities, and the error rate only to choose between a few candidates, because it changes in steps. The
/// absolute error is more robust against outliers than the squared error.
///
/// The cost is one pass over the predictions; combiners evaluate changes of these losses incrementally.
///
/// # Errors
/// [`Criterion::loss`] fails when the loss does not support the targets.
///
/// # Examples
/// ```
/// use candle_ensemble::metrics::{Criterion, RowLoss, Scored, Truth};
///
/// let truth = Truth::Classes(vec![0, 1]);
/// let predicted = Scored { values: &[0.75, 0.25, 0.5, 0.5], width: 2, truth: &truth, weights: &[0.5, 0.5] };
/// assert_eq!(RowLoss::Error.loss(&predicted)?, 0.5); // the tie goes to class 0
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RowLoss {
    /// The error rate, for classes: 1 where the most probable class (the lowest of equals) is not the true
    /// one, else 0.
    Error,
    /// The log-loss, for classes: `−ln p_y` in nats, with probabilities of at least [`NLL_EPSILON`].
    LogLoss,
    /// The Brier score, for classes: `Σ_c (p_c − [c = y])²`.
    Brier,
    /// The squared error, for values: `(p − y)²`, the mean over outputs.
    Squared,
    /// The absolute error, for values: `|p − y|`, the mean over outputs.
    Absolute,
}

impl RowLoss {
    /// The error rate for classes, the squared error for values.
    pub(crate) fn error_for(task: Task) -> Self {
        match task {
            Task::Classification { .. } => Self::Error,
            Task::Regression { .. } => Self::Squared,
        }
    }

    /// The log-loss for classes, the squared error for values.
    pub(crate) fn loss_for(task: Task) -> Self {
        match task {
            Task::Classification { .. } => Self::LogLoss,
            Task::Regression { .. } => Self::Squared,
        }
    }

    /// Computes the loss of one row, whose target is row `row` of `truth`. A loss for classes is NaN for
    /// values, and a loss for values is NaN for classes; [`RowLoss::check`] reports that as an error.
    #[inline]
    #[must_use]
    pub fn of(self, predicted: &[f64], truth: &Truth, row: usize) -> f64 {
        match truth {
            Truth::Classes(ids) => {
                self.of_class(predicted, ids.get(row).map_or(usize::MAX, |id| *id as usize))
            }
            Truth::Values(all) => {
                let width = predicted.len();
                self.of_values(predicted, all.get(row * width..(row + 1) * width).unwrap_or_default())
            }
        }
    }

    #[inline]
    fn of_class(self, predicted: &[f64], label: usize) -> f64 {
        let Some(p) = predicted.get(label) else { return f64::NAN };
        match self {
            Self::Error => {
                let (before, after) = predicted.split_at(label);
                let wrong = before.iter().any(|q| q >= p) || after.iter().any(|q| q > p);
                f64::from(u8::from(wrong))
            }
            Self::LogLoss => 0. - p.clamp(NLL_EPSILON, 1.).ln(),
            Self::Brier => predicted.iter().map(|q| q * q).sum::<f64>() - 2. * p + 1.,
            Self::Squared | Self::Absolute => f64::NAN,
        }
    }

    #[inline]
    fn of_values(self, predicted: &[f64], truth: &[f64]) -> f64 {
        let each: fn(f64) -> f64 = match self {
            Self::Squared => |d| d * d,
            Self::Absolute => f64::abs,
            _ => return f64::NAN,
        };
        predicted.iter().zip(truth).map(|(p, y)| each(p - y)).sum::<f64>() / truth.len() as f64
    }

    /// Checks that the loss supports such targets.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not.
    pub fn check(self, truth: &Truth) -> Result<()> {
        let for_values = matches!(self, Self::Squared | Self::Absolute);
        match (for_values, truth) {
            (false, Truth::Classes(_)) | (true, Truth::Values(_)) => Ok(()),
            (false, _) => Err(Error::invalid("the criterion", "a loss for values", self.name())),
            (true, _) => Err(Error::invalid("the criterion", "a loss for classes", self.name())),
        }
    }
}

impl Criterion for RowLoss {
    fn name(&self) -> String {
        match self {
            Self::Error => "error",
            Self::LogLoss => "log-loss",
            Self::Brier => "brier",
            Self::Squared => "squared error",
            Self::Absolute => "absolute error",
        }
        .into()
    }

    fn loss(&self, predicted: &Scored<'_>) -> Result<f64> {
        self.check(predicted.truth)?;
        let rows = predicted.values.chunks_exact(predicted.width.max(1)).zip(predicted.weights).enumerate();
        Ok(rows.map(|(row, (values, weight))| weight * self.of(values, predicted.truth, row)).sum())
    }

    fn by_row(&self) -> Option<RowLoss> {
        Some(*self)
    }
}

/// A criterion that several owners share.
impl<C: Criterion + ?Sized> Criterion for Arc<C> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn loss(&self, predicted: &Scored<'_>) -> Result<f64> {
        (**self).loss(predicted)
    }

    fn by_row(&self) -> Option<RowLoss> {
        (**self).by_row()
    }
}

/// A criterion with a given name and function.
///
/// Use it for a loss that [`RowLoss`] does not have. A combiner calls it with the predictions of all rows for
/// every trial, which takes longer than changes of a `RowLoss`.
///
/// # Examples
/// ```
/// use candle_ensemble::metrics::{Criterion, Custom, Scored, Truth};
///
/// let bias = Custom::new("bias", |predicted: &Scored<'_>| match predicted.truth {
///     Truth::Values(y) => Ok((predicted.values.iter().sum::<f64>() - y.iter().sum::<f64>()).abs()),
///     Truth::Classes(_) => unreachable!("only used for values"),
/// });
/// let truth = Truth::Values(vec![1., 2.]);
/// let predicted = Scored { values: &[1.5, 2.5], width: 1, truth: &truth, weights: &[0.5, 0.5] };
/// assert_eq!(bias.loss(&predicted)?, 1.);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone)]
pub struct Custom<F> {
    name: String,
    loss: F,
}

impl<F: Fn(&Scored<'_>) -> Result<f64> + Send + Sync> Custom<F> {
    /// Creates a criterion called `name` from a function, for which less is better.
    pub fn new(name: impl Into<String>, loss: F) -> Self {
        Self { name: name.into(), loss }
    }
}

impl<F> fmt::Debug for Custom<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: Fn(&Scored<'_>) -> Result<f64> + Send + Sync> Criterion for Custom<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn loss(&self, predicted: &Scored<'_>) -> Result<f64> {
        (self.loss)(predicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use candle_core::{Device, Tensor};

    #[test]
    fn row_losses_agree_with_the_metrics() {
        let probs = [0.5, 0.3, 0.2, 0.1, 0.1, 0.8, 0.4, 0.4, 0.2, 0.0, 1.0, 0.0];
        let (ids, weights) = (vec![0u32, 1, 1, 0], [0.1, 0.2, 0.3, 0.4]);
        let tensor = Tensor::from_slice(&probs, (4, 3), &Device::Cpu).unwrap();
        let Metrics::Classification { accuracy, nll, brier, .. } =
            Metrics::classification(&tensor, &ids, Some(&weights)).unwrap()
        else {
            panic!()
        };
        let truth = Truth::Classes(ids);
        let predicted = Scored { values: &probs, width: 3, truth: &truth, weights: &weights };
        let close = |loss: RowLoss, want: f64| {
            let got = loss.loss(&predicted).unwrap();
            assert!((got - want).abs() < 1e-12, "{loss:?}: {got} against {want}");
        };
        close(RowLoss::Error, 1. - accuracy);
        close(RowLoss::LogLoss, nll);
        close(RowLoss::Brier, brier);
        assert!(RowLoss::Squared.loss(&predicted).unwrap_err().to_string().contains("a loss for classes"));
    }

    #[test]
    fn losses_of_values_are_means_over_outputs() {
        let truth = Truth::Values(vec![0., 0., 1., 3.]);
        let predicted = Scored { values: &[1., -1., 1., 1.], width: 2, truth: &truth, weights: &[0.5, 0.5] };
        assert_eq!(RowLoss::Squared.loss(&predicted).unwrap(), 0.5 * 1. + 0.5 * 2.);
        assert_eq!(RowLoss::Absolute.loss(&predicted).unwrap(), 0.5 * 1. + 0.5 * 1.);
        assert!(RowLoss::Brier.loss(&predicted).is_err());
    }
}
