//! Everything that can be found out about a network and its data.
use crate::{
    data::{Dataset, Split, Task, View},
    diagnose::{
        attempts::{not_finite, Attempt, Attempts},
        CurveMetric, Curves, Diagnose, Diagnosis, Measurements, OnFailure, OneBatchTest, Rule, TwoSampleTest,
    },
    evaluate::{RowTargets, TrainingSizeCurve, TrainingSizeReport},
    exec::Executor,
    network::Scale,
    observe::{Observer, Silent},
    plan::{Plan, RunSpec, Settings},
    pool::Pool,
    predictions::{passes::Source, scored_rows::ScoredRows, Predictions},
    resample::PlannedRows,
    store::{Checkpoints, EpochRecord},
    train::{Learner, Monitor, Trainer},
    Error, Member, Network, Result, Rows, Seed,
};
use candle_core::Device;
use std::path::PathBuf;

/// The most validation rows whose predictions are looked at.
const ROWS: usize = 1000;
/// The most numbers among the predictions of a network for their positions, where rows have several.
const NUMBERS: usize = 1 << 20;

/// Examines a network and its data: measures what can be measured before a training, trains it several times, and
/// diagnoses what it sees.
///
/// | measured | by |
/// |---|---|
/// | the scales of inputs and targets | [`ScaleCheck`] |
/// | the loss before the first step | [`FirstLoss`] |
/// | whether it can fit one batch | [`OneBatchTest`] |
/// | duplicates, groups and drift between training and validation rows | [`SplitCheck`], [`TwoSampleTest`] |
/// | columns that know the target | [`LeakCheck`] |
/// | learning curves of several runs, gradients and activations | [`Monitor`] |
/// | whether more rows would help, if it is asked for | [`TrainingSizeCurve`] |
/// | how far the runs differ, and what an ensemble takes away | predictions for validation rows |
///
/// The rows are split once into training and validation rows: whole groups where the data has groups, otherwise in
/// proportion to the strata where it has strata. All runs train on the same rows and differ in their seeds. The validation
/// rows are evaluated after each epoch; early stopping watches them, if the trainer has it. A run that diverges is a
/// learning curve that ends in NaN, and not an error.
///
/// Rows with several positions, such as images with a class for each pixel, texts, and rows with several labels, are examined
/// too. Rows stay whole: a row is what is split, drawn and counted, as its positions are alike. Losses and metrics are those
/// of all positions; where a check looks at the target of a row, it is the share of each class among its positions, or each
/// label. The predictions that tell how far the runs differ are those of some positions of each row, where there are many.
///
/// The result depends on the trainer, the data, the parameters and the seed alone.
///
/// Cost: the trainings of the runs, up to three times as many steps on one batch as [`OneBatchTest::steps`] says, two
/// trainings of a small network, and a few passes over the rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, diagnose::Examination, train::{Optimizer, Trainer}};
///
/// let x = Tensor::arange(0f32, 160., &Device::Cpu)?.affine(0.0125, -1.)?.reshape((80, 2))?;
/// let data = TensorDataset::regression(&x, &x.sum(1)?.affine(1000., 50_000.)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).optimizer(Optimizer::adam(0.01)).epochs(5);
/// let examined = Examination::new(&trainer, &data).runs(2).run(42)?;
/// assert!(examined.diagnosis.get("unscaled_targets").is_some());
/// println!("{}", examined.diagnosis);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// [`FirstLoss`]: crate::diagnose::FirstLoss
/// [`LeakCheck`]: crate::diagnose::LeakCheck
/// [`ScaleCheck`]: crate::diagnose::ScaleCheck
/// [`SplitCheck`]: crate::evaluate::SplitCheck
#[allow(missing_debug_implementations)] // neither network nor data set need be Debug
pub struct Examination<'a, N> {
    trainer: &'a Trainer<N>,
    data: &'a dyn Dataset,
    settings: Settings,
    runs: usize,
    validation: f64,
    one_batch: OneBatchTest,
    two_sample: TwoSampleTest,
    training_sizes: Option<TrainingSizes>,
    device: Device,
    executor: Option<&'a dyn Executor>,
    observer: &'a dyn Observer,
    folder: Option<PathBuf>,
    checkpoints: Checkpoints,
    rules: Vec<Box<dyn Rule + 'a>>,
}

/// What scores are measured for: shares of the training rows, and random splits.
struct TrainingSizes {
    shares: Vec<f64>,
    repeats: usize,
}

/// What an [`Examination`] has found out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examined {
    /// The findings.
    pub diagnosis: Diagnosis,
    /// The training and the validation rows.
    pub split: Split,
    /// The learning curves, one a run.
    pub curves: Curves,
    /// The epochs of each run, with what its monitor measured.
    pub records: Vec<Vec<EpochRecord>>,
    /// The members of the runs that did not diverge.
    pub members: Vec<Member>,
    /// What was measured apart from the training.
    pub measurements: Measurements,
    /// The scores on training sets of several sizes; `None` if they were not asked for, or a training of them diverged.
    pub training_size: Option<TrainingSizeReport>,
}

