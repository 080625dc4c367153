//! Metrics as values: the library's own and those of the user.
use crate::{
    data::Task,
    distribution::{self, Mixture},
    metrics::{
        inputs::{Cases, Pairs},
        stream::{ClassRows, ValueRows},
        Criterion, RowLoss, Scored, Truth,
    },
    registry::Tasks,
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use std::{fmt, sync::Arc};

/// A metric of predictions that the user defines.
///
/// Implement it for a type of your own and make a [`Metric`] of it with [`Metric::new`]. Everything that
/// takes a metric then takes yours: a [`MetricList`](super::MetricList), early stopping
/// ([`Trainer::early_stopping_by`](crate::train::Trainer::early_stopping_by)), and the combiners that
/// minimise a [`Criterion`].
///
/// # Examples
/// The share of rows for which the probability of the true class is at least ½:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{metrics::{Metric, MetricList, Score}, registry::Tasks, Result};
///
/// #[derive(Debug)]
/// struct Confident;
///
/// impl Score for Confident {
///     fn name(&self) -> String {
///         "confident".into()
///     }
///
///     fn higher_is_better(&self) -> bool {
///         true
///     }
///
///     fn tasks(&self) -> Tasks {
///         Tasks::Classification
///     }
///
///     fn compute(&self, predicted: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
///         let own = predicted.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?.to_vec1::<f32>()?;
///         let weight = |row: usize| weights.map_or(1., |weights| weights[row]);
///         let total: f64 = (0..own.len()).map(weight).sum();
///         Ok(own.iter().enumerate().filter(|(_, p)| **p >= 0.5).map(|(row, _)| weight(row)).sum::<f64>() / total)
///     }
/// }
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32, 1, 1, 1], &Device::Cpu)?;
/// let metrics = MetricList::new(vec![Confident.into(), Metric::parse("nll")?])?;
/// assert_eq!(metrics.compute(&probs, &labels, None)?[0], 0.75);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Score: fmt::Debug + Send + Sync {
    /// Returns its name, which identifies it in tables and messages. Arguments are part of it, as in
    /// `top-k:5`.
    fn name(&self) -> String;

    /// Returns whether a higher value is the better one.
    fn higher_is_better(&self) -> bool;

    /// Returns the tasks that it goes with.
    fn tasks(&self) -> Tasks;

    /// Computes its value for class probabilities `(N, C)` (rows, classes) with class ids `(N,)` of an
    /// integer type, or for predictions `(N,)` or `(N, K)` (rows, outputs) with targets of the same shape.
    /// `weights` has one weight for each row.
    ///
    /// # Errors
    /// When it is not defined for them.
    fn compute(&self, predicted: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64>;

    /// Returns the loss of one row whose mean is the metric, or one minus the metric, where there is one.
    /// Combiners that minimise the metric are faster with it.
    fn row_loss(&self) -> Option<RowLoss> {
        None
    }

    /// Returns whether it is computed of predicted distributions, by
    /// [`compute_distributions`](Self::compute_distributions).
    fn needs_distributions(&self) -> bool {
        false
    }

    /// Computes its value for the distributions that an ensemble, or a network during its training, predicts for the
    /// rows, with targets `(N, K)`, or `(N,)` for one output. The default is the value for the means.
    ///
    /// # Errors
    /// When it is not defined for them.
    fn compute_distributions(
        &self,
        predicted: &Mixture,
        targets: &Tensor,
        weights: Option<&[f64]>,
    ) -> Result<f64> {
        let (means, targets) = means_and_targets(predicted, targets)?;
        self.compute(&means, &targets, weights)
    }
}

/// A metric, chosen at run time: what [`registry()`](super::registry()) makes from a name, or a [`Score`] of
/// the user.
///
/// As a [`Criterion`], it is a loss that combiners minimise: the metric, or its negative where higher is
/// better.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::Metric;
///
/// let probs = Tensor::new(&[[0.5f32, 0.3, 0.2], [0.5, 0.3, 0.2]], &Device::Cpu)?;
/// let labels = Tensor::new(&[1u32, 2], &Device::Cpu)?;
/// let metric = Metric::parse("top-k:2")?;
/// assert_eq!(metric.name(), "top-k:2");
/// assert!(metric.higher_is_better());
/// assert_eq!(metric.compute(&probs, &labels, None)?, 0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone)]
pub struct Metric(Kind);

#[derive(Clone)]
enum Kind {
    BuiltIn(Arc<BuiltIn>),
    Own(Arc<dyn Score>),
}

/// A metric of the library.
pub(super) struct BuiltIn {
    pub(super) name: String,
    pub(super) higher_is_better: bool,
    pub(super) row_loss: Option<RowLoss>,
    pub(super) start: Start,
}

/// Starts to accumulate a metric.
pub(super) enum Start {
    Classes(Box<dyn Fn() -> Box<dyn ClassRows> + Send + Sync>),
    Values(Box<dyn Fn() -> Box<dyn ValueRows> + Send + Sync>),
    /// The score of predicted distributions, whose mean over the rows is the metric.
    Distributions(distribution::Score),
}

