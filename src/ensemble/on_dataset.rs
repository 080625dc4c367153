//! Predictions of an ensemble for a data set, batch by batch.
use crate::{
    combine::FittedCombiner,
    conformal::{CalibrationRows, ConformalIntervals, ConformalMethod, ConformalSets, PredictionSets},
    data::{Dataset, Task},
    distribution::Mixture,
    ensemble::Ensemble,
    metrics::{ClassParts, Metric, MetricList, Metrics},
    network::{positions::Layout, Scale},
    observe::{Observer, Silent},
    predictions::{
        passes::{Pass, Passes, Source},
        scored_rows::ScoredRows,
    },
    uncertainty::{ClassUncertainty, ValueUncertainty},
    Error, Network, Result, Rows,
};
use candle_core::{DType, Device, Tensor};

/// An ensemble and the rows of a data set that it predicts; [`Ensemble::on`] makes one.
///
/// The rows are read in batches of [`Ensemble::batch_rows`], so the inputs need not fit in memory: what is
/// kept is the result. [`for_each`](Self::for_each) keeps nothing. The predictions are those of the same rows
/// as tensors, to the bit.
#[allow(missing_debug_implementations)] // neither data set nor observer need be Debug
pub struct OnDataset<'a, N, F> {
    ensemble: &'a Ensemble<N, F>,
    data: &'a dyn Dataset,
    rows: Option<Rows>,
    observer: &'a dyn Observer,
}

impl<'a, N: Network, F: FittedCombiner> OnDataset<'a, N, F> {
    pub(super) fn new(ensemble: &'a Ensemble<N, F>, data: &'a dyn Dataset) -> Self {
        Self { ensemble, data, rows: None, observer: &Silent }
    }

    /// Sets which rows are predicted, in this order. The default is all of them.
    #[must_use]
    pub fn rows(mut self, rows: &[u32]) -> Self {
        self.rows = Some(rows.to_vec());
        self
    }

    /// Sets the observer that is notified after each batch, with
    /// [`Event::RowsPredicted`](crate::observe::Event::RowsPredicted).
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// The prediction for each row; see [`Ensemble::predict`].
    ///
    /// # Errors
    /// As [`Ensemble::predict`]; [`Error::Stopped`] when the observer stops it; when the data has another task
    /// than the ensemble or cannot be read.
    pub fn predict(&self) -> Result<Tensor> {
        self.with_passes(|passes| self.ensemble.predict_passes(passes))
    }

