//! The metrics by name.
use crate::{
    metrics::{
        accuracy, brier, ece, ece_equal_mass, inputs::Pairs, mae, nll, r2, rmse, Criterion, RowLoss, Scored,
        Truth, ECE_BINS,
    },
    registry::{Entry, Registry, Tasks},
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use std::{fmt, sync::LazyLock};

/// The metrics by name.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics;
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32, 1, 1], &Device::Cpu)?;
/// let accuracy = metrics::registry().parse("accuracy")?;
/// assert!(accuracy.higher_is_better());
/// assert_eq!(accuracy.compute(&probs, &labels, None)?, 2. / 3.);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[must_use]
pub fn registry() -> &'static Registry<Metric> {
    static REGISTRY: LazyLock<Registry<Metric>> = LazyLock::new(|| {
        let classes = Tasks::Classification;
        let values = Tasks::Regression;
        let entries = vec![
            Entry::new(
                "accuracy",
                "accuracy()",
                "Share of rows whose most probable class is the true one",
                |_| Ok(Metric::of_classes("accuracy", true, Some(RowLoss::Error), accuracy)),
            )
            .with_tasks(classes),
            Entry::new("error", "RowLoss::Error", "One minus the accuracy", |_| {
                let error = |p: &Tensor, y: &[u32], w: Option<&[f64]>| Ok(1. - accuracy(p, y, w)?);
                Ok(Metric::of_classes("error", false, Some(RowLoss::Error), error))
            })
            .with_tasks(classes),
            Entry::new("nll", "nll()", "Negative log-likelihood in nats", |_| {
                Ok(Metric::of_classes("nll", false, Some(RowLoss::LogLoss), nll))
            })
            .with_aliases(&["log-loss"])
            .with_tasks(classes)
            .with_source("Good 1952, J. R. Stat. Soc. B 14:107"),
            Entry::new("brier", "brier()", "Brier score, summed over the classes", |_| {
                Ok(Metric::of_classes("brier", false, Some(RowLoss::Brier), brier))
            })
            .with_tasks(classes)
            .with_source("Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2"),
            Entry::new("ece", "ece()", "Expected calibration error in 15 bins of equal width", |_| {
                let of = |p: &Tensor, y: &[u32], w: Option<&[f64]>| ece(p, y, ECE_BINS, w);
                Ok(Metric::of_classes("ece", false, None, of))
            })
            .with_tasks(classes)
            .with_source("Guo et al. 2017, arXiv:1706.04599"),
            Entry::new(
                "ece-equal-mass",
                "ece_equal_mass()",
                "Expected calibration error in 15 bins of equal mass",
                |_| {
                    let of = |p: &Tensor, y: &[u32], w: Option<&[f64]>| ece_equal_mass(p, y, ECE_BINS, w);
                    Ok(Metric::of_classes("ece-equal-mass", false, None, of))
                },
            )
            .with_tasks(classes)
            .with_source("Nixon et al. 2019, arXiv:1904.01685"),
            Entry::new("rmse", "rmse()", "Root mean squared error", |_| {
                Ok(Metric::of_values("rmse", false, None, rmse))
            })
            .with_tasks(values),
            Entry::new("mse", "RowLoss::Squared", "Mean squared error", |_| {
                let mse = |p: &Tensor, y: &Tensor, w: Option<&[f64]>| Pairs::new(p, y, w)?.mean(|d| d * d);
                Ok(Metric::of_values("mse", false, Some(RowLoss::Squared), mse))
            })
            .with_aliases(&["squared"])
            .with_tasks(values),
            Entry::new("mae", "mae()", "Mean absolute error", |_| {
                Ok(Metric::of_values("mae", false, Some(RowLoss::Absolute), mae))
            })
            .with_aliases(&["absolute"])
            .with_tasks(values),
            Entry::new("r2", "r2()", "Coefficient of determination", |_| {
                Ok(Metric::of_values("r2", true, None, r2))
            })
            .with_tasks(values),
        ];
        Registry::new("metric", entries)
    });
    &REGISTRY
}

type OfClasses = fn(&Tensor, &[u32], Option<&[f64]>) -> Result<f64>;

type OfValues = fn(&Tensor, &Tensor, Option<&[f64]>) -> Result<f64>;

#[derive(Clone, Copy)]
enum Compute {
    Classes(OfClasses),
    Values(OfValues),
}

/// A metric, chosen at run time: what [`registry()`] makes from a name. As a [`Criterion`], it is a loss that
/// combiners minimise: the metric, or its negative where higher is better.
#[derive(Clone, Copy)]
pub struct Metric {
    name: &'static str,
    higher_is_better: bool,
    row_loss: Option<RowLoss>,
    compute: Compute,
}

impl Metric {
    fn of_classes(
        name: &'static str,
        higher_is_better: bool,
        row_loss: Option<RowLoss>,
        compute: OfClasses,
    ) -> Self {
        Self { name, higher_is_better, row_loss, compute: Compute::Classes(compute) }
    }

