//! Where a plan becomes a pool.
use crate::{
    build::{EnsembleBuilder, Plan, RunSpec},
    data::Dataset,
    exec::{Executor, Threads},
    init,
    member::Record,
    observe::{Event, Flow, Observer, Silent},
    pool::Pool,
    store::{Manifest, MemoryStore, Store},
    train::{Learner, Run},
    Error, Member, Result, Seed,
};
use candle_core::Device;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

/// A learner, its data, and where it trains: on the CPU, one run on each core, kept in memory, unless told
/// otherwise.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{build::MultiRun, combine::Mean, data::TensorDataset, exec::*, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
///
/// let session = Session::new(&trainer, &data).executor(&Sequential);
/// let plan = session.plan(&MultiRun::new(2), 42)?; // pure data, the same on every machine
/// let pool = session.train(&plan)?;
/// assert_eq!(pool.members().len(), 2);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone)]
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Session<'a, L> {
    learner: &'a L,
    data: &'a dyn Dataset,
    device: Device,
    executor: Option<&'a dyn Executor>,
    store: Option<&'a dyn Store>,
    observer: &'a dyn Observer,
}

impl<'a, L: Learner> Session<'a, L> {
    /// Trains `learner` on `data`.
    pub fn new(learner: &'a L, data: &'a dyn Dataset) -> Self {
        Self { learner, data, device: Device::Cpu, executor: None, store: None, observer: &Silent }
    }

    /// Where networks live; the CPU, if not set.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// Where runs happen. If not set: one run on each core for the CPU, one after the other for a GPU.
    #[must_use]
    pub fn executor(mut self, executor: &'a dyn Executor) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Where members are kept; in memory, if not set. Runs whose members are there are not done again.
    #[must_use]
    pub fn store(mut self, store: &'a dyn Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Who is told of each event.
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    pub(crate) fn data(&self) -> &'a dyn Dataset {
        self.data
    }

    /// Lays out the runs: a pure function of the builder, the data and the seed.
    ///
    /// # Errors
    /// When a parameter of the builder is out of range.
    pub fn plan(&self, builder: &dyn EnsembleBuilder, seed: impl Into<Seed>) -> Result<Plan> {
        builder.plan(self.data, &self.learner.architectures(), seed.into())
    }

    /// Plans and trains.
    ///
    /// # Errors
    /// As [`Session::plan`] and [`Session::train`].
    pub fn grow(&self, builder: &dyn EnsembleBuilder, seed: impl Into<Seed>) -> Result<Pool<'a, L>> {
        self.train(&self.plan(builder, seed)?)
    }

    /// Trains what the store lacks, and collects every member.
    ///
    /// # Errors
    /// When the plan does not fit the data, the learner or the store; the first failed run's, in plan order; when an
    /// observer asks to stop ([`Error::Cancelled`]).
    pub fn train(&self, plan: &Plan) -> Result<Pool<'a, L>> {
        let memory = MemoryStore::new();
        let build =
            Build { session: self, plan, store: self.store.unwrap_or(&memory), tag: self.learner.tag() };
        build.check()?;
        build.store.open(&Manifest::new(plan, &build.tag))?;
        build.train()?;
        build.collect()
    }
}

/// One plan on its way.
struct Build<'b, 'a, L> {
    session: &'b Session<'a, L>,
    plan: &'b Plan,
    store: &'b dyn Store,
    tag: String,
}

impl<'a, L: Learner> Build<'_, 'a, L> {
    fn check(&self) -> Result<()> {
        self.plan.check(self.session.data)?;
        self.plan.runs.iter().try_for_each(|run| {
            self.session.learner.check(run, self.session.data).map_err(|e| of_run(run, e))
        })
    }

    fn train(&self) -> Result<()> {
        let mut todo = vec![];
        for run in &self.plan.runs {
            if !self.is_done(run)? {
                todo.push(run);
            }
        }
        let (of, finished) = (self.plan.runs.len(), self.plan.runs.len() - todo.len());
        let epochs = todo.iter().map(|run| u64::from(self.session.learner.epochs(run))).sum();
        let (done, default) = (AtomicUsize::new(finished), self.default_executor());
        let executor = self.session.executor.unwrap_or(&*default);
        self.tell(&Event::BuildStarted { runs: of, finished, epochs })?;
        let outcome = executor.execute(&todo, &|run| {
            self.one(run).map_err(|e| of_run(run, e))?;
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        match outcome {
            Err(Error::Cancelled { .. }) => Err(Error::Cancelled { done: done.into_inner(), of }),
            Err(e) => Err(e),
            Ok(()) => self.tell(&Event::BuildFinished),
        }
    }

    fn default_executor(&self) -> Box<dyn Executor> {
        match self.session.device {
            Device::Cpu => Box::new(Threads::all_cores()),
            _ => Box::new(crate::exec::Sequential),
        }
    }

    fn is_done(&self, run: &RunSpec) -> Result<bool> {
        for index in 0..run.take.members() {
            if !self.store.contains(&self.key(run, index)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn key(&self, run: &RunSpec, index: u32) -> Result<String> {
        self.plan.key(run, &self.tag, index)
    }

    /// One run, from fresh weights to a member in the store.
    fn one(&self, run: &RunSpec) -> Result<()> {
        let Session { learner, data, device, observer, .. } = self.session;
        let started = Instant::now();
        self.tell(&Event::RunStarted { run })?;
        let (vars, vb) = init::fresh(run.seed.child("init"), learner.init(), learner.dtype(), device);
        let network = learner.build(&run.architecture, &run.settings, vb)?;
        let mut context = Run::new(*data, run, &vars, device, *observer);
        let outcome = learner.fit(&network, &mut context);
        let curve = context.finish(outcome)?;
        let epochs = curve.len() as u64;
        let record = Record {
            run: run.id,
            index: 0,
            slot: run.slot,
            architecture: run.architecture.clone(),
            settings: run.settings.clone(),
            seen: run.seen(),
            curve,
            key: self.key(run, 0)?,
        };
        self.store.put(Member { weights: vars.snapshot()?, record })?;
        self.tell(&Event::MemberTaken { run, index: 0 })?;
        let planned = learner.epochs(run).into();
        self.tell(&Event::RunFinished { run, epochs, planned, elapsed: started.elapsed() })
    }

    fn collect(&self) -> Result<Pool<'a, L>> {
        let (mut members, mut missing) = (vec![], vec![]);
        for run in &self.plan.runs {
            for index in 0..run.take.members() {
                match self.store.get(&self.key(run, index)?)? {
                    Some(member) => members.push(member),
                    None if missing.last() == Some(&run.id) => {}
                    None => missing.push(run.id),
                }
            }
        }
        if !missing.is_empty() {
            return Err(Error::Incomplete { missing, of: self.plan.runs.len() });
        }
        Pool::new(members, self.session.learner, self.session.data, self.session.device.clone())
    }

    fn tell(&self, event: &Event<'_>) -> Result<()> {
        match self.session.observer.notify(event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(Error::Cancelled { done: 0, of: 0 }),
        }
    }
}

/// The error with its run's number, unless it says it already.
fn of_run(run: &RunSpec, error: Error) -> Error {
    match error {
        e @ (Error::Diverged { .. } | Error::NoGradient { .. } | Error::Cancelled { .. }) => e,
        e => Error::Run { run: run.id, source: Box::new(e) },
    }
}
