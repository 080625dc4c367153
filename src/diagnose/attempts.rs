//! Trainings, each by itself: one that diverges is a result and not an error.
use crate::{
    data::Dataset,
    diagnose::Curve,
    exec::{self, Executor, Sequential},
    files,
    observe::{Event, Flow, Observer},
    plan::{Plan, RunSpec},
    resample::PlannedRows,
    store::{Checkpoints, DirectoryStore, EpochRecord, MemoryStore, Store},
    train::{Learner, Trainer},
    Error, Member, Network, Result, Session,
};
use candle_core::Device;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        Mutex, PoisonError,
    },
};

/// What came of a run.
pub(crate) enum Attempt {
    /// Its members.
    Trained(Vec<Member>),
    /// It diverged, after these epochs.
    Diverged(Vec<EpochRecord>),
}

impl Attempt {
    /// The epochs of the run.
    pub(crate) fn records(&self) -> &[EpochRecord] {
        match self {
            Self::Trained(members) => members.last().map_or(&[], |member| &member.record.curve),
            Self::Diverged(records) => records,
        }
    }

    /// The learning curve of the run. That of one that diverged ends in NaN. `metric` says whether the metric of the
    /// validation rows is the one of the training rows.
    pub(crate) fn curve(&self, metric: bool) -> Curve {
        let mut curve = Curve::of_records(self.records());
        if !metric {
            curve.valid_metric.clear();
        }
        if let Self::Diverged(_) = self {
            end(&mut curve);
        }
        curve
    }
}

/// Adds an epoch that diverged.
fn end(curve: &mut Curve) {
    curve.train_loss.push(f64::NAN);
    for series in [&mut curve.valid_loss, &mut curve.train_metric, &mut curve.valid_metric] {
        if !series.is_empty() {
            series.push(f64::NAN);
        }
    }
}

/// Trains the runs of plans on the rows of a data set.
pub(crate) struct Attempts<'b, N> {
    pub(crate) trainer: &'b Trainer<N>,
    pub(crate) data: &'b dyn Dataset,
    pub(crate) device: &'b Device,
    pub(crate) executor: Option<&'b dyn Executor>,
    pub(crate) observer: &'b dyn Observer,
    pub(crate) checkpoints: Checkpoints,
    /// Where members are kept until [`forget`](Self::forget).
    pub(crate) folder: Option<PathBuf>,
}

/// A run of a plan, and its number among all runs.
struct Place<'p> {
    plan: &'p Plan,
    run: &'p RunSpec,
    numbered: RunSpec,
}

impl<N: Network> Attempts<'_, N> {
    /// Trains all runs of the plans, as many at a time as the executor allows. The attempts are in the order of the plans
    /// and of their runs.
    ///
    /// # Errors
    /// When a run fails for another reason than that it diverges; when the observer stops it.
    pub(crate) fn train(&self, plans: &[Plan]) -> Result<Vec<Vec<Attempt>>> {
        let runs = plans.iter().flat_map(|plan| plan.runs.iter().map(move |run| (plan, run)));
        let places: Vec<Place<'_>> = runs
            .enumerate()
            .map(|(id, (plan, run))| Place { plan, run, numbered: RunSpec { id, ..run.clone() } })
            .collect();
        for place in &places {
            Learner::check(self.trainer, place.run, self.data)?;
        }
        let epochs = |run: &RunSpec| Learner::epochs(self.trainer, run);
        let planned = places.iter().map(|place| epochs(place.run)).fold(0, usize::saturating_add);
        self.notify(&Event::BuildStarted { runs: places.len(), finished: 0, epochs: planned, planned })?;
        let done: Vec<Mutex<Option<Attempt>>> = places.iter().map(|_| Mutex::new(None)).collect();
        let job = |run: &RunSpec| -> Result<()> {
            let (Some(place), Some(slot)) = (places.get(run.id), done.get(run.id)) else { return Ok(()) };
            let attempt = self.attempt(place)?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempt);
            Ok(())
        };
        let default = exec::default_for(self.device);
        let all: Vec<&RunSpec> = places.iter().map(|place| &place.numbered).collect();
        self.executor.unwrap_or(&*default).execute(&all, &job).map_err(|e| match e {
            Error::Cancelled { .. } => Error::Cancelled { done: count(&done), of: all.len() },
            e => e,
        })?;
        self.notify(&Event::BuildFinished)?;
        let mut done = done.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
        plans.iter().map(|plan| plan.runs.iter().map(|_| finished(done.next().flatten())).collect()).collect()
    }

    /// Removes what is kept of the runs of a plan.
    pub(crate) fn forget(&self, plan: &Plan) -> Result<()> {
        for run in &plan.runs {
            let Some(path) = self.place_of(&single(plan, run))? else { continue };
            match fs::remove_dir_all(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(files::failed(&path, e)),
                _ => {}
            }
        }
        Ok(())
    }

    fn attempt(&self, place: &Place<'_>) -> Result<Attempt> {
        let plan = single(place.plan, place.run);
        let (memory, directory);
        let store: &dyn Store = match self.place_of(&plan)? {
            Some(path) => {
                directory = DirectoryStore::new(path)?;
                &directory
            }
            None => {
                memory = MemoryStore::new();
                &memory
            }
        };
        let watch = Watch::new(&place.numbered, self.observer);
        match self.train_one(&plan, store, &watch) {
            Ok(members) => Ok(Attempt::Trained(renumbered(members, place.run))),
            // Epochs before a checkpoint are not told a second time, and the curve of a run that diverges has all.
            Err(Error::Diverged { .. } | Error::NotFinite { .. }) if watch.resumed() => {
                let watch = Watch::new(&place.numbered, self.observer);
                match self.train_one(&plan, &MemoryStore::new(), &watch) {
                    Ok(members) => Ok(Attempt::Trained(renumbered(members, place.run))),
                    Err(e) => self.diverged(e, place, watch),
                }
            }
            Err(e) => self.diverged(e, place, watch),
        }
    }

    fn train_one(&self, plan: &Plan, store: &dyn Store, watch: &Watch<'_>) -> Result<Vec<Member>> {
        let session = Session::new(self.trainer, self.data).device(self.device).executor(&Sequential);
        let session = session.store(store).checkpoints(self.checkpoints).observer(watch);
        Ok(session.train(plan)?.into_members())
    }

    fn diverged(&self, error: Error, place: &Place<'_>, watch: Watch<'_>) -> Result<Attempt> {
        let (Error::Diverged { .. } | Error::NotFinite { .. }) = error else { return Err(error) };
        let records = watch.records();
        let (run, planned) = (&place.numbered, Learner::epochs(self.trainer, place.run));
        let elapsed = std::time::Duration::ZERO;
        self.notify(&Event::RunFinished { run, epochs: records.len(), planned, elapsed })?;
        Ok(Attempt::Diverged(records))
    }

    /// The folder of the one run of a plan.
    fn place_of(&self, plan: &Plan) -> Result<Option<PathBuf>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let run = plan.runs.first().map(|run| plan.key(run, &self.trainer.tag(), "", 0));
        Ok(run.transpose()?.map(|key| Path::new(folder).join(key)))
    }

    fn notify(&self, event: &Event<'_>) -> Result<()> {
        match self.observer.notify(event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(Error::Cancelled { done: 0, of: 0 }),
        }
    }
}

