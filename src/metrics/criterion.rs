//! What a rule is chosen by: losses over rows, less is better.
use crate::{data::Task, metrics::NLL_EPSILON, Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The answers of a set of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// The class of each row.
    Classes(Vec<u32>),
    /// `(N, K)`, row by row.
    Values(Vec<f64>),
}

/// Predictions beside their answers.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// `(N, C)`, row by row: probabilities or values.
    pub values: &'a [f64],
    /// `C`.
    pub width: usize,
    /// The answers.
    pub truth: &'a Truth,
    /// The weight of each row; they sum to one.
    pub weights: &'a [f64],
}

/// A loss that a rule is to make small on held-out rows.
///
/// [`RowLoss`] has the usual ones, which are means over rows; of those, rules evaluate changes quickly. A measure of
/// your own is any function of all predictions ([`Custom`]).
pub trait Criterion: fmt::Debug + Send + Sync {
    /// What tables call it.
    fn name(&self) -> String;

    /// The loss of predictions: less is better.
    ///
    /// # Errors
    /// When it has no value for them.
    fn loss(&self, predicted: &Scored<'_>) -> Result<f64>;

    /// The loss of one row, where this is a weighted mean over rows.
    fn by_row(&self) -> Option<RowLoss> {
        None
    }
}

/// Losses that are means over rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RowLoss {
    /// `1` where the most probable class, the lowest of equals, is not the true one: one minus the accuracy.
    Error,
    /// `−ln p_y` in nats, with probabilities of at least [`NLL_EPSILON`].
    LogLoss,
    /// `Σ_c (p_c − [c = y])²`.
    Brier,
    /// `(p − y)²`, the mean over outputs.
    Squared,
    /// `|p − y|`, the mean over outputs.
    Absolute,
}

impl RowLoss {
    /// The error for classes, squared error for values.
    pub(crate) fn error_for(task: Task) -> Self {
        match task {
            Task::Classification { .. } => Self::Error,
            Task::Regression { .. } => Self::Squared,
        }
    }

    /// Log-loss for classes, squared error for values.
    pub(crate) fn loss_for(task: Task) -> Self {
        match task {
            Task::Classification { .. } => Self::LogLoss,
            Task::Regression { .. } => Self::Squared,
        }
    }

    /// The loss of one row, whose answer is row `row` of `truth`. A loss for classes is NaN for values, and the
    /// other way round; [`RowLoss::check`] tells before.
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

    /// Whether it goes with such answers.
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

/// A loss of your own.
///
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
    /// A loss called `name`: less is better.
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
    fn means_over_rows_equal_the_metrics() {
        let probs = [0.5, 0.3, 0.2, 0.1, 0.1, 0.8, 0.4, 0.4, 0.2, 0.0, 1.0, 0.0];
        let (ids, weights) = (vec![0u32, 1, 1, 0], [0.1, 0.2, 0.3, 0.4]);
        let tensor = Tensor::from_slice(&probs, (4, 3), &Device::Cpu).unwrap();
        let w32: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
        let Metrics::Classification { accuracy, nll, brier, .. } =
            Metrics::classification(&tensor, &ids, Some(&w32)).unwrap()
        else {
            panic!()
        };
        let truth = Truth::Classes(ids);
        let predicted = Scored { values: &probs, width: 3, truth: &truth, weights: &weights };
        let close = |loss: RowLoss, want: f64| {
            let got = loss.loss(&predicted).unwrap();
            assert!((got - want).abs() < 1e-6, "{loss:?}: {got} against {want}");
        };
        close(RowLoss::Error, 1. - accuracy);
        close(RowLoss::LogLoss, nll);
        close(RowLoss::Brier, brier);
        assert!(RowLoss::Squared.loss(&predicted).unwrap_err().to_string().contains("a loss for classes"));
    }

    #[test]
    fn values_are_averaged_over_outputs() {
        let truth = Truth::Values(vec![0., 0., 1., 3.]);
        let predicted = Scored { values: &[1., -1., 1., 1.], width: 2, truth: &truth, weights: &[0.5, 0.5] };
        assert_eq!(RowLoss::Squared.loss(&predicted).unwrap(), 0.5 * 1. + 0.5 * 2.);
        assert_eq!(RowLoss::Absolute.loss(&predicted).unwrap(), 0.5 * 1. + 0.5 * 1.);
        assert!(RowLoss::Brier.loss(&predicted).is_err());
    }
}
