//! Metrics that are computed together.
use crate::{
    data::Task,
    distribution::Mixture,
    metrics::{
        inputs::{Cases, Pairs},
        score::{class_ids, Start},
        stream::{ClassRows, ValueRows},
        Metric,
    },
    Error, Result,
};
use candle_core::Tensor;

/// A list of metrics that are computed together on one set of predictions.
///
/// The first one is the headline: the metric to rank by. The metrics of the library share one pass over the
/// rows; a [`Score`](super::Score) of the user reads the tensors itself. Use it where the metrics are chosen
/// at run time. [`Metrics`](super::Metrics) has the usual ones as fields.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::MetricList;
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32, 1, 1, 1], &Device::Cpu)?;
/// let metrics = MetricList::parse("accuracy,roc-auc,f1-macro")?;
/// for (name, value) in metrics.names().iter().zip(metrics.compute(&probs, &labels, None)?) {
///     println!("{name}: {value:.3}");
/// }
/// assert_eq!(metrics.headline().name(), "accuracy");
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MetricList(Vec<Metric>);

impl MetricList {
    /// Creates a list. The first metric is the headline.
    ///
    /// # Errors
    /// When there is no metric, or two have the same name.
    pub fn new(metrics: Vec<Metric>) -> Result<Self> {
        if metrics.is_empty() {
            return Err(Error::invalid("the number of metrics", "at least 1", 0));
        }
        let names: Vec<_> = metrics.iter().map(Metric::name).collect();
        if let Some((_, twice)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(Error::invalid("the metrics of a list", "different", format!("{twice} twice")));
        }
        Ok(Self(metrics))
    }

    /// Makes the metrics that a text names, separated by commas, such as `accuracy,roc-auc,top-k:5`; see
    /// [`registry()`](super::registry()).
    ///
    /// # Errors
    /// When a name or an argument is unknown, or a metric is named twice.
    pub fn parse(list: &str) -> Result<Self> {
        Self::new(super::registry().parse_list(list)?)
    }

    /// Returns the usual metrics of a task, those of [`Metrics`](super::Metrics): accuracy, negative
    /// log-likelihood, Brier score and expected calibration error for classes; root mean squared error, mean
    /// absolute error and coefficient of determination for values.
    #[must_use]
    pub fn for_task(task: Task) -> Self {
        Self(super::registry::usual(task))
    }

