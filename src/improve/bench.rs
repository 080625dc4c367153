//! What trains and scores setups for the loop.
use crate::{
    data::{Dataset, Split, Task, View},
    diagnose::{
        members, not_finite, Attempt, Attempts, Curve, CurveMetric, Curves, Finding, Measurements,
        Observations, OnFailure, OneBatchTest, Problem, TwoSampleTest,
    },
    evaluate::{study::test_rows::TestRows, RowTargets},
    improve::{
        builder::Improve,
        course::{Lab, Scores},
        curve,
        decisions::Decisions,
        gain::Measure,
        kept::{key, Kept},
        layout,
        together::{is_several_runs, members_are_runs, Together},
        Budget, ImproveEvent, RangeTested, Spent,
    },
    metrics::{Metric, MetricList, Truth},
    plan::Plan,
    pool::Pool,
    predictions::Predictions,
    remedy::{propose, Proposal, Setup, Start},
    store::EpochRecord,
    train::{signature, Learner, RangeTest, RangeTestReport, Trainer},
    Error, Member, Network, Result, Rows, Seed,
};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
};

/// The most validation rows whose predictions are looked at in a diagnosis.
const ROWS: usize = 1000;

/// A training of a setup: a split, and the number of the run on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    split: usize,
    run: usize,
}

/// What is kept of a training.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Trained {
    /// The metric that decides and the second one; NaN if it diverged.
    #[serde(with = "crate::codec::real::vec")]
    scores: Vec<f64>,
    /// The same of each member of several runs, one after the other; none if a training diverged.
    #[serde(with = "crate::codec::real::vec")]
    members: Vec<f64>,
    curve: Curve,
    /// The epochs of its first run, if it is for the diagnosis.
    records: Vec<EpochRecord>,
    /// What it predicts for some validation rows, if it is for the diagnosis and has not diverged.
    predicted: Option<Vec<f32>>,
    spent: Spent,
}

/// Trains setups on the splits of the rows that decisions are made on.
pub(super) struct Bench<'b, 'a, N> {
    improve: &'b Improve<'a, N>,
    /// The trainer, which monitors gradients and activations.
    trainer: Trainer<N>,
    view: &'b View<'a>,
    splits: Vec<BenchSplit<'b>>,
    metrics: MetricList,
    measures: Vec<Measure>,
    /// The value of each metric for the prediction without a model.
    no_model: Vec<f64>,
    start: Setup,
    seed: Seed,
    kept: &'b Kept,
    trained: BTreeMap<String, BTreeMap<Job, Trained>>,
    range_tests: BTreeMap<String, Option<RangeTestReport>>,
    /// What was measured of the rows of the first split.
    rows_measured: Option<Measurements>,
    /// What was measured of the network of each setup.
    networks_measured: BTreeMap<String, Measurements>,
    pub(super) range_tested: Vec<RangeTested>,
    spent: Spent,
    pub(super) tell: &'b dyn Fn(&ImproveEvent<'_>),
}

/// A split with its validation rows.
struct BenchSplit<'b> {
    split: Split,
    valid: View<'b>,
    rows: TestRows,
}

