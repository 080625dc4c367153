//! The study of one data set: its splits, the network, and the training.
use super::{
    args::{Args, Initial, OptimizerName},
    data::Data,
    prepared::Prepared,
};
use candle_core::{Result as CandleResult, Tensor};
use candle_ensemble::{
    data::Task,
    evaluate::{Study, StudyReport, Trials},
    exec::Threads,
    observe::{Observer, Silent},
    plan::Settings,
    strategy::MultiRun,
    train::{Adam, Optimizer, Sgd, Trainer},
    weights::InitScheme,
    Checkpoints, Result, Session,
};
use candle_nn::{linear, Linear, Module, VarBuilder};

/// A multi-layer perceptron, written as for any candle program.
struct Mlp(Vec<Linear>);

impl Mlp {
    fn new(widths: &[usize], vb: VarBuilder<'_>) -> CandleResult<Self> {
        let layer = |(i, w): (usize, &[usize])| linear(w[0], w[1], vb.pp(format!("layer{i}")));
        Ok(Self(widths.windows(2).enumerate().map(layer).collect::<CandleResult<_>>()?))
    }
}

impl Module for Mlp {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        let (last, hidden) = self.0.split_last().expect("two widths or more");
        let xs = hidden.iter().try_fold(xs.clone(), |xs, layer| layer.forward(&xs)?.relu())?;
        last.forward(&xs)
    }
}

/// A data set, with its first split.
pub struct DataSet {
    data: Data,
    pub first: Prepared,
}

impl DataSet {
    pub fn read(args: &Args, name: &str) -> Result<Self> {
        let data = Data::read(args, name)?;
        Ok(Self { first: Prepared::of(args, &data, 0)?, data })
    }

    /// The number of builds of its study, for the progress bar.
    pub fn builds(&self, args: &Args) -> Result<usize> {
        let builds = with_study(args, self, &self.first, 0, &Silent, |study| study.builds(args.seed))?;
        Ok(args.splits * builds)
    }
}

/// The report of the study of a data set, over all its splits.
pub fn report(args: &Args, set: &DataSet, observer: &dyn Observer) -> Result<StudyReport> {
    let trials = |number: usize| -> Result<Trials> {
        let other;
        let prepared = match number {
            0 => &set.first,
            _ => {
                other = Prepared::of(args, &set.data, number)?;
                &other
            }
        };
        with_study(args, set, prepared, number, observer, |study| study.trials(args.seed))
    };
    StudyReport::of(&(0..args.splits).map(trials).collect::<Result<Vec<_>>>()?)
}

/// Calls `f` with the study of one split.
fn with_study<T>(
    args: &Args,
    set: &DataSet,
    prepared: &Prepared,
    number: usize,
    observer: &dyn Observer,
    f: impl FnOnce(&Study<'_, Trainer<Mlp>>) -> Result<T>,
) -> Result<T> {
    let task = prepared.train_task();
    let trainer = trainer(args, prepared.columns, task);
    let executor = match args.threads {
        Some(threads) => Threads::new(threads)?,
        None => Threads::all_cores(),
    };
    let checkpoints = args.checkpoint_every.map_or_else(Checkpoints::default, Checkpoints::Epochs);
    let session = Session::new(&trainer, &prepared.train).executor(&executor).observer(observer);
    let mut study = Study::new(session.checkpoints(checkpoints), &prepared.test)
        .baseline(MultiRun::new(args.members))
        .repeats(args.repeats)
        .reserve(args.reserve)
        .max_barrier(args.max_barrier);
    for (name, strategy) in args.strategies()? {
        study = study.boxed_strategy(name, strategy);
    }
    for (name, combination) in args.combinations(task)? {
        study = study.combination(name, combination);
    }
    if let Some(metrics) = args.metrics(task)? {
        study = study.metrics(metrics);
    }
    if let Some(epochs) = args.budget_epochs {
        study = study.budget_epochs(epochs);
    }
    if let Some(folder) = &args.store {
        study = study.folder(folder.join(&set.data.name).join(format!("split-{number:03}")));
    }
    if let Some(scaler) = &prepared.target_scaler {
        study = study.target_scaler(scaler);
    }
    f(&study)
}

fn trainer(args: &Args, columns: usize, task: Task) -> Trainer<Mlp> {
    let outputs = match task {
        Task::Classification { classes } => classes,
        Task::Regression { outputs } => outputs,
    };
    let widths = [&[columns][..], &args.hidden, &[outputs]].concat();
    let version = format!("widths {widths:?}");
    // Strategies that draw features set the number of inputs.
    let new = move |settings: &Settings, vb: VarBuilder<'static>| {
        let mut widths = widths.clone();
        if let Ok(Some(inputs)) = settings.count("inputs") {
            widths[0] = inputs;
        }
        Mlp::new(&widths, vb)
    };
    Trainer::reading(&["inputs"], new)
        .version(version)
        .epochs(args.epochs)
        .batch_size(args.batch)
        .optimizer(optimizer(args))
        .init(match args.init {
            Initial::Default => InitScheme::AsDeclared,
            Initial::GlorotUniform => InitScheme::GlorotUniform,
        })
}

fn optimizer(args: &Args) -> Optimizer {
    match args.optimizer {
        OptimizerName::Adam => {
            Adam::new(args.lr).epsilon(args.epsilon).weight_decay(args.weight_decay).into()
        }
        OptimizerName::Sgd => {
            Sgd::new(args.lr).momentum(args.momentum).weight_decay(args.weight_decay).into()
        }
    }
}