    /// Returns the metrics.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.0
    }

    /// Returns the names of the metrics.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(Metric::name).collect()
    }

    /// Returns the first metric: the one to rank by.
    #[must_use]
    pub fn headline(&self) -> &Metric {
        &self.0[0]
    }

    /// Checks that every metric goes with a task.
    ///
    /// # Errors
    /// [`Error::Invalid`], with the first metric that does not.
    pub fn check(&self, task: Task) -> Result<()> {
        self.0.iter().try_for_each(|metric| metric.check_task(task))
    }

    /// Checks that every metric goes with a task and is computed of predicted values or probabilities.
    pub(crate) fn check_of_predictions(&self, task: Task) -> Result<()> {
        self.check(task)?;
        self.0.iter().try_for_each(Metric::check_of_predictions)
    }

    /// The metrics of values or probabilities, and those of [distributions](Metric::needs_distributions), if there are any.
    pub(crate) fn parted(&self) -> [Option<Self>; 2] {
        let (of_distributions, others): (Vec<_>, Vec<_>) =
            self.0.iter().cloned().partition(Metric::needs_distributions);
        [others, of_distributions].map(|some| (!some.is_empty()).then_some(Self(some)))
    }

    /// Computes the metrics, in the order of [`metrics`](Self::metrics), for the distributions that an ensemble predicts,
    /// with targets `(N, K)`, or `(N,)` for one output; weighted by row if `weights` are given. Metrics of values are those
    /// of the means.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{distribution::{Family, Mixture}, metrics::MetricList};
    ///
    /// let (means, scales) = (Tensor::new(&[[[0f64], [4.]]], &Device::Cpu)?, Tensor::new(&[[[1f64], [3.]]], &Device::Cpu)?);
    /// let predicted = Mixture::new(Family::Laplace, &means, &scales)?;
    /// let targets = Tensor::new(&[0f64, 4.], &Device::Cpu)?;
    /// let list = MetricList::parse("rmse,distribution-nll,crps,interval-score:0.9")?;
    /// let values = list.compute_distributions(&predicted, &targets, None)?;
    /// assert!(values[0] == 0. && (values[1] - (2f64.ln() + 6f64.ln()) / 2.).abs() < 1e-12);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Metric::compute_distributions`].
    pub fn compute_distributions(
        &self,
        predicted: &Mixture,
        targets: &Tensor,
        weights: Option<&[f64]>,
    ) -> Result<Vec<f64>> {
        self.0.iter().map(|metric| metric.compute_distributions(predicted, targets, weights)).collect()
    }

    /// Computes the metrics, in the order of [`metrics`](Self::metrics), for class probabilities `(N, C)`
    /// with class ids `(N,)` of an integer type, or for predictions `(N,)` or `(N, K)` with targets of the
    /// same shape; weighted by row if `weights` are given.
    ///
    /// # Errors
    /// When a metric does not go with such targets, is one of distributions, or is not defined for them; see the
    /// [module](super) for the rest.
    pub fn compute(&self, predicted: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<Vec<f64>> {
        let values = targets.dtype().is_float();
        self.0.iter().try_for_each(|metric| metric.check_targets(values))?;
        self.0.iter().try_for_each(Metric::check_of_predictions)?;
        let shared = match values {
            true => self.shared_of_values(predicted, targets, weights)?,
            false => self.shared_of_classes(predicted, targets, weights)?,
        };
        let mut shared = shared.into_iter();
        let value = |metric: &Metric| match metric.start() {
            Some(_) => Ok(shared.next().unwrap_or(f64::NAN)),
            None => metric.compute(predicted, targets, weights),
        };
        self.0.iter().map(value).collect()
    }

    /// The values of the library's metrics of classes, in their order.
    fn shared_of_classes(
        &self,
        predicted: &Tensor,
        targets: &Tensor,
        weights: Option<&[f64]>,
    ) -> Result<Vec<f64>> {
        let mut parts = self.class_parts();
        if parts.metrics.is_empty() {
            return Ok(vec![]);
        }
        parts.add_rows(predicted, &class_ids(targets)?, weights)?;
        parts.finish()
    }

    /// Starts the library's metrics of classes, in their order, for rows that come in parts.
    pub(crate) fn class_parts(&self) -> ClassParts {
        let start = |metric: &Metric| match metric.start() {
            Some(Start::Classes(start)) => Some(start()),
            _ => None,
        };
        ClassParts { metrics: self.0.iter().filter_map(start).collect(), counted: false }
    }

    /// Whether each metric is one of the library's, so that none needs all rows at once.
    pub(crate) fn are_built_in(&self) -> bool {
        self.0.iter().all(|metric| metric.start().is_some())
    }

    /// The values of the library's metrics of values, in their order.
    fn shared_of_values(
        &self,
        predicted: &Tensor,
        targets: &Tensor,
        weights: Option<&[f64]>,
    ) -> Result<Vec<f64>> {
        let start = |metric: &Metric| match metric.start() {
            Some(Start::Values(start)) => Some(start()),
            _ => None,
        };
        let mut each: Vec<Box<dyn ValueRows>> = self.0.iter().filter_map(start).collect();
        if each.is_empty() {
            return Ok(vec![]);
        }
        Pairs::new(predicted, targets, weights)?
            .each(|pair| each.iter_mut().for_each(|rows| rows.add(&pair)))?;
        each.into_iter().map(|rows| rows.finish()).collect()
    }
}

/// Metrics of classes over rows that come in parts, so that not all of them need be in memory.
pub(crate) struct ClassParts {
    metrics: Vec<Box<dyn ClassRows>>,
    /// Whether a row of a weight above 0 was added.
    counted: bool,
}