impl<'b, 'a, N: Network> Bench<'b, 'a, N> {
    pub(super) fn new(
        improve: &'b Improve<'a, N>,
        view: &'b View<'a>,
        start: Setup,
        seed: Seed,
        kept: &'b Kept,
        tell: &'b dyn Fn(&ImproveEvent<'_>),
    ) -> Result<Self> {
        let metrics = metrics(improve.metric.as_ref(), view.task())?;
        let splits = (0..improve.splits).map(|number| {
            let split = Split::of(view, improve.validation, seed.nth("split", number as u64))?;
            let valid = View::new(view, split.test.clone())?;
            let rows = TestRows::of(&valid, improve.target_scaler, metrics.clone())?;
            Ok(BenchSplit { split, valid, rows })
        });
        let splits = splits.collect::<Result<Vec<_>>>()?;
        let no_model = no_model(&TestRows::of(view, improve.target_scaler, metrics.clone())?, view.task())?;
        let measure = |(metric, value): (&Metric, &f64)| Measure::new(metric.higher_is_better(), *value);
        let measures = metrics.metrics().iter().zip(&no_model).map(measure).collect();
        let trainer = match improve.trainer.config().monitor {
            Some(_) => improve.trainer.clone(),
            None => improve.trainer.clone().monitor(Default::default()),
        };
        let (trained, range_tests, range_tested) = (BTreeMap::new(), BTreeMap::new(), vec![]);
        let spent = Spent::default();
        Ok(Self {
            improve,
            trainer,
            view,
            splits,
            metrics,
            measures,
            no_model,
            start,
            seed,
            kept,
            trained,
            range_tests,
            rows_measured: None,
            networks_measured: BTreeMap::new(),
            range_tested,
            spent,
            tell,
        })
    }

    /// The metric that decides.
    pub(super) fn metric(&self) -> &Metric {
        self.metrics.headline()
    }

    /// The value of the metric that decides for the prediction without a model.
    pub(super) fn no_model(&self) -> f64 {
        self.no_model.first().copied().unwrap_or(f64::NAN)
    }

    /// What the first diagnosis and the final scores of a setup cost at least.
    pub(super) fn least(&self) -> Result<Spent> {
        let jobs = self.jobs_of_diagnosis();
        Ok(self.planned(&self.start, jobs.into_iter())? + self.planned_finals(&self.start)?)
    }

    /// The jobs whose curves a diagnosis reads, and those that a comparison starts from.
    fn jobs_of_diagnosis(&self) -> Vec<Job> {
        let splits = (0..self.splits.len()).map(|split| Job { split, run: 0 });
        splits.chain((1..self.improve.runs).map(|run| Job { split: 0, run })).collect()
    }

    /// The jobs of a comparison on some splits: several runs of a single network, and one of an ensemble,
    /// whose members are runs already.
    fn jobs_of_comparison(&self, setup: &Setup, splits: Range<usize>) -> Result<Vec<Job>> {
        let single = self.plan(setup, Job { split: 0, run: 0 })?.runs.len() == 1;
        let runs = if single { self.improve.runs_per_split } else { 1 };
        Ok(splits.flat_map(|split| (0..runs).map(move |run| Job { split, run })).collect())
    }

    fn plan(&self, setup: &Setup, job: Job) -> Result<Plan> {
        let split = self.split(job)?;
        let seed = self.seed.nth("training", job.split as u64).nth("run", job.run as u64);
        layout::plan(setup, &self.trainer, self.view, (&split.split.train, &split.split.test), seed)
    }

    fn split(&self, job: Job) -> Result<&BenchSplit<'b>> {
        let must = || format!("below {}", self.splits.len());
        self.splits.get(job.split).ok_or_else(|| Error::invalid("a split", must(), job.split))
    }

    /// What jobs cost that have not been done.
    fn planned(&self, setup: &Setup, jobs: impl Iterator<Item = Job>) -> Result<Spent> {
        let done = self.trained.get(&key(setup)?);
        let left = jobs.filter(|job| done.is_none_or(|done| !done.contains_key(job)));
        left.map(|job| {
            let plan = self.plan(setup, job)?;
            Ok(Spent { trainings: plan.runs.len(), epochs: layout::epochs(&self.trainer, &plan.runs) })
        })
        .sum()
    }

    /// What the final scores of a setup cost.
    fn planned_finals(&self, setup: &Setup) -> Result<Spent> {
        let rows: Rows = (0..self.view.rows() as u32).collect();
        let plan = layout::plan(setup, &self.trainer, self.view, (&rows, &[]), self.seed)?;
        let (trainings, epochs) = (plan.runs.len(), layout::epochs(&self.trainer, &plan.runs));
        let runs = self.improve.final_runs;
        Ok(Spent { trainings: trainings.saturating_mul(runs), epochs: epochs.saturating_mul(runs) })
    }

    /// Trains and scores the jobs that have not been done.
    fn train(&mut self, setup: &Setup, jobs: &[Job]) -> Result<()> {
        let of_setup = key(setup)?;
        let mut left = vec![];
        for job in jobs {
            if self.trained.get(&of_setup).is_some_and(|done| done.contains_key(job)) {
                continue;
            }
            let plan = self.plan(setup, *job)?;
            let name = self.name(setup, *job, &plan)?;
            match self.kept.get::<Trained>(&name)? {
                Some(trained) => {
                    self.forget(&plan)?;
                    self.add(&of_setup, *job, trained);
                }
                None => left.push((*job, name, plan)),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let plans: Vec<Plan> = left.iter().map(|(_, _, plan)| plan.clone()).collect();
        let attempts = self.attempts(&plans)?;
        for ((job, name, plan), attempts) in left.into_iter().zip(attempts) {
            let trained = self.score(setup, job, &plan, &attempts)?;
            self.kept.put(&name, &trained)?;
            self.forget(&plan)?;
            self.add(&of_setup, job, trained);
        }
        Ok(())
    }

    /// The name of the file of a job: all that its result depends on.
    fn name(&self, setup: &Setup, job: Job, plan: &Plan) -> Result<String> {
        if self.improve.folder.is_none() {
            return Ok(String::new());
        }
        let networks = signature::of_runs(&self.trainer, &plan.runs, &self.improve.device)?;
        let tag = self.trainer.tag();
        let runs = plan.runs.iter().zip(&networks).map(|(run, network)| plan.key(run, &tag, network, 0));
        let runs = runs.collect::<Result<Vec<_>>>()?;
        let split = &self.split(job)?.split;
        let score = (&split.test, self.metrics.names(), job.split == 0);
        Ok(format!("training-{}", key(&(runs, setup, &plan.reserved, score))?))
    }

    fn add(&mut self, of_setup: &str, job: Job, trained: Trained) {
        self.spent += trained.spent;
        self.trained.entry(of_setup.to_owned()).or_default().insert(job, trained);
    }

    fn runner(&self) -> Attempts<'_, N> {
        let folder = self.improve.folder.as_ref().map(|folder| folder.join("members"));
        self.improve.attempts_on(&self.trainer, self.view, folder)
    }

    fn attempts(&self, plans: &[Plan]) -> Result<Vec<Vec<Attempt>>> {
        self.runner().train(plans)
    }

    fn forget(&self, plan: &Plan) -> Result<()> {
        self.runner().forget(plan)
    }

    /// The result of a training.
    fn score(&self, setup: &Setup, job: Job, plan: &Plan, attempts: &[Attempt]) -> Result<Trained> {
        let split = self.split(job)?;
        let epochs = attempts.iter().map(|attempt| attempt.records().len()).sum();
        let spent = Spent { trainings: attempts.len(), epochs };
        let other_metric =
            setup.config(self.trainer.config())?.early_stopping.is_some_and(|rule| rule.metric.is_some());
        let mut trained = Trained {
            scores: vec![f64::NAN; self.metrics.metrics().len()],
            members: vec![],
            curve: curve::of_attempts(attempts, !other_metric),
            records: vec![],
            predicted: None,
            spent,
        };
        if job.split == 0 {
            trained.records = attempts.first().map(|attempt| attempt.records().to_vec()).unwrap_or_default();
        }
        let Some(members) = members(attempts, plan) else { return Ok(trained) };
        let pool = self.improve.pool(members, &self.trainer, self.view, plan)?;
        let ensemble = match not_finite(Together::of(setup)?.ensemble(&pool))? {
            Some(ensemble) => ensemble,
            None => return Ok(trained),
        };
        let Some(predicted) = not_finite(ensemble.on(&split.valid).predict_scored(&split.rows.scored()))?
        else {
            return Ok(trained);
        };
        trained.scores = split.rows.scores(&split.rows.in_units(&predicted)?)?;
        check_range(self.metric(), trained.scores.first().copied().unwrap_or(f64::NAN))?;
        if is_several_runs(setup) {
            let members = ensemble.on(&split.valid).members_scored(&split.rows.scored())?;
            for member in 0..members.dim(0)? {
                let scores = split.rows.scores(&split.rows.in_units(&members.get(member)?)?)?;
                trained.members.extend(scores);
            }
        }
        if job.split == 0 {
            let rows = Tensor::new(some_rows(predicted.dim(0)?), &Device::Cpu)?;
            let some = predicted.to_device(&Device::Cpu)?.index_select(&rows, 0)?;
            trained.predicted = Some(some.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1()?);
        }
        Ok(trained)
    }

    /// The curves of the runs on the first split.
    fn curves(&self, setup: &Setup) -> Result<(Curves, Vec<&Trained>)> {
        let done = self.trained.get(&key(setup)?);
        let runs = (0..self.improve.runs).filter_map(|run| done?.get(&Job { split: 0, run }));
        let runs: Vec<&Trained> = runs.collect();
        let mut curves = Curves::new(runs.iter().map(|run| run.curve.clone()).collect());
        curves.metric = Some(match self.view.task() {
            Task::Classification { .. } => CurveMetric::Accuracy,
            Task::Regression { .. } => CurveMetric::Rmse,
        });
        let plan = self.plan(setup, Job { split: 0, run: 0 })?;
        if let Some(run) = plan.runs.first() {
            curves.train_rows = Some(run.train.bitmap()?.len());
            curves.valid_rows = Some(run.valid.bitmap()?.len());
        }
        Ok((curves, runs))
    }

    /// What the runs on the first split predict for some of its validation rows, and the targets.
    fn predictions(&self, runs: &[&Trained]) -> Result<Option<(Predictions, RowTargets)>> {
        let Some(split) = self.splits.first() else { return Ok(None) };
        let rows = some_rows(split.rows.targets().dim(0)?);
        let predicted: Vec<&Vec<f32>> = runs.iter().filter_map(|run| run.predicted.as_ref()).collect();
        if predicted.is_empty() {
            return Ok(None);
        }
        let (task, count) = (self.view.task(), rows.len());
        let all: Vec<f32> = predicted.iter().flat_map(|values| values.iter().copied()).collect();
        let values = Tensor::from_vec(all, (predicted.len(), count, task.width()), &Device::Cpu)?;
        let targets = match task {
            Task::Classification { classes } => {
                let all = split.rows.targets().to_vec1::<u32>()?;
                let some: Vec<u32> = rows.iter().filter_map(|row| all.get(*row as usize).copied()).collect();
                RowTargets::classes(&some, classes)?
            }
            Task::Regression { outputs } => {
                let batch = split.valid.batch(&rows, &Device::Cpu)?;
                RowTargets::values(&batch.targets.reshape((count, outputs))?)?
            }
        };
        Ok(Some((Predictions::new(values, task)?, targets)))
    }

    /// Measures the rows of the first split, once. A measurement that fails says nothing; the loop goes on without it.
    fn measure_rows(&mut self) -> Result<()> {
        if let (None, Some(first)) = (&self.rows_measured, self.splits.first()) {
            let (test, seed) = (TwoSampleTest::default(), self.seed.child("row checks"));
            let measured = Measurements::default();
            let measured = measured.of_rows(self.view, &first.split, &test, seed, OnFailure::LeaveOut)?;
            self.rows_measured = Some(measured);
        }
        Ok(())
    }

    /// Measures the network of a setup, once. A measurement that fails says nothing; the loop goes on without it.
    fn measure_network(&mut self, setup: &Setup) -> Result<()> {
        let of_setup = key(setup)?;
        if self.networks_measured.contains_key(&of_setup) {
            return Ok(());
        }
        let plan = self.plan(setup, Job { split: 0, run: 0 })?;
        if let Some(run) = plan.runs.first() {
            let (one_batch, measured) = (OneBatchTest::default(), Measurements::default());
            let test = (&one_batch, &self.improve.device);
            let measured = measured.of_network(&self.trainer, self.view, run, test, OnFailure::LeaveOut)?;
            self.networks_measured.insert(of_setup, measured);
        }
        Ok(())
    }

    /// The range test of the learning rate of a setup; `None` if it cannot be run.
    fn range_test(&mut self, setup: &Setup, steps: usize) -> Result<Option<RangeTestReport>> {
        let of_setup = key(setup)?;
        if let Some(known) = self.range_tests.get(&of_setup) {
            return Ok(known.clone());
        }
        let plan = self.plan(setup, Job { split: 0, run: 0 })?;
        let report = plan.runs.first().and_then(|run| {
            // One that cannot be run says nothing; the loop goes on without it.
            RangeTest::default().run_on(&self.trainer, self.view, run, &self.improve.device).ok()
        });
        if let Some(report) = &report {
            (self.tell)(&ImproveEvent::RangeTested { report });
            self.range_tested.push(RangeTested { after_steps: steps, report: report.clone() });
        }
        self.range_tests.insert(of_setup, report.clone());
        Ok(report)
    }
}

