//! What it gains to start from the weights of networks that were trained on other data.
mod report;
#[cfg(test)]
mod tests;

pub use report::{TransferReport, TransferRow};

use crate::{
    check,
    data::{Dataset, Split},
    evaluate::member_scores::member_scores,
    exec::Executor,
    metrics::{Metric, MetricList},
    network::{Aggregation, Output},
    observe::{Observer, Silent},
    plan::{Plan, RunSpec, Settings},
    strategy::MultiRun,
    train::{Freeze, Learner, Run, SharedBuild, Trainer, WarmStart},
    weights::InitScheme,
    Error, Network, Result, Rows, Seed, Session,
};
use candle_core::{DType, Device, Result as CandleResult};
use candle_nn::VarBuilder;

/// Compares networks that start from the weights of networks of another problem, with none or some of their
/// first layers frozen, with fresh networks.
///
/// ```text
/// source network s:   trained on the source data from fresh weights
/// fresh run (s, r):   trained on the target data from fresh weights
/// run (s, r) with k:  trained on the target data from the weights of s, with the first k layers frozen
/// ```
///
/// The runs `(s, r)` of all settings have the same seed, hence the same order of rows, so their differences
/// are paired. Every repeat has a source network of its own: the source network is part of what varies, often
/// the larger part, and target runs that share one look far more alike than they are. The interval is that of
/// the mean difference over source networks.
///
/// Use it to decide whether a warm start is worth it, and how many layers to freeze. On small problems it
/// often is not.
///
/// Cost: `repeats` trainings on the source, and `repeats × runs_per_source` trainings on the target for each
/// setting and for the fresh networks.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{evaluate::TransferStudy, prelude::*};
/// use candle_nn::{linear, Activation, VarBuilder};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.025, -1.)?.reshape((40, 2))?;
/// let source = TensorDataset::regression(&x, &x.sum(1)?)?;
/// let target = TensorDataset::regression(&x, &x.sqr()?.sum(1)?)?;
/// let trainer = Trainer::new(|vb: VarBuilder<'_>| {
///     Ok(seq().add(linear(2, 4, vb.pp("hidden"))?).add(Activation::Relu).add(linear(4, 1, vb.pp("out"))?))
/// });
/// let report = TransferStudy::new(&trainer.epochs(2), &source, &target).frozen(0..=1).repeats(3).run(42)?;
/// println!("{report}");
/// assert_eq!(report.rows.len(), 3); // fresh, no layer frozen, one layer frozen
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Yosinski et al. (2014), "How transferable are features in deep neural networks?", arXiv:1411.1792.
#[allow(missing_debug_implementations)] // data sets need not be Debug
pub struct TransferStudy<'a, N> {
    trainer: &'a Trainer<N>,
    source: &'a dyn Dataset,
    target: &'a dyn Dataset,
    test: Option<&'a dyn Dataset>,
    held_out: f64,
    frozen: Vec<usize>,
    repeats: usize,
    runs_per_source: usize,
    metric: Option<Metric>,
    allow_unmatched: bool,
    device: Device,
    executor: Option<&'a dyn Executor>,
    observer: &'a dyn Observer,
}

impl<'a, N: Network> TransferStudy<'a, N> {
    /// A study of networks of this trainer, from the source data to the target data.
    pub fn new(trainer: &'a Trainer<N>, source: &'a dyn Dataset, target: &'a dyn Dataset) -> Self {
        Self {
            trainer,
            source,
            target,
            test: None,
            held_out: 0.3,
            frozen: vec![0],
            repeats: 10,
            runs_per_source: 1,
            metric: None,
            allow_unmatched: false,
            device: Device::Cpu,
            executor: None,
            observer: &Silent,
        }
    }

    /// Sets the numbers of frozen layers that are compared, each fewer than the layers with weights. The
    /// default is 0 alone.
    #[must_use]
    pub fn frozen(mut self, layers: impl IntoIterator<Item = usize>) -> Self {
        self.frozen = layers.into_iter().collect();
        self
    }

    /// Sets the number of source networks, at least 1; the default is 10.
    #[must_use]
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// Sets the number of target runs of each source network, at least 1; the default is 1. With 2 or more
    /// the report tells the spread between source networks from that between runs.
    #[must_use]
    pub fn runs_per_source(mut self, runs: usize) -> Self {
        self.runs_per_source = runs;
        self
    }

