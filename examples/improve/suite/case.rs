//! One case: a data set, a kind of network and a fault.
use super::{faults::Fault, networks::Kind, sets::Set, summary::Outcome};
use crate::args::Args;
use candle_ensemble::{
    data::{Dataset, Split, Task, TensorDataset},
    exec::Executor,
    improve::Improve,
    metrics::Metric,
    observe::Observer,
    plan::Value,
    remedy::Setup,
    statistics::Summary,
    train::Trainer,
    AnyNetwork, Result, Seed, Session,
};

/// A data set, a kind of network, and what is broken.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    set: Set,
    kind: Kind,
    fault: Fault,
    /// The number of a case that differs from others by its seed alone.
    copy: usize,
}

/// So many cases of each data set and network have no fault: what is left alone is a matter of chance, too.
const HEALTHY_COPIES: usize = 8;

/// Trainings of the setup without the fault, from which its spread is known. The result is the mean of as many.
const HEALTHY_RUNS: usize = 10;

impl Case {
    /// All cases: each fault that a data set can have, with a perceptron; on the digits with convolutions, too.
    pub fn all() -> Vec<Self> {
        let mut all = vec![];
        for fault in Fault::ALL {
            for set in Set::ALL.into_iter().filter(|set| fault.fits(*set)) {
                let copies = if fault == Fault::Healthy { HEALTHY_COPIES } else { 1 };
                for copy in 0..copies {
                    all.push(Self { set, kind: Kind::Perceptron, fault, copy });
                    if set == Set::Digits {
                        all.push(Self { set, kind: Kind::Convolutional, fault, copy });
                    }
                }
            }
        }
        all
    }

    pub fn name(&self) -> String {
        let name = format!("{}/{}/{}", self.set.name(), self.kind.name(), self.fault.name());
        match self.copy {
            0 => name,
            copy => format!("{name}-{}", copy + 1),
        }
    }

    /// Whether its name has one of the texts in it.
    pub fn selected(&self, texts: &[String]) -> bool {
        texts.is_empty() || texts.iter().any(|text| self.name().contains(text.as_str()))
    }

    /// The setup without the fault, with the scaling that the rows need.
    fn mended(&self) -> Setup {
        let mut setup = self.fault.mend_setup(self.set);
        let spoiled = self.fault.spoiled();
        for (name, factor) in
            [("input_scaling", spoiled.input_scale), ("target_scaling", spoiled.target_scale)]
        {
            if factor != 1. {
                setup.settings = setup.settings.with(name, Value::from("standardize"));
            }
        }
        setup
    }

    /// Improves the broken setup, and compares the result with the healthy one.
    pub fn run(&self, args: &Args, executor: &dyn Executor, observer: &dyn Observer) -> Result<Outcome> {
        let seed = Seed::from(args.seed).child(&self.name());
        let data = self.set.data(self.fault.spoiled(), seed)?;
        let columns = data.inputs().only()?.dim(1)?;
        let trainer = self.kind.trainer(columns, data.task());
        let split = match data.strata() {
            Some(strata) => Split::stratified(strata, 0.25, seed.child("test"))?,
            None => Split::random(data.rows(), 0.25, seed.child("test"))?,
        };
        let improved = Improve::new(&trainer, &data)
            .setup(self.fault.break_setup(self.set))
            .budget(args.budget())
            .test_rows(split.test.clone())
            .validation(self.fault.validation())
            .splits(args.splits)
            .runs_per_split(args.runs_per_split)
            .runs(args.runs)
            .final_runs(HEALTHY_RUNS)
            .attempts(args.attempts)
            .min_gain(args.min_gain)
            .executor(executor)
            .observer(observer)
            .run(seed)?;
        let healthy = self.healthy_scores(&trainer, &data, &split, executor, seed)?;
        Ok(Outcome::new(self.name(), self.fault, &improved.report, Summary::of(&healthy)?))
    }

    /// The scores of the setup without the fault on the rows of the final scores.
    fn healthy_scores(
        &self,
        trainer: &Trainer<AnyNetwork>,
        data: &TensorDataset,
        split: &Split,
        executor: &dyn Executor,
        seed: Seed,
    ) -> Result<Vec<f64>> {
        let (train, test) = (data.subset(&split.train)?, data.subset(&split.test)?);
        let strategy = self.mended().strategy()?;
        let metric = Metric::parse(match data.task() {
            Task::Classification { .. } => "nll",
            Task::Regression { .. } => "rmse",
        })?;
        let score = |run: usize| {
            let seed = seed.nth("healthy", run as u64);
            let pool = Session::new(trainer, &train).executor(executor).fit(&*strategy, seed)?;
            let predictions = pool.predictions(test.inputs().clone())?;
            metric.compute(&predictions.values().mean(0)?, test.targets(), None)
        };
        (0..HEALTHY_RUNS).map(score).collect()
    }
}
