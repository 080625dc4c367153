//! Scores against the number of training rows.
mod report;
#[cfg(test)]
mod tests;

pub use report::{TrainingSizePoint, TrainingSizeReport};

use crate::{
    check,
    data::{Dataset, Split},
    evaluate::member_scores::member_scores,
    exec::Executor,
    metrics::{Metric, MetricList},
    observe::{Observer, Silent},
    plan::{Plan, RunSpec, Settings},
    resample::PlannedRows,
    train::Learner,
    Error, Result, Rows, Seed, Session,
};
use candle_core::Device;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// Measures a learner on its training rows and on validation rows, against the number of training rows.
///
/// ```text
/// repeat r:  a random split into training and validation rows, and an order of the training rows
/// size s:    a network trained on the first s·N of these rows, scored on them and on the validation rows
/// ```
///
/// The rows of a size are among those of every larger size, and all sizes of a repeat have the same seed and
/// the same validation rows. Where the data has strata, every size has about their shares; where it has
/// groups, no group is on both sides of a split. Intervals are those for repeated splits of one data set
/// ([`corrected_t_interval`](crate::statistics::corrected_t_interval)).
///
/// Use it to decide whether more data would help: where the validation score still improves at the largest
/// size, it would. A large gap between the two scores is a sign of overfitting, which more data or
/// regularization reduces; two low scores close together are a sign of a model that is too small or is not
/// trained enough. Networks of all sizes have the same number of epochs, so those with few rows have fewer
/// steps.
///
/// Cost: `repeats` trainings for each size, each in proportion to its rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{evaluate::TrainingSizeCurve, prelude::*};
///
/// let x = Tensor::arange(0f32, 200., &Device::Cpu)?.affine(0.01, -1.)?.reshape((100, 2))?;
/// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(3);
/// let report = TrainingSizeCurve::new(&trainer, &data).sizes([0.25, 0.5, 1.]).repeats(3).run(42)?;
/// println!("{report}");
/// assert_eq!(report.points.iter().map(|p| p.rows).collect::<Vec<_>>(), [20, 40, 80]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Cortes et al. (1993), "Learning curves: asymptotic values and rate of convergence", NIPS
/// 6:327–334; scikit-learn's `learning_curve`.
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct TrainingSizeCurve<'a, L> {
    learner: &'a L,
    data: &'a dyn Dataset,
    sizes: Vec<f64>,
    repeats: usize,
    held_out: f64,
    settings: Settings,
    metric: Option<Metric>,
    device: Device,
    executor: Option<&'a dyn Executor>,
    observer: &'a dyn Observer,
}

impl<'a, L: Learner> TrainingSizeCurve<'a, L> {
    /// A curve of this learner on this data.
    pub fn new(learner: &'a L, data: &'a dyn Dataset) -> Self {
        Self {
            learner,
            data,
            sizes: vec![0.1, 0.2, 0.4, 0.6, 0.8, 1.],
            repeats: 10,
            held_out: 0.2,
            settings: Settings::new(),
            metric: None,
            device: Device::Cpu,
            executor: None,
            observer: &Silent,
        }
    }

    /// Sets the sizes: shares of the training rows, above 0 and at most 1. They are rounded to whole rows.
    /// The default is 0.1, 0.2, 0.4, 0.6, 0.8 and 1.
    #[must_use]
    pub fn sizes(mut self, shares: impl IntoIterator<Item = f64>) -> Self {
        self.sizes = shares.into_iter().collect();
        self
    }

    /// Sets the number of random splits, at least 1; the default is 10.
    #[must_use]
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// Sets the share of all rows, in (0, 1), that are validation rows; the default is 0.2.
    #[must_use]
    pub fn held_out(mut self, share: f64) -> Self {
        self.held_out = share;
        self
    }

    /// Sets settings of all runs, which replace those of the learner. The default is none.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the metric; the default is the accuracy for classes and the root mean squared error for values.
    #[must_use]
    pub fn metric(mut self, metric: impl Into<Metric>) -> Self {
        self.metric = Some(metric.into());
        self
    }