impl<'a, N: Network> Examination<'a, N> {
    /// Examines a trainer with its first architecture on a data set, with the defaults.
    #[must_use]
    pub fn new(trainer: &'a Trainer<N>, data: &'a dyn Dataset) -> Self {
        Self {
            trainer,
            data,
            settings: Settings::new(),
            runs: 5,
            validation: 0.25,
            one_batch: OneBatchTest::default(),
            two_sample: TwoSampleTest::default(),
            training_sizes: None,
            device: Device::Cpu,
            executor: None,
            observer: &Silent,
            folder: None,
            checkpoints: Checkpoints::default(),
            rules: vec![],
        }
    }

    /// Sets settings of the runs, which replace those of the trainer. The default is none.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the number of runs, at least 1. The default is 5; the spread from run to run needs 2.
    #[must_use]
    pub fn runs(mut self, runs: usize) -> Self {
        self.runs = runs;
        self
    }

    /// Sets the share of validation rows, in (0, 1). The default is 0.25.
    #[must_use]
    pub fn validation(mut self, share: f64) -> Self {
        self.validation = share;
        self
    }

    /// Sets the test on one batch.
    #[must_use]
    pub fn one_batch(mut self, test: OneBatchTest) -> Self {
        self.one_batch = test;
        self
    }

    /// Sets the test of whether training and validation rows can be told apart.
    #[must_use]
    pub fn two_sample(mut self, test: TwoSampleTest) -> Self {
        self.two_sample = test;
        self
    }

