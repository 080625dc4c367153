//! The study of one data set: its splits, the network, and the training.
use crate::{
    args::Args,
    tabular::{data::Data, network::trainer, prepared::Prepared},
};
use candle_ensemble::{
    evaluate::{Study, StudyReport, Trials},
    exec::Threads,
    observe::{Observer, Silent},
    train::Trainer,
    AnyNetwork, Checkpoints, Result, Session,
};

/// A data set, with its first split.
pub struct DataSet {
    data: Data,
    pub first: Prepared,
}

impl DataSet {
    pub fn read(args: &Args, name: &str) -> Result<Self> {
        let data = Data::read(&args.table, name)?;
        Ok(Self { first: Prepared::of(&args.table, args.seed, &data, 0)?, data })
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
                other = Prepared::of(&args.table, args.seed, &set.data, number)?;
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
    f: impl FnOnce(&Study<'_, Trainer<AnyNetwork>>) -> Result<T>,
) -> Result<T> {
    let task = prepared.train_task();
    let trainer = trainer(&args.network, prepared.columns, task)?;
    let executor = match args.threads {
        Some(threads) => Threads::new(threads)?,
        None => Threads::all_cores(),
    };
    let checkpoints = args.checkpoint_every.map_or_else(Checkpoints::default, Checkpoints::Epochs);
    let session = Session::new(&trainer, &prepared.train).executor(&executor).observer(observer);
    let mut study = Study::new(session.checkpoints(checkpoints), &prepared.test)
        .boxed_baseline(args.baseline()?)
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