    /// Sets the test rows of the target problem. By default a share of the target rows is held out.
    #[must_use]
    pub fn test(mut self, test: &'a dyn Dataset) -> Self {
        self.test = Some(test);
        self
    }

    /// Sets the share of the target rows, in (0, 1), on which networks are tested if there is no test data;
    /// the default is 0.3.
    #[must_use]
    pub fn held_out(mut self, share: f64) -> Self {
        self.held_out = share;
        self
    }

    /// Sets the metric; the default is the accuracy for classes and the root mean squared error for values.
    #[must_use]
    pub fn metric(mut self, metric: impl Into<Metric>) -> Self {
        self.metric = Some(metric.into());
        self
    }

    /// Sets whether variables that do not match between source and target stay fresh; see
    /// [`WarmStart::allow_unmatched`]. The default is `false`: they are an error.
    #[must_use]
    pub fn allow_unmatched(mut self, allow: bool) -> Self {
        self.allow_unmatched = allow;
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

    /// Sets the observer that is notified of each event of a build; there is one build for the source
    /// networks and one for each setting.
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Trains and tests all networks.
    ///
    /// # Errors
    /// When a parameter is out of range, the trainer has a warm start or frozen variables of its own or
    /// several architectures, the weights do not fit the networks, the test data has another task than the
    /// target data, or a run fails.
    pub fn run(&self, seed: impl Into<Seed>) -> Result<TransferReport> {
        let seed = seed.into();
        self.check()?;
        self.metric.as_ref().map_or(Ok(()), Metric::check_of_predictions)?;
        let sources = self.sources(seed)?;
        let (train, test, test_rows) = match self.test {
            Some(test) => ((0..self.target.rows() as u32).collect(), test, (0..test.rows() as u32).collect()),
            None => {
                let split = Split::of(self.target, self.held_out, seed.child("split"))?;
                (split.train, self.target, split.test)
            }
        };
        let task = self.target.task();
        let metric = self.metric.clone().unwrap_or_else(|| MetricList::for_task(task).headline().clone());
        let scored = Scored { test, rows: test_rows, metric };
        let runs = self.repeats * self.runs_per_source;
        let plan = self.plan(self.trainer, self.target, (runs, Some(&train)), seed.child("target"))?;
        let mut all = vec![(None, self.scores(self.trainer, &plan, &scored)?)];
        for layers in &self.frozen {
            let warm = |start: &WarmStart| {
                self.trainer.clone().warm_start(start.clone()).freeze(Freeze::FirstLayers(*layers))
            };
            let trainers = sources.iter().map(warm).collect();
            let learner = FromSources { trainers, runs_per_source: self.runs_per_source };
            all.push((Some(*layers), self.scores(&learner, &plan, &scored)?));
        }
        TransferReport::of(&scored.metric, self.runs_per_source, all)
    }

    fn check(&self) -> Result<()> {
        for (what, count) in [
            ("TransferStudy::repeats", self.repeats),
            ("TransferStudy::runs_per_source", self.runs_per_source),
            ("the number of settings in TransferStudy::frozen", self.frozen.len()),
        ] {
            if count == 0 {
                return Err(Error::invalid(what, "at least 1", 0));
            }
        }
        check::share("TransferStudy::held_out", self.held_out)?;
        if let Some((_, twice)) = self.frozen.iter().enumerate().find(|(i, k)| self.frozen[..*i].contains(k))
        {
            return Err(Error::invalid(
                "TransferStudy::frozen",
                "different numbers",
                format!("{twice} twice"),
            ));
        }
        if self.trainer.starts_warm() || self.trainer.config().freeze != Freeze::None {
            let must = "without a warm start and without frozen variables, which the study sets";
            return Err(Error::invalid("the trainer of a TransferStudy", must, "one with them"));
        }
        let (task, positions) = (self.target.task(), self.target.positions());
        match self.test {
            Some(test) if test.task() != task => {
                let must = format!("that of the target data, {task}");
                Err(Error::invalid("the task of the test data", must, test.task()))
            }
            Some(test) if test.positions().is_one() != positions.is_one() => Err(Error::invalid(
                "the test data",
                format!("{positions}, as the target data"),
                test.positions(),
            )),
            _ => Ok(()),
        }
    }

    fn session<'s, L: Learner>(&'s self, learner: &'s L, data: &'s dyn Dataset) -> Session<'s, L> {
        let mut session = Session::new(learner, data).device(&self.device).observer(self.observer);
        if let Some(executor) = self.executor {
            session = session.executor(executor);
        }
        session
    }

    /// A plan of this many runs on these rows, or on all.
    fn plan(
        &self,
        trainer: &Trainer<N>,
        data: &dyn Dataset,
        (runs, rows): (usize, Option<&Rows>),
        seed: Seed,
    ) -> Result<Plan> {
        let mut plan = self.session(trainer, data).plan(&MultiRun::new(runs), seed)?;
        if plan.runs.len() != runs {
            let must = "of one architecture";
            let got = format!("one of {}", trainer.architectures().len());
            return Err(Error::invalid("the trainer of a TransferStudy", must, got));
        }
        if let Some(rows) = rows {
            plan.runs.iter_mut().for_each(|run| run.train = rows.into());
        }
        Ok(plan)
    }

    /// The weights of the source networks.
    fn sources(&self, seed: Seed) -> Result<Vec<WarmStart>> {
        let plan = self.plan(self.trainer, self.source, (self.repeats, None), seed.child("source"))?;
        let members = self.session(self.trainer, self.source).train(&plan)?.into_members();
        let start =
            |member: crate::Member| Ok(WarmStart::new(member.weights)?.allow_unmatched(self.allow_unmatched));
        members.into_iter().map(start).collect()
    }

    /// The score of the network of each run of a plan, by source network and run.
    fn scores<L: Learner>(&self, learner: &L, plan: &Plan, scored: &Scored<'_>) -> Result<Vec<Vec<f64>>> {
        let pool = self.session(learner, self.target).train(plan)?;
        let scores = member_scores(&pool, scored.test, &scored.rows, &scored.metric)?;
        Ok(scores.chunks(self.runs_per_source).map(<[f64]>::to_vec).collect())
    }
}