impl ClassParts {
    /// Adds the probabilities of some rows, `(N, C)`, with their classes. Parts whose weights are all 0 count for nothing.
    pub(crate) fn add(&mut self, probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<()> {
        match weights.is_some_and(|weights| weights.iter().all(|weight| *weight == 0.)) {
            true => Ok(()),
            false => self.add_rows(probs, labels, weights),
        }
    }

    fn add_rows(&mut self, probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<()> {
        self.counted = true;
        let metrics = &mut self.metrics;
        Cases::new(probs, labels, weights)?.each(|case| metrics.iter_mut().for_each(|rows| rows.add(&case)))
    }

    /// The metrics of all rows.
    ///
    /// # Errors
    /// When no row of a weight above 0 was added, and those of the metrics.
    pub(crate) fn finish(self) -> Result<Vec<f64>> {
        if !self.counted {
            return Err(Error::invalid("the weight of a row at least", "positive", 0));
        }
        self.metrics.into_iter().map(|rows| rows.finish()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{reference, registry, Metrics};
    use candle_core::Device;

    const CLASSES: Task = Task::Classification { classes: 4 };
    const VALUES: Task = Task::Regression { outputs: 3 };

    fn all(task: Task) -> MetricList {
        let classes = matches!(task, Task::Classification { .. });
        let of_task = registry().entries().iter().filter(|entry| entry.tasks().classification() == classes);
        let of_task = MetricList::parse(&of_task.map(|entry| entry.name()).collect::<Vec<_>>().join(","));
        let [of_predictions, _] = of_task.unwrap().parted();
        of_predictions.unwrap()
    }

    #[test]
    fn the_usual_metrics_are_those_of_one_pass() {
        let (probs, labels, weights) = reference::classification();
        let ids = Tensor::new(labels.as_slice(), &Device::Cpu).unwrap();
        let (p, t, w) = reference::regression();
        let check = |task, got: Vec<f64>, metrics: Metrics| {
            let list = MetricList::for_task(task);
            let expected: Vec<_> =
                metrics.values().into_iter().map(|(name, value)| (name.into(), value)).collect();
            assert_eq!(list.names().into_iter().zip(got).collect::<Vec<(String, f64)>>(), expected);
            assert_eq!(list.headline().higher_is_better(), metrics.larger_is_better());
        };
        let got = MetricList::for_task(CLASSES).compute(&probs, &ids, Some(&weights)).unwrap();
        check(CLASSES, got, Metrics::classification(&probs, &labels, Some(&weights)).unwrap());
        let got = MetricList::for_task(VALUES).compute(&p, &t, Some(&w)).unwrap();
        check(VALUES, got, Metrics::regression(&p, &t, Some(&w)).unwrap());
    }

    #[test]
    fn each_metric_is_what_it_is_alone() {
        let (probs, labels, weights) = reference::ties();
        let ids = Tensor::new(labels.as_slice(), &Device::Cpu).unwrap();
        let (p, t, _) = reference::regression();
        let (p, t) = ((p + 8.).unwrap(), (t + 8.).unwrap());
        for w in [None, Some(&weights[..])] {
            for (task, predicted, targets) in [(CLASSES, &probs, &ids), (VALUES, &p, &t)] {
                let list = all(task);
                let alone =
                    list.metrics().iter().map(|metric| metric.compute(predicted, targets, w).unwrap());
                let alone: Vec<u64> = alone.map(f64::to_bits).collect();
                let together = list.compute(predicted, targets, w).unwrap();
                assert_eq!(together.into_iter().map(f64::to_bits).collect::<Vec<_>>(), alone);
            }
        }
    }

    #[test]
    fn lists_that_cannot_be_are_errors() {
        let error = |list: &str| MetricList::parse(list).unwrap_err().to_string();
        let twice = "the metrics of a list must be different, but is nll twice";
        assert_eq!(error("accuracy,nll,log-loss"), twice);
        assert!(error("").contains("but is empty"));
        assert!(error("accuracy,acuracy").contains("did you mean accuracy?"));
        assert_eq!(
            MetricList::new(vec![]).unwrap_err().to_string(),
            "the number of metrics must be at least 1, but is 0"
        );
        let mixed = MetricList::parse("rmse,accuracy").unwrap();
        let e = mixed.check(VALUES).unwrap_err().to_string();
        assert_eq!(
            e,
            "the task of the metric accuracy must be classification, but is regression with 3 outputs"
        );
        let (p, t, _) = reference::regression();
        let e = mixed.compute(&p, &t, None).unwrap_err().to_string();
        assert_eq!(e, "the targets of the metric accuracy must be class ids, but is values");
    }
}