impl<N: Network> Lab for Bench<'_, '_, N> {
    fn split_rows(&self) -> (usize, usize) {
        let rows = |split: &BenchSplit<'_>| (split.split.test.len(), split.split.train.len());
        self.splits.first().map_or((1, 1), rows)
    }

    fn measure(&self) -> Measure {
        self.measures.first().copied().unwrap_or(Measure { higher_is_better: false, floor: 1e-12 })
    }

    fn guard(&self) -> Option<(String, Measure)> {
        let names = self.metrics.names();
        names.into_iter().zip(self.measures.iter().copied()).nth(1)
    }

    fn diagnose(&mut self, setup: &Setup) -> Result<(Curves, Vec<Finding>)> {
        let jobs = self.jobs_of_diagnosis();
        let trainings = self.planned(setup, jobs.iter().copied())?.trainings;
        (self.tell)(&ImproveEvent::Diagnosing { trainings });
        self.train(setup, &jobs)?;
        self.measure_rows()?;
        self.measure_network(setup)?;
        let (curves, runs) = self.curves(setup)?;
        let (config, predictions) = (setup.config(self.trainer.config())?, self.predictions(&runs)?);
        let records = runs.iter().map(|run| run.records.as_slice()).collect();
        let seen = Observations {
            curves: Some(&curves),
            config: Some(&config),
            task: Some(self.view.task()),
            records,
            predictions: predictions.as_ref().map(|(predictions, targets)| (predictions, targets)),
            output: Some(Learner::output(&self.trainer)),
            ..Observations::default()
        };
        let measured = self.rows_measured.iter().chain(self.networks_measured.get(&key(setup)?));
        let findings = self.improve.diagnose(measured.fold(seen, Observations::measurements))?;
        Ok((curves, findings))
    }