    /// The probabilities of the classes for each row; see [`Ensemble::predict_proba`].
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`Ensemble::predict_proba`].
    pub fn predict_proba(&self) -> Result<Tensor> {
        self.with_passes(|passes| self.ensemble.predict_proba_passes(passes))
    }

    /// The mixture of the distributions that the members predict for each row; see [`Ensemble::predict_distribution`].
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`Ensemble::predict_distribution`].
    pub fn predict_distribution(&self) -> Result<Mixture> {
        self.with_passes(|passes| self.ensemble.distribution_passes(passes))
    }

    /// The prediction of each slot for each row, `(S, N, C)`; see [`Ensemble::member_predictions`].
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn member_predictions(&self) -> Result<Tensor> {
        self.with_passes(|passes| self.ensemble.member_predictions_passes(passes))
    }

    /// Calls `f` with each batch: the numbers of its rows in the data set and their predictions, `(B, C)`
    /// probabilities or `(B, K)` values; where rows have several positions, probabilities in the shape of
    /// [`Ensemble::predict_proba`]. Nothing is kept, so a result of any length can be written to a file.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), and that of `f`.
    pub fn for_each(&self, mut f: impl FnMut(&[u32], &Tensor) -> Result<()>) -> Result<()> {
        self.over_rows(|passes, rows| {
            self.ensemble.combined_passes(passes, |pass, predicted, layout| {
                let predicted = Layout::of_rows(layout.as_ref(), predicted)?;
                f(&rows[pass.start..pass.start + pass.inputs.rows()], &predicted)
            })
        })
    }

    /// The metrics of the predictions: those of classes, or those of values. Rows count by their weights,
    /// where the data set has weights. Where rows have several positions, the metrics are those of all positions.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); when the targets do not fit the predictions, or a prediction is NaN.
    pub fn evaluate(&self) -> Result<Metrics> {
        let task = self.data.task();
        match (task, self.metrics(&MetricList::for_task(task))?.as_slice()) {
            (Task::Classification { .. }, &[accuracy, nll, brier, ece]) => {
                Ok(Metrics::Classification { accuracy, nll, brier, ece })
            }
            (_, &[rmse, mae, r2]) => Ok(Metrics::Regression { rmse, mae, r2 }),
            (task, _) => {
                Err(Error::invalid("the usual metrics", "four for classes or three for values", task))
            }
        }
    }

    /// These metrics of the predictions, in their order. Rows count by their weights, where the data set has weights. Where
    /// rows have several positions, the metrics are those of all positions that have a class.
    ///
    /// Metrics of [distributions](crate::metrics::Metric::needs_distributions), such as `crps`, are those of the mixture of
    /// the members ([`predict_distribution`](Self::predict_distribution)).
    ///
    /// The predictions, targets and weights of all rows are kept until the end. Where rows have several positions, the
    /// metrics of the library are computed batch by batch; a [`Score`](crate::metrics::Score) of your own is not.
    /// [`predict`](Self::predict) keeps the predicted classes only.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::prelude::*;
    /// use candle_ensemble::metrics::MetricList;
    ///
    /// # let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// # let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
    /// # let data = TensorDataset::classification(x.clone(), &y)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
    /// # let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Mean)?;
    /// let test: &dyn Dataset = &data; // any data set
    /// let [iou, perplexity] = ensemble.on(test).metrics(&MetricList::parse("mean-iou,perplexity")?)?[..] else {
    ///     unreachable!()
    /// };
    /// println!("mean IoU {iou:.3}, perplexity {perplexity:.3}");
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate), and when a metric does not go with the task or with the output of the networks; with
    /// metrics of distributions, as [`predict_distribution`](Self::predict_distribution).
    pub fn metrics(&self, list: &MetricList) -> Result<Vec<f64>> {
        let (task, output) = (self.data.task(), self.ensemble.live.output);
        list.metrics().iter().try_for_each(|metric| output.check_metric(metric, task))?;
        let [of_predictions, of_distributions] = list.parted();
        if of_distributions.is_some() {
            // A rule that is no mixture is refused before anything is predicted.
            self.ensemble.shares()?;
        }
        let values = |list: Option<MetricList>, metrics: &dyn Fn(&MetricList) -> Result<Vec<f64>>| {
            Ok::<_, Error>(list.map_or(Ok(vec![]), |list| metrics(&list))?.into_iter())
        };
        let mut of_predictions = values(of_predictions, &|list| self.metrics_of_predictions(list))?;
        let mut of_distributions = values(of_distributions, &|list| self.metrics_of_distributions(list))?;
        let next = |metric: &Metric| match metric.needs_distributions() {
            true => of_distributions.next(),
            false => of_predictions.next(),
        };
        Ok(list.metrics().iter().filter_map(next).collect())
    }

    fn metrics_of_distributions(&self, list: &MetricList) -> Result<Vec<f64>> {
        self.over_rows(|passes, rows| {
            let mixture = self.ensemble.distribution_passes(passes)?;
            let scored = ScoredRows::read(self.data, rows)?;
            list.compute_distributions(&mixture, &scored.targets, scored.weights.as_deref())
        })
    }

    fn metrics_of_predictions(&self, list: &MetricList) -> Result<Vec<f64>> {
        match (self.data.positions().is_one(), list.are_built_in()) {
            (false, true) => {
                let mut parts = list.class_parts();
                self.each_position(|part| part.add_to(&mut parts))?;
                parts.finish()
            }
            _ => {
                let mut all = Part::default();
                self.each_position(|part| {
                    all.append(part);
                    Ok(())
                })?;
                all.metrics(list)
            }
        }
    }

    /// The predictions that are scored, `(P, C)`, of which no more than those of a pass are held beside.
    pub(crate) fn predict_scored(&self, scored: &ScoredRows) -> Result<Tensor> {
        self.with_passes(|passes| {
            let keep =
                |pass: &Pass, predicted, _: Option<&Layout>| scored.select_one(pass.places(), predicted);
            Ok(self.ensemble.combined_as(passes, keep)?.0)
        })
    }

    /// The same of each slot, `(S, P, C)`.
    pub(crate) fn members_scored(&self, scored: &ScoredRows) -> Result<Tensor> {
        self.with_passes(|passes| {
            let keep = |pass: &Pass, predicted| scored.select(pass.places(), predicted);
            Ok(self.ensemble.workers().predict_with(passes, Scale::Probability, keep)?.values().clone())
        })
    }

    /// Gives the predictions of each batch, at all positions that have a target, to `take`.
    fn each_position(&self, mut take: impl FnMut(Part) -> Result<()>) -> Result<()> {
        let positions = self.data.positions();
        self.over_rows(|passes, _| {
            self.ensemble.combined_passes(passes, |pass, predicted, _| {
                let Some(flat) = pass.positions(positions)? else { return Ok(()) };
                let on_cpu = |t: &Tensor| t.to_device(&Device::Cpu);
                let weights = flat.weights.as_ref().map(|w| on_cpu(w)?.to_dtype(DType::F64)?.to_vec1());
                take(Part {
                    predicted: vec![on_cpu(&flat.kept_of(predicted)?)?],
                    targets: vec![on_cpu(&flat.targets)?],
                    weights: weights.transpose()?.unwrap_or_default(),
                })
            })
        })
    }

    /// Fits a method of [conformal prediction](crate::conformal) for the ensemble on these rows.
    ///
    /// They must be rows that neither a member nor the combiner was fitted on, and on which nothing was chosen. Rows of the
    /// pool's own data set that do not serve are refused; of another data set, and of an ensemble from a file, nothing here
    /// can check it. [`Pool::conformal`](crate::Pool::conformal) takes the rows of its data that serve.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{conformal::*, prelude::*};
    /// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((80, 1))?;
    /// # let y = Tensor::from_iter((0..80u32).map(|i| i / 40), &Device::Cpu)?;
    /// # let data = TensorDataset::classification(&x, &y)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(1, 2, vb)).epochs(2);
    /// # let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Mean)?;
    /// # let calibration = TensorDataset::classification((&x + 0.01)?, &y)?;
    /// let conformal = ensemble.on(&calibration).conformal(&ClassSets::new(0.1).by_class())?;
    /// let sets = ensemble.on(&data).rows(&[3, 7]).predict_sets(&conformal)?;
    /// assert_eq!(sets.rows(), 2);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`ConformalMethod::fit`]; when rows are those of the pool's own data set, and a member
    /// or the combiner was fitted on them.
    pub fn conformal<M: ConformalMethod>(&self, method: &M) -> Result<M::Fitted> {
        let of_members = method.calibration_rows() == CalibrationRows::HeldOut;
        self.over_rows(|passes, rows| {
            self.ensemble.check_calibration_rows(self.data, rows)?;
            let mixture = match method.needs_distributions() {
                true => Some(self.ensemble.distribution_passes(passes)?),
                false => None,
            };
            self.ensemble.calibrate(passes, of_members, self.data, rows, |held_out, fitted| match mixture {
                Some(mixture) => method.fit(&held_out.with_distributions(mixture)?, fitted),
                None => method.fit(&held_out, fitted),
            })
        })
    }

    /// The intervals of each row, `(N, K, 2)`; see [`Ensemble::predict_intervals`]. The groups of the rows are those of the
    /// data set, where the intervals are [by group](ConformalIntervals::by_group).
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`ConformalIntervals::predict`].
    pub fn predict_intervals(&self, conformal: &ConformalIntervals) -> Result<Tensor> {
        self.over_rows(|passes, rows| {
            let groups = self.groups(conformal.by_group(), rows);
            self.ensemble.interval_passes(passes, conformal, groups.as_deref())
        })
    }

    /// The set of classes of each row; see [`Ensemble::predict_sets`]. The groups of the rows are those of the data set, where
    /// the sets are [by group](ConformalSets::by_group).
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`ConformalSets::predict`].
    pub fn predict_sets(&self, conformal: &ConformalSets) -> Result<PredictionSets> {
        self.over_rows(|passes, rows| {
            let groups = self.groups(conformal.by_group(), rows);
            self.ensemble.set_passes(passes, conformal, groups.as_deref())
        })
    }

    /// How uncertain the members are of the class of each row; see [`Ensemble::class_uncertainty`].
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn class_uncertainty(&self) -> Result<ClassUncertainty> {
        self.with_passes(|passes| self.ensemble.class_uncertainty_passes(passes))
    }

    /// The energy of each row; see [`Ensemble::energy`].
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`Ensemble::energy`].
    pub fn energy(&self, temperature: f64) -> Result<Vec<f64>> {
        self.with_passes(|passes| self.ensemble.energy_passes(passes, temperature))
    }

    /// How uncertain the members are of the values of each row; see [`Ensemble::value_uncertainty`].
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn value_uncertainty(&self) -> Result<ValueUncertainty> {
        self.with_passes(|passes| self.ensemble.value_uncertainty_passes(passes))
    }

    /// The groups of these rows, where they are needed and there are any.
    fn groups(&self, needed: bool, rows: &[u32]) -> Option<Vec<u32>> {
        let groups = self.data.groups().filter(|_| needed)?;
        rows.iter().map(|row| groups.get(*row as usize).copied()).collect()
    }

    fn with_passes<T>(&self, f: impl FnOnce(&Passes<'_>) -> Result<T>) -> Result<T> {
        self.over_rows(|passes, _| f(passes))
    }

    fn over_rows<T>(&self, f: impl FnOnce(&Passes<'_>, &[u32]) -> Result<T>) -> Result<T> {
        let (own, other) = (self.ensemble.positions(), self.data.positions());
        if own != other && (own.is_one() || other.is_one()) {
            return Err(Error::invalid("the data", format!("{own}, as that of the ensemble"), other));
        }
        let (own, other) = (self.ensemble.task(), self.data.task());
        if own != other {
            return Err(Error::invalid(
                "the task of the data",
                format!("that of the ensemble, {own}"),
                other,
            ));
        }
        let all: Rows;
        let rows = match &self.rows {
            Some(rows) => rows,
            None => {
                all = (0..self.data.rows() as u32).collect();
                &all
            }
        };
        f(&self.ensemble.passes(Source::Rows(self.data, rows)).observer(self.observer), rows)
    }
}

/// The predictions of some rows with their targets, and their weights if there are any.
#[derive(Default)]
struct Part {
    predicted: Vec<Tensor>,
    targets: Vec<Tensor>,
    weights: Vec<f64>,
}

impl Part {
    fn append(&mut self, other: Self) {
        self.predicted.extend(other.predicted);
        self.targets.extend(other.targets);
        self.weights.extend(other.weights);
    }

    fn weights(&self) -> Option<&[f64]> {
        (!self.weights.is_empty()).then_some(self.weights.as_slice())
    }

    /// Adds the rows to metrics of classes.
    fn add_to(self, metrics: &mut ClassParts) -> Result<()> {
        for (predicted, targets) in self.predicted.iter().zip(&self.targets) {
            metrics.add(predicted, &targets.to_vec1::<u32>()?, self.weights())?;
        }
        Ok(())
    }

    /// These metrics of the rows.
    fn metrics(&self, list: &MetricList) -> Result<Vec<f64>> {
        let (predicted, targets) = (Tensor::cat(&self.predicted, 0)?, Tensor::cat(&self.targets, 0)?);
        // One output `(N, 1)` may have the targets `(N,)`.
        let targets = if targets.dtype().is_float() { targets.reshape(predicted.shape())? } else { targets };
        list.compute(&predicted, &targets, self.weights())
    }
}