impl Metric {
    /// Creates a metric from a [`Score`] of the user.
    pub fn new(score: impl Score + 'static) -> Self {
        Self(Kind::Own(Arc::new(score)))
    }

    /// Makes the metric that a text such as `accuracy` or `top-k:5` names; see
    /// [`registry()`](super::registry()).
    ///
    /// # Errors
    /// When the name or an argument is unknown, or a value is not what it must be.
    pub fn parse(text: &str) -> Result<Self> {
        super::registry().parse(text)
    }

    pub(super) fn built_in(metric: BuiltIn) -> Self {
        Self(Kind::BuiltIn(Arc::new(metric)))
    }

    /// How a metric of the library is accumulated.
    pub(super) fn start(&self) -> Option<&Start> {
        match &self.0 {
            Kind::BuiltIn(metric) => Some(&metric.start),
            Kind::Own(_) => None,
        }
    }

    /// Returns its name, with those of its arguments that do not have their default value.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.0 {
            Kind::BuiltIn(metric) => metric.name.clone(),
            Kind::Own(score) => score.name(),
        }
    }

    /// Returns whether a higher value is the better one.
    #[must_use]
    pub fn higher_is_better(&self) -> bool {
        match &self.0 {
            Kind::BuiltIn(metric) => metric.higher_is_better,
            Kind::Own(score) => score.higher_is_better(),
        }
    }

    /// Returns the tasks that it goes with.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        match &self.0 {
            Kind::BuiltIn(metric) => match metric.start {
                Start::Classes(_) => Tasks::Classification,
                Start::Values(_) | Start::Distributions(_) => Tasks::Regression,
            },
            Kind::Own(score) => score.tasks(),
        }
    }

    /// Returns the loss of one row whose mean is the metric, or one minus the metric; `None` where there is
    /// none.
    #[must_use]
    pub fn row_loss(&self) -> Option<RowLoss> {
        match &self.0 {
            Kind::BuiltIn(metric) => metric.row_loss,
            Kind::Own(score) => score.row_loss(),
        }
    }

    /// Returns whether it is a metric of predicted distributions, such as `crps`, and not of values or probabilities.
    #[must_use]
    pub fn needs_distributions(&self) -> bool {
        match &self.0 {
            Kind::BuiltIn(_) => self.distribution_score().is_some(),
            Kind::Own(score) => score.needs_distributions(),
        }
    }

    /// The score of distributions whose mean it is, if it is one of the library.
    pub(crate) fn distribution_score(&self) -> Option<distribution::Score> {
        match self.start() {
            Some(Start::Distributions(score)) => Some(*score),
            _ => None,
        }
    }

    /// Computes its value for the distributions that an ensemble predicts, with targets `(N, K)`, or `(N,)` for one
    /// output; weighted by row if `weights` are given. A metric of values is that of their means.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{distribution::{Family, Mixture}, metrics::Metric};
    ///
    /// // One member and two rows: N(0, 1) and N(4, 3²).
    /// let means = Tensor::new(&[[[0f64], [4.]]], &Device::Cpu)?;
    /// let deviations = Tensor::new(&[[[1f64], [3.]]], &Device::Cpu)?;
    /// let predicted = Mixture::new(Family::Gaussian, &means, &deviations)?;
    /// let targets = Tensor::new(&[1f64, 10.], &Device::Cpu)?;
    /// assert_eq!(Metric::parse("coverage:0.9")?.compute_distributions(&predicted, &targets, None)?, 0.5);
    /// assert_eq!(Metric::parse("mae")?.compute_distributions(&predicted, &targets, None)?, 3.5);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When it is a metric of classes, the targets have another shape, or a number is not finite; for `distribution-nll`,
    /// when the members predict quantiles, which have no density.
    pub fn compute_distributions(
        &self,
        predicted: &Mixture,
        targets: &Tensor,
        weights: Option<&[f64]>,
    ) -> Result<f64> {
        self.check_targets(true)?;
        match (&self.0, self.distribution_score()) {
            (Kind::Own(score), _) => score.compute_distributions(predicted, targets, weights),
            (_, Some(score)) => predicted.score(score, targets, weights),
            (_, None) => {
                let (means, targets) = means_and_targets(predicted, targets)?;
                self.compute(&means, &targets, weights)
            }
        }
    }

    /// Computes its value for class probabilities `(N, C)` with class ids `(N,)` of an integer type, or for
    /// predictions `(N,)` or `(N, K)` with targets of the same shape; weighted by row if `weights` are given.
    ///
    /// # Errors
    /// When the targets are not of its task, or it is a metric of distributions; see the [module](super) and the metric
    /// for the rest.
    pub fn compute(&self, predicted: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
        self.check_targets(targets.dtype().is_float())?;
        self.check_of_predictions()?;
        match &self.0 {
            Kind::Own(score) => score.compute(predicted, targets, weights),
            Kind::BuiltIn(metric) => match &metric.start {
                Start::Classes(start) => {
                    let (mut rows, labels) = (start(), class_ids(targets)?);
                    Cases::new(predicted, &labels, weights)?.each(|case| rows.add(&case))?;
                    rows.finish()
                }
                Start::Values(start) => {
                    let mut rows = start();
                    Pairs::new(predicted, targets, weights)?.each(|pair| rows.add(&pair))?;
                    rows.finish()
                }
                Start::Distributions(_) => self.check_of_predictions().map(|()| f64::NAN),
            },
        }
    }

    /// Checks that the metric is computed of predicted values or probabilities, and not of distributions.
    pub(crate) fn check_of_predictions(&self) -> Result<()> {
        if !self.needs_distributions() {
            return Ok(());
        }
        let must = "a metric of predicted values or probabilities here (metrics of distributions go with OnDataset::metrics, \
                    early stopping and Mixture::score)";
        Err(Error::invalid("the metric", must, self.name()))
    }

    /// Checks that better values of the metric are higher, or lower, without end, so that it can be watched or ranked by.
    pub(crate) fn check_orders(&self) -> Result<()> {
        match self.distribution_score() {
            Some(distribution::Score::Coverage { level }) => {
                let must = format!(
                    "one of which more, or less, is always better, such as interval-score:{level} (a coverage should be the \
                     level)"
                );
                Err(Error::invalid("the metric that is watched", must, self.name()))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the metric goes with a task.
    pub(crate) fn check_task(&self, task: Task) -> Result<()> {
        let (goes, must) = match task {
            Task::Classification { .. } => (self.tasks().classification(), "regression"),
            Task::Regression { .. } => (self.tasks().regression(), "classification"),
        };
        match (goes, self.name().as_str()) {
            (true, _) => Ok(()),
            (false, "nll") => {
                let must = format!("{must} (distribution-nll is that of distributions of values)");
                Err(Error::invalid("the task of the metric nll", must, task))
            }
            (false, name) => Err(Error::invalid(format!("the task of the metric {name}"), must, task)),
        }
    }

    /// Checks that the metric goes with values, or with class ids.
    pub(super) fn check_targets(&self, values: bool) -> Result<()> {
        let (goes, must, got) = match values {
            true => (self.tasks().regression(), "class ids", "values"),
            false => (self.tasks().classification(), "values", "class ids"),
        };
        match goes {
            true => Ok(()),
            false => Err(Error::invalid(format!("the targets of the metric {}", self.name()), must, got)),
        }
    }
}

/// The means of distributions, and the targets in their shape and type.
fn means_and_targets(predicted: &Mixture, targets: &Tensor) -> Result<(Tensor, Tensor)> {
    let means = predicted.mean()?;
    let targets = targets.to_device(&Device::Cpu)?.to_dtype(means.dtype())?;
    match targets.elem_count() == means.elem_count() {
        true => Ok((means.clone(), targets.reshape(means.shape())?)),
        // The metric names the shapes.
        false => Ok((means, targets)),
    }
}

/// Class ids of any integer type.
pub(super) fn class_ids(targets: &Tensor) -> Result<Vec<u32>> {
    Ok(targets.to_dtype(DType::U32)?.flatten_all()?.to_vec1()?)
}

impl<S: Score + 'static> From<S> for Metric {
    fn from(score: S) -> Self {
        Self::new(score)
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::BuiltIn(metric) => f
                .debug_struct("Metric")
                .field("name", &metric.name)
                .field("higher_is_better", &metric.higher_is_better)
                .finish_non_exhaustive(),
            Kind::Own(score) => f.debug_tuple("Metric").field(score).finish(),
        }
    }
}