    /// Sets the device on which networks train; the default is the CPU.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// Sets how many runs train at a time; see [`Session::executor`].
    #[must_use]
    pub fn executor(mut self, executor: &'a dyn Executor) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Sets the observer that is notified of each event of the build.
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Trains and scores all networks.
    ///
    /// # Errors
    /// When a parameter is out of range, two sizes have the same number of rows, the learner has several
    /// architectures, the metric is not defined for the rows of a size, or a run fails.
    pub fn run(&self, seed: impl Into<Seed>) -> Result<TrainingSizeReport> {
        let seed = seed.into();
        self.check()?;
        self.metric.as_ref().map_or(Ok(()), Metric::check_of_predictions)?;
        let splits = (0..self.repeats as u64)
            .map(|r| Split::of(self.data, self.held_out, seed.nth("repeat", r).child("split")));
        let splits = splits.collect::<Result<Vec<_>>>()?;
        let least = splits.iter().map(|split| split.train.len()).min().unwrap_or(0);
        let counts = self.counts(least)?;
        let plan = self.plan(&splits, &counts, seed)?;
        let mut session = Session::new(self.learner, self.data).device(&self.device).observer(self.observer);
        if let Some(executor) = self.executor {
            session = session.executor(executor);
        }
        let pool = session.train(&plan)?;
        let metric = self.metric.clone();
        let metric = metric.unwrap_or_else(|| MetricList::for_task(self.data.task()).headline().clone());
        let mut scores = vec![(vec![], vec![]); counts.len()];
        for (repeat, split) in splits.iter().enumerate() {
            let runs: Vec<usize> = (0..counts.len()).map(|size| repeat * counts.len() + size).collect();
            let validation = member_scores(&pool.select_slots(&runs)?, self.data, &split.test, &metric)?;
            for ((run, valid), (on_training, on_validation)) in runs.iter().zip(validation).zip(&mut scores) {
                let rows = plan.runs.get(*run).map_or_else(|| Ok(Rows::new()), |run| run.train.to_vec())?;
                on_training.extend(member_scores(&pool.select_slots(&[*run])?, self.data, &rows, &metric)?);
                on_validation.push(valid);
            }
        }
        let validation_rows = splits.first().map_or(0, |split| split.test.len());
        TrainingSizeReport::of(&metric, validation_rows, counts.into_iter().zip(scores))
    }

    fn check(&self) -> Result<()> {
        if self.repeats == 0 {
            return Err(Error::invalid("TrainingSizeCurve::repeats", "at least 1", 0));
        }
        if self.sizes.is_empty() {
            return Err(Error::invalid("TrainingSizeCurve::sizes", "at least one share", "none"));
        }
        if let Some(share) = self.sizes.iter().find(|share| !(**share > 0. && **share <= 1.)) {
            return Err(Error::invalid(
                "a share in TrainingSizeCurve::sizes",
                "above 0 and at most 1",
                share,
            ));
        }
        match self.learner.architectures().len() {
            1 => check::share("TrainingSizeCurve::held_out", self.held_out),
            several => Err(Error::invalid("the learner", "of one architecture", format!("one of {several}"))),
        }
    }

    /// The numbers of rows, increasing.
    fn counts(&self, rows: usize) -> Result<Vec<usize>> {
        let count = |share: &f64| ((share * rows as f64).round() as usize).clamp(1, rows.max(1));
        let mut counts: Vec<usize> = self.sizes.iter().map(count).collect();
        counts.sort_unstable();
        match counts.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(counts),
            Some(twice) => {
                let must = format!("shares of different numbers of the {rows} training rows");
                let got = format!("two shares of {}", twice[0]);
                Err(Error::invalid("TrainingSizeCurve::sizes", must, got))
            }
        }
    }

    /// One run for each repeat and size.
    fn plan(&self, splits: &[Split], counts: &[usize], seed: Seed) -> Result<Plan> {
        let architecture = self.learner.architectures().into_iter().next().unwrap_or_default();
        let mut runs = vec![];
        for (repeat, split) in splits.iter().enumerate() {
            let seed = seed.nth("repeat", repeat as u64);
            let order = in_shares(&split.train, self.data.strata(), seed.child("order"));
            for count in counts {
                let mut rows: Rows = order.iter().take(*count).copied().collect();
                rows.sort_unstable();
                let run = RunSpec::new(runs.len(), &architecture, seed.child("run"), rows);
                runs.push(RunSpec { settings: self.settings.clone(), ..run });
            }
        }
        Ok(Plan { runs, reserved: PlannedRows::none(), data: self.data.fingerprint(), seed })
    }
}

/// The rows in a random order in which the first rows, however many, have the strata in about the shares of
/// all rows: a row that is number `i` of the `n` of its stratum, from 0, has the place `(i + ½) / n`.
fn in_shares(rows: &[u32], strata: Option<&[u32]>, seed: Seed) -> Rows {
    let mut rows = rows.to_vec();
    rows.shuffle(&mut seed.rng());
    let Some(strata) = strata else { return rows };
    let stratum = |row: u32| strata.get(row as usize).copied().unwrap_or_default();
    let (mut sizes, mut seen) = (BTreeMap::<u32, f64>::new(), BTreeMap::<u32, f64>::new());
    rows.iter().for_each(|row| *sizes.entry(stratum(*row)).or_default() += 1.);
    let place = |row: u32| {
        let (of, before) = (stratum(row), seen.entry(stratum(row)).or_default());
        *before += 1.;
        ((*before - 0.5) / sizes.get(&of).copied().unwrap_or(1.), row)
    };
    let mut placed: Vec<(f64, u32)> = rows.into_iter().map(place).collect();
    // A stable sort: rows of equal places stay in their random order.
    placed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    placed.into_iter().map(|(_, row)| row).collect()
}