    fn propose(&mut self, finding: &Finding, setup: &Setup, steps: usize) -> Result<Vec<Proposal>> {
        let report = match finding.problem {
            Problem::Learning => self.range_test(setup, steps)?,
            _ => None,
        };
        let (train, _) = self.splits.first().map_or((0, 0), |s| (s.split.train.len(), s.split.test.len()));
        let mut start = Start::new(self.improve.trainer.config(), setup)?;
        start = start.reads(self.trainer.reads()).output(Learner::output(&self.trainer));
        start = start.task(self.view.task()).rows(train);
        if let Some(features) = features(self.view)? {
            start = start.features(features);
        }
        if let Some(report) = &report {
            start = start.range_test(report);
        }
        if let Some(scales) = self.rows_measured.as_ref().and_then(|measured| measured.scales.as_ref()) {
            start = start.scales(scales);
        }
        Ok(propose(&self.improve.remedies, std::slice::from_ref(finding), &start))
    }

    fn prepare(&self, setup: Setup) -> Result<Setup> {
        let setup = layout::completed(&setup, &self.trainer)?;
        let plan = self.plan(&setup, Job { split: 0, run: 0 })?;
        plan.runs.iter().try_for_each(|run| Learner::check(&self.trainer, run, self.view))?;
        Ok(setup)
    }