/// The rows on which networks are tested, and the metric.
struct Scored<'a> {
    test: &'a dyn Dataset,
    rows: Rows,
    metric: Metric,
}

/// The trainers of the runs of a plan: consecutive runs share a source network.
struct FromSources<N> {
    trainers: Vec<Trainer<N>>,
    runs_per_source: usize,
}

impl<N: Network> FromSources<N> {
    fn of(&self, run: usize) -> Result<&Trainer<N>> {
        let trainer = self.trainers.get(run / self.runs_per_source.max(1));
        let must = format!("below {}", self.trainers.len() * self.runs_per_source);
        trainer.ok_or_else(|| Error::invalid("the number of a run", must, run))
    }
}

impl<N: Network> Learner for FromSources<N> {
    type Network = N;

    fn architectures(&self) -> Vec<String> {
        self.trainers.first().map_or_else(Vec::new, Learner::architectures)
    }

    fn build(&self, architecture: &str, settings: &Settings, vb: VarBuilder<'static>) -> CandleResult<N> {
        self.of(0)?.build(architecture, settings, vb)
    }

    fn shared_build(&self) -> Option<SharedBuild<N>> {
        self.of(0).ok()?.shared_build()
    }

    fn fit(&self, network: &N, run: &mut Run<'_>) -> CandleResult<()> {
        self.of(run.spec().id)?.fit(network, run)
    }

    fn tag(&self) -> String {
        self.trainers.iter().map(Learner::tag).collect::<Vec<_>>().join("; ")
    }

    fn epochs(&self, run: &RunSpec) -> usize {
        self.of(run.id).map_or(0, |trainer| Learner::epochs(trainer, run))
    }

    fn init(&self, settings: &Settings) -> Result<InitScheme> {
        Learner::init(self.of(0)?, settings)
    }

    fn aggregation(&self, settings: &Settings) -> Result<Aggregation> {
        self.of(0)?.aggregation(settings)
    }

    fn dtype(&self) -> DType {
        self.trainers.first().map_or(DType::F32, Learner::dtype)
    }

    fn output(&self) -> Output {
        self.trainers.first().map_or_else(Output::default, Learner::output)
    }

    fn check(&self, run: &RunSpec, data: &dyn Dataset) -> Result<()> {
        self.of(run.id)?.check(run, data)
    }
}