impl Criterion for Metric {
    fn name(&self) -> String {
        self.row_loss().map_or_else(|| Metric::name(self), |loss| loss.name())
    }

    fn loss(&self, predicted: &Scored<'_>) -> Result<f64> {
        if let Some(loss) = self.row_loss() {
            return loss.loss(predicted);
        }
        self.check_targets(matches!(predicted.truth, Truth::Values(_)))?;
        self.check_of_predictions()?;
        let Scored { values, width, truth, weights } = *predicted;
        let value = match (self.start(), truth) {
            (Some(Start::Classes(start)), Truth::Classes(ids)) => {
                let mut rows = start();
                Cases::of_slice(values, width, ids, Some(weights))?.each(|case| rows.add(&case))?;
                rows.finish()?
            }
            (Some(Start::Values(start)), Truth::Values(all)) => {
                let mut rows = start();
                Pairs::of_slices(values, all, width, Some(weights))?.each(|pair| rows.add(&pair))?;
                rows.finish()?
            }
            (_, truth) => {
                let table = |all: &[f64]| Tensor::from_slice(all, (weights.len(), width), &Device::Cpu);
                let targets = match truth {
                    Truth::Classes(ids) => Tensor::from_slice(ids, ids.len(), &Device::Cpu)?,
                    Truth::Values(all) => table(all)?,
                };
                self.compute(&table(values)?, &targets, Some(weights))?
            }
        };
        Ok(if self.higher_is_better() { -value } else { value })
    }

    fn by_row(&self) -> Option<RowLoss> {
        self.row_loss()
    }
}