    fn scores(&mut self, setup: &Setup, splits: Range<usize>) -> Result<Vec<Vec<Scores>>> {
        let jobs = self.jobs_of_comparison(setup, splits.clone())?;
        self.train(setup, &jobs)?;
        let done = self.trained.get(&key(setup)?);
        let score = |job: &Job| {
            let trained = done.and_then(|done| done.get(job));
            Scores::of(trained.map_or(&[][..], |trained| &trained.scores))
        };
        let of_split = |split: usize| jobs.iter().filter(|job| job.split == split).map(score).collect();
        Ok(splits.map(of_split).collect())
    }

    fn baseline(&mut self, setup: &Setup, changed: &Setup, splits: Range<usize>) -> Result<Vec<Vec<Scores>>> {
        if members_are_runs(setup, changed) {
            let done = self.trained.get(&key(changed)?);
            let of_members = |split: usize| {
                let trained = done.and_then(|done| done.get(&Job { split, run: 0 }));
                let scores = trained.map_or(&[][..], |trained| &trained.members);
                scores.chunks(self.measures.len().max(1)).map(Scores::of).collect::<Vec<_>>()
            };
            let members: Vec<Vec<Scores>> = splits.clone().map(of_members).collect();
            if members.iter().all(|members| !members.is_empty()) {
                return Ok(members);
            }
        }
        self.scores(setup, splits)
    }