/// The number of runs that are done.
fn count(done: &[Mutex<Option<Attempt>>]) -> usize {
    done.iter().filter(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).is_some()).count()
}

/// The attempt of a run that the executor has carried out.
fn finished(attempt: Option<Attempt>) -> Result<Attempt> {
    let must = "one that carries out all runs in this process";
    attempt.ok_or_else(|| Error::invalid("the executor", must, "one that left some out"))
}

/// The plan of one run.
fn single(plan: &Plan, run: &RunSpec) -> Plan {
    let run = RunSpec { id: 0, slot: 0, ..run.clone() };
    Plan { runs: vec![run], reserved: PlannedRows::none(), data: plan.data, seed: plan.seed }
}

/// The members of a run with the numbers that they have in its plan.
fn renumbered(mut members: Vec<Member>, run: &RunSpec) -> Vec<Member> {
    for member in &mut members {
        member.record.run = run.id;
    }
    members
}

/// The members of all runs of a plan, each in the slot of its run: what a session would have trained.
pub(crate) fn members(attempts: &[Attempt], plan: &Plan) -> Option<Vec<Member>> {
    let trained = |attempt: &Attempt| match attempt {
        Attempt::Trained(members) => Some(members.clone()),
        Attempt::Diverged(_) => None,
    };
    let mut of_runs = attempts.iter().map(trained).collect::<Option<Vec<_>>>()?;
    let stride = of_runs.iter().map(Vec::len).max().unwrap_or(1);
    for (members, run) in of_runs.iter_mut().zip(&plan.runs) {
        for member in members {
            member.record.slot = run.slot.saturating_mul(stride).saturating_add(member.record.index);
        }
    }
    Some(of_runs.into_iter().flatten().collect())
}

/// `None` for what fails because weights or predictions are NaN or infinite.
pub(crate) fn not_finite<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFinite { .. } | Error::Diverged { .. }) => Ok(None),
        Err(Error::Invalid { got, .. }) if matches!(got.as_str(), "NaN" | "inf" | "-inf") => Ok(None),
        Err(e) => Err(e),
    }
}

/// Tells an observer of a run under its number among all runs, and keeps its epochs.
struct Watch<'o> {
    run: &'o RunSpec,
    observer: &'o dyn Observer,
    records: Mutex<Vec<EpochRecord>>,
    resumed: AtomicBool,
}

impl<'o> Watch<'o> {
    fn new(run: &'o RunSpec, observer: &'o dyn Observer) -> Self {
        Self { run, observer, records: Mutex::new(vec![]), resumed: AtomicBool::new(false) }
    }

    fn resumed(&self) -> bool {
        self.resumed.load(Ordering::Relaxed)
    }

    fn records(self) -> Vec<EpochRecord> {
        self.records.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch<'_> {
    fn notify(&self, event: &Event<'_>) -> Flow {
        let run = self.run;
        let event = match *event {
            Event::RunStarted { .. } => Event::RunStarted { run },
            Event::Resumed { epoch, .. } => {
                self.resumed.store(true, Ordering::Relaxed);
                Event::Resumed { run, epoch }
            }
            Event::EpochEnded { record, .. } => {
                self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
                Event::EpochEnded { run, record }
            }
            Event::MemberCollected { index, .. } => Event::MemberCollected { run, index },
            Event::RunFinished { epochs, planned, elapsed, .. } => {
                Event::RunFinished { run, epochs, planned, elapsed }
            }
            // One build has all runs.
            _ => return Flow::Continue,
        };
        self.observer.notify(&event)
    }
}