    fn of_values(
        name: &'static str,
        higher_is_better: bool,
        row_loss: Option<RowLoss>,
        compute: OfValues,
    ) -> Self {
        Self { name, higher_is_better, row_loss, compute: Compute::Values(compute) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a higher value is the better one.
    #[must_use]
    pub fn higher_is_better(&self) -> bool {
        self.higher_is_better
    }

    /// The loss of one row whose mean is the metric, or one minus the metric; `None` where there is none.
    #[must_use]
    pub fn row_loss(&self) -> Option<RowLoss> {
        self.row_loss
    }

    /// Its value for class probabilities `(N, C)` with class ids `(N,)`, u32, or for predictions `(N,)` or
    /// `(N, K)` with targets of the same shape; weighted by row if `weights` are given.
    ///
    /// # Errors
    /// When the targets are not of its task; see the [module](super) for the rest.
    pub fn compute(&self, predicted: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
        let is_float = targets.dtype().is_float();
        match self.compute {
            Compute::Classes(compute) if !is_float => {
                compute(predicted, &targets.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?, weights)
            }
            Compute::Values(compute) if is_float => compute(predicted, targets, weights),
            Compute::Classes(_) => Err(self.other_task("class ids", "values")),
            Compute::Values(_) => Err(self.other_task("values", "class ids")),
        }
    }

    fn other_task(&self, must: &str, got: &str) -> Error {
        Error::invalid(format!("the targets of the metric {}", self.name), must, got)
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metric")
            .field("name", &self.name)
            .field("higher_is_better", &self.higher_is_better)
            .finish_non_exhaustive()
    }
}

impl Criterion for Metric {
    fn name(&self) -> String {
        self.row_loss.map_or_else(|| self.name.into(), |loss| loss.name())
    }

    fn loss(&self, predicted: &Scored<'_>) -> Result<f64> {
        if let Some(loss) = self.row_loss {
            return loss.loss(predicted);
        }
        let Scored { values, width, truth, weights } = *predicted;
        let table = Tensor::from_slice(values, (weights.len(), width), &Device::Cpu)?;
        let targets = match truth {
            Truth::Classes(ids) => Tensor::from_slice(ids, ids.len(), &Device::Cpu)?,
            Truth::Values(all) => Tensor::from_slice(all, (weights.len(), width), &Device::Cpu)?,
        };
        let value = self.compute(&table, &targets, Some(weights))?;
        Ok(if self.higher_is_better { -value } else { value })
    }

    fn by_row(&self) -> Option<RowLoss> {
        self.row_loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{reference, Metrics};

    #[test]
    fn every_metric_equals_the_one_of_the_same_name() {
        let (probs, labels, weights) = reference::classification();
        let ids = Tensor::new(labels.as_slice(), &Device::Cpu).unwrap();
        let (p, y, w) = reference::regression();
        let classes = Metrics::classification(&probs, &labels, Some(&weights)).unwrap();
        let values = Metrics::regression(&p, &y, Some(&w)).unwrap();
        for (name, expected) in classes.values() {
            let metric = registry().parse(name).unwrap();
            reference::close(metric.compute(&probs, &ids, Some(&weights)).unwrap(), expected);
            assert!(metric.compute(&p, &y, None).unwrap_err().to_string().contains("class ids"), "{name}");
        }
        for (name, expected) in values.values() {
            let metric = registry().parse(name).unwrap();
            reference::close(metric.compute(&p, &y, Some(&w)).unwrap(), expected);
            assert!(metric.compute(&probs, &ids, None).unwrap_err().to_string().contains("values"), "{name}");
        }
        assert_eq!(registry().parse("accuracy").unwrap().higher_is_better(), classes.larger_is_better());
        assert_eq!(registry().parse("rmse").unwrap().higher_is_better(), values.larger_is_better());
    }

    #[test]
    fn as_a_criterion_less_is_better() {
        let probs = [0.5, 0.3, 0.2, 0.1, 0.1, 0.8, 0.4, 0.4, 0.2, 0.0, 1.0, 0.0];
        let truth = Truth::Classes(vec![0, 1, 1, 0]);
        let predicted = Scored { values: &probs, width: 3, truth: &truth, weights: &[0.25; 4] };
        for entry in registry().entries() {
            let metric = registry().parse(entry.name()).unwrap();
            assert_eq!(metric.name(), entry.name());
            assert_eq!(metric.loss(&predicted).is_ok(), entry.tasks().classification(), "{}", entry.name());
        }
        let loss = |name: &str| registry().parse(name).unwrap().loss(&predicted).unwrap();
        assert_eq!(loss("accuracy"), loss("error"));
        assert_eq!(loss("accuracy"), 0.75);
        let truth = Truth::Values(vec![0.; 4]);
        let values = Scored { values: &[1., 1., 1., 1.], width: 1, truth: &truth, weights: &[0.25; 4] };
        for (name, expected) in [("rmse", 1.), ("mse", 1.), ("absolute", 1.)] {
            assert_eq!(registry().parse(name).unwrap().loss(&values).unwrap(), expected, "{name}");
        }
    }
}