    fn cost(&self, setup: &Setup, changed: &Setup) -> Result<Spent> {
        let all = 0..self.splits.len();
        let of =
            |setup: &Setup| self.planned(setup, self.jobs_of_comparison(setup, all.clone())?.into_iter());
        let without = if members_are_runs(setup, changed) { Spent::default() } else { of(setup)? };
        Ok(without + of(changed)?)
    }

    fn affords(&self, setup: &Setup, changed: &Setup, decisions: &mut Decisions<'_>) -> Result<bool> {
        if self.improve.budget == Budget::Unlimited {
            return Ok(true);
        }
        let finals = self.planned_finals(&self.start)? + self.planned_finals(changed)?;
        let compared: BTreeSet<Job> =
            self.jobs_of_comparison(changed, 0..self.splits.len())?.into_iter().collect();
        let of_diagnosis = self.jobs_of_diagnosis().into_iter().filter(|job| !compared.contains(job));
        let planned = self.cost(setup, changed)? + self.planned(changed, of_diagnosis)? + finals;
        match self.improve.budget {
            Budget::Unlimited => Ok(true),
            Budget::Trainings(most) => Ok(self.spent.trainings.saturating_add(planned.trainings) <= most),
            Budget::Epochs(most) => Ok(self.spent.epochs.saturating_add(planned.epochs) <= most),
            Budget::Time(most) => {
                let done = self.spent.epochs.max(1) as f64;
                decisions.time(|seconds| seconds * (1. + planned.epochs as f64 / done) <= most.as_secs_f64())
            }
        }
    }

    fn spent(&self) -> Spent {
        self.spent
    }
}

/// The metrics: that which decides and, where it is the default one of classes, the accuracy.
fn metrics(own: Option<&Metric>, task: Task) -> Result<MetricList> {
    let list = match (own, task) {
        (Some(own), _) => MetricList::new(vec![own.clone()])?,
        (None, Task::Classification { .. }) => MetricList::parse("nll,accuracy")?,
        (None, Task::Regression { .. }) => MetricList::parse("rmse")?,
    };
    list.check_of_predictions(task)?;
    Ok(list)
}

/// Checks that a metric is a loss of 0 or more, or one of at most 1 that is better the higher it is: a gain
/// is a share.
fn check_range(metric: &Metric, value: f64) -> Result<()> {
    let what = || format!("the metric {} of the improvement", metric.name());
    match metric.higher_is_better() {
        true if value > 1. => Err(Error::invalid(what(), "at most 1, as higher is better", value)),
        false if value < 0. => Err(Error::invalid(what(), "0 or more, as lower is better", value)),
        _ => Ok(()),
    }
}