    /// Also measures whether more training rows would help: a [`TrainingSizeCurve`] over these shares of the training
    /// rows, with this number of random splits of them. The share of the rows that are validation rows is the one of the
    /// examination.
    ///
    /// By default, it is not measured, because it costs `repeats` trainings for each share, which the
    /// [`folder`](Self::folder) does not keep. It needs a trainer of one architecture that can train without validation
    /// rows.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{data::TensorDataset, diagnose::Examination, train::Trainer};
    ///
    /// let x = Tensor::arange(0f32, 160., &Device::Cpu)?.affine(0.0125, -1.)?.reshape((80, 2))?;
    /// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(5);
    /// let examined = Examination::new(&trainer, &data).runs(2).training_sizes([0.5, 1.], 3).run(42)?;
    /// let report = examined.training_size.unwrap();
    /// assert_eq!(report.points.iter().map(|point| point.rows).collect::<Vec<_>>(), [23, 45]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn training_sizes(mut self, shares: impl IntoIterator<Item = f64>, repeats: usize) -> Self {
        self.training_sizes = Some(TrainingSizes { shares: shares.into_iter().collect(), repeats });
        self
    }

    /// Sets the device on which networks train; the default is the CPU.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// Sets how many runs train at a time. By default, one on each core of the CPU, and on a GPU one after the other.
    #[must_use]
    pub fn executor(mut self, executor: &'a dyn Executor) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Sets the observer that is notified of the events of the runs.
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Sets a folder in which the runs are kept: an examination that was interrupted does not train them again.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Sets how often the state of an unfinished run is written to the folder.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Adds a rule to the diagnosis.
    #[must_use]
    pub fn rule(mut self, rule: Box<dyn Rule + 'a>) -> Self {
        self.rules.push(rule);
        self
    }

    /// Examines the network.
    ///
    /// # Errors
    /// When a parameter is out of range; when the trainer cannot carry out the runs; when the data cannot be read or a
    /// number of it is NaN or infinite; when a run fails for another reason than that it diverges; when the observer stops
    /// it.
    pub fn run(self, seed: impl Into<Seed>) -> Result<Examined> {
        if self.runs == 0 {
            return Err(Error::invalid("the number of runs of an examination", "at least 1", 0));
        }
        let seed = seed.into().child("examination");
        let split = Split::of(self.data, self.validation, seed.child("split"))?;
        let trainer = match self.trainer.config().monitor {
            Some(_) => self.trainer.clone(),
            None => self.trainer.clone().monitor(Monitor::default()),
        };
        let plan = self.plan(&split, seed);
        let first =
            plan.runs.first().ok_or_else(|| Error::invalid("the plan", "of at least one run", "empty"))?;
        Learner::check(&trainer, first, self.data)?;

        let (test, failed) = ((&self.one_batch, &self.device), OnFailure::Fail);
        let measurements = Measurements::default()
            .of_rows(self.data, &split, &self.two_sample, seed, failed)?
            .of_network(&trainer, self.data, first, test, failed)?;

        let training_size = self.training_size(&split, seed)?;
        let attempts = self.train(&trainer, &plan)?;
        let curves = self.curves(&trainer, &attempts, &split)?;
        let records: Vec<Vec<EpochRecord>> =
            attempts.iter().map(|attempt| attempt.records().to_vec()).collect();
        let members: Vec<Member> = attempts
            .into_iter()
            .flat_map(|attempt| match attempt {
                Attempt::Trained(members) => members,
                Attempt::Diverged(_) => vec![],
            })
            .collect();
        let predicted = self.predictions(&trainer, &members, &split, seed)?;

        let config = trainer.config().for_run(&self.settings)?;
        let mut diagnose = Diagnose::curves(&curves)
            .config(&config)
            .task(self.data.task())
            .output(Learner::output(&trainer))
            .records(records.iter().map(Vec::as_slice))
            .measurements(&measurements);
        if let Some((predictions, targets)) = &predicted {
            diagnose = diagnose.predictions(predictions, targets);
        }
        if let Some(report) = &training_size {
            diagnose = diagnose.training_size(report);
        }
        let diagnosis = self.rules.into_iter().fold(diagnose, Diagnose::rule).run()?;
        Ok(Examined { diagnosis, split, curves, records, members, measurements, training_size })
    }

    fn plan(&self, split: &Split, seed: Seed) -> Plan {
        let architecture = self.trainer.architectures().into_iter().next().unwrap_or_default();
        let run = |id: usize| {
            let seed = seed.nth("run", id as u64);
            let run = RunSpec::new(id, &architecture, seed, split.train.clone());
            RunSpec { valid: (&split.test).into(), settings: self.settings.clone(), ..run }
        };
        let runs = (0..self.runs).map(run).collect();
        Plan { runs, reserved: PlannedRows::none(), data: self.data.fingerprint(), seed }
    }

    /// The scores on several numbers of the training rows.
    fn training_size(&self, split: &Split, seed: Seed) -> Result<Option<TrainingSizeReport>> {
        let Some(TrainingSizes { shares, repeats }) = &self.training_sizes else { return Ok(None) };
        let rows = View::new(self.data, split.train.clone())?;
        let mut curve = TrainingSizeCurve::new(self.trainer, &rows)
            .settings(self.settings.clone())
            .sizes(shares.iter().copied())
            .repeats(*repeats)
            .held_out(self.validation)
            .device(&self.device)
            .observer(self.observer);
        if let Some(executor) = self.executor {
            curve = curve.executor(executor);
        }
        not_finite(curve.run(seed.child("training sizes")))
    }

    fn train(&self, trainer: &Trainer<N>, plan: &Plan) -> Result<Vec<Attempt>> {
        let attempts = Attempts {
            trainer,
            data: self.data,
            device: &self.device,
            executor: self.executor,
            observer: self.observer,
            checkpoints: self.checkpoints,
            folder: self.folder.clone(),
        };
        Ok(attempts.train(std::slice::from_ref(plan))?.into_iter().flatten().collect())
    }

    fn curves(&self, trainer: &Trainer<N>, attempts: &[Attempt], split: &Split) -> Result<Curves> {
        let config = trainer.config().for_run(&self.settings)?;
        // A metric that early stopping watches is not the one of the training rows.
        let same_metric = config.early_stopping.is_none_or(|rule| rule.metric.is_none());
        let mut curves = Curves::new(attempts.iter().map(|attempt| attempt.curve(same_metric)).collect());
        curves.metric = Some(match self.data.task() {
            Task::Classification { .. } => CurveMetric::Accuracy,
            Task::Regression { .. } => CurveMetric::Rmse,
        });
        (curves.train_rows, curves.valid_rows) = (Some(split.train.len()), Some(split.test.len()));
        Ok(curves)
    }

    /// What the runs predict for some validation rows, and the targets; `None` if no run is left.
    fn predictions(
        &self,
        trainer: &Trainer<N>,
        members: &[Member],
        split: &Split,
        seed: Seed,
    ) -> Result<Option<(Predictions, RowTargets)>> {
        if members.is_empty() {
            return Ok(None);
        }
        let rows = split.test.get(..split.test.len().min(ROWS)).unwrap_or(&split.test);
        let pool = Pool::new(members.to_vec(), trainer, self.data, self.device.clone(), (Rows::new(), seed))?;
        let task = self.data.task();
        if !self.data.positions().is_one() {
            let scored = ScoredRows::at_most(self.data, rows, NUMBERS)?;
            let targets = RowTargets::classes(&scored.targets.to_vec1()?, task.width())?;
            let passes = pool.passes(Source::Rows(self.data, rows));
            let keep = |places, predicted| scored.select(places, predicted);
            let predicted = not_finite(pool.predict_kept(&passes, Scale::Probability, keep))?;
            return Ok(predicted.map(|predictions| (predictions, targets)));
        }
        let batch = self.data.batch(rows, &self.device)?;
        let targets = match task {
            Task::Classification { classes } => RowTargets::classes(&batch.targets.to_vec1()?, classes)?,
            Task::Regression { outputs } => {
                RowTargets::values(&batch.targets.reshape((rows.len(), outputs))?)?
            }
        };
        // Weights that are finite may still predict what is not.
        Ok(not_finite(pool.predictions(batch.inputs))?.map(|predictions| (predictions, targets)))
    }
}

#[cfg(test)]
mod tests;