/// The metrics of the prediction without a model: the shares of the classes, or the means of the values.
fn no_model(rows: &TestRows, task: Task) -> Result<Vec<f64>> {
    let (count, width) = (rows.targets().dim(0)?, task.width());
    let weight = |row: usize| rows.weights().map_or(1., |all| all.get(row).copied().unwrap_or_default());
    let total: f64 = (0..count).map(weight).sum();
    let mut mean = vec![0f64; width];
    let mut add = |column: usize, term: f64| {
        if let Some(mean) = mean.get_mut(column) {
            *mean += term / total;
        }
    };
    match rows.truth() {
        Truth::Classes(ids) => ids.iter().enumerate().for_each(|(row, id)| add(*id as usize, weight(row))),
        Truth::Values(values) => {
            let width = width.max(1);
            let cells = values.iter().enumerate();
            cells.for_each(|(cell, value)| add(cell % width, weight(cell / width) * value));
        }
    }
    let constant =
        Tensor::from_vec(mean, (1, width), &Device::Cpu)?.broadcast_as((count, width))?.contiguous()?;
    // A metric that is not defined for a constant has no value without a model.
    Ok(rows.scores(&constant).unwrap_or_else(|_| vec![f64::NAN; rows.metrics().metrics().len()]))
}

/// Evenly spaced rows, or positions of rows, at most a number of them.
fn some_rows(rows: usize) -> Rows {
    let count = rows.min(ROWS);
    (0..count).map(|i| (i * rows / count) as u32).collect()
}

/// The number of columns of the inputs, if they are one table.
fn features(view: &View<'_>) -> Result<Option<usize>> {
    let batch = view.batch(&[0], &Device::Cpu)?;
    Ok(batch.inputs.only().ok().and_then(|inputs| inputs.dims2().ok()).map(|(_, columns)| columns))
}

impl<'a, N: Network> Improve<'a, N> {
    /// What trains runs with a trainer on a view.
    pub(super) fn attempts_on<'b>(
        &'b self,
        trainer: &'b Trainer<N>,
        view: &'b View<'b>,
        folder: Option<PathBuf>,
    ) -> Attempts<'b, N> {
        Attempts {
            trainer,
            data: view,
            device: &self.device,
            executor: self.executor,
            observer: self.observer,
            checkpoints: self.checkpoints,
            folder,
        }
    }

    /// The pool of the members of a plan.
    pub(super) fn pool<'p>(
        &self,
        members: Vec<Member>,
        trainer: &'p Trainer<N>,
        view: &'p View<'_>,
        plan: &Plan,
    ) -> Result<Pool<'p, Trainer<N>>> {
        Pool::new(members, trainer, view, self.device.clone(), (plan.reserved.to_vec()?, plan.seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TensorDataset;

    /// Shares 1/4 and 3/4: the entropy is ln 4 − 3/4 ln 3. Values 1, 2, 3 and 6: the standard deviation is
    /// √3.5.
    #[test]
    fn the_prediction_without_a_model() {
        let x = Tensor::zeros((4, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        let y = Tensor::new(&[0u32, 1, 1, 1], &Device::Cpu).unwrap();
        let classes = TensorDataset::classification(&x, &y).unwrap();
        let list = metrics(None, classes.task()).unwrap();
        let rows = TestRows::of(&classes, None, list).unwrap();
        let got = no_model(&rows, classes.task()).unwrap();
        assert!((got[0] - (4f64.ln() - 0.75 * 3f64.ln())).abs() < 1e-12 && got[1] == 0.75, "{got:?}");
        let y = Tensor::new(&[1f32, 2., 3., 6.], &Device::Cpu).unwrap();
        let values = TensorDataset::regression(&x, &y).unwrap();
        let rows = TestRows::of(&values, None, metrics(None, values.task()).unwrap()).unwrap();
        assert!((no_model(&rows, values.task()).unwrap()[0] - 3.5f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_metric_must_be_a_loss_or_a_share() {
        let [rmse, r2] = ["rmse", "r2"].map(|name| Metric::parse(name).unwrap());
        assert!(check_range(&rmse, 0.).is_ok() && check_range(&rmse, f64::NAN).is_ok());
        assert!(check_range(&r2, -3.).is_ok() && check_range(&r2, 1.1).is_err());
        let error = check_range(&rmse, -1.).unwrap_err().to_string();
        assert_eq!(
            error,
            "the metric rmse of the improvement must be 0 or more, as lower is better, but is -1"
        );
    }

    #[test]
    fn rows_are_spaced_evenly() {
        assert_eq!(some_rows(3), [0, 1, 2]);
        let rows = some_rows(2500);
        assert!(rows.len() == ROWS && rows[0] == 0 && rows[999] == 2497 && rows[500] == 1250);
    }
}
