//! Where a plan becomes a pool.
use crate::{
    data::Dataset,
    exec::{Executor, Threads},
    observe::{Event, Flow, Observer, Silent},
    plan::{Plan, RunSpec},
    pool::Pool,
    store::{checkpoint, Checkpoints, EpochRecord, Manifest, MemoryStore, Record, Store},
    strategy::EnsembleBuilder,
    train::{signature, train_run, Learner, RunCheckpoints, RunParts},
    weights::Vars,
    Error, Member, Result, Seed,
};
use candle_core::Device;
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

/// A learner, its data, and where it trains: on the CPU, one run on each core, kept in memory, unless told
/// otherwise.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, exec::*, strategy::MultiRun, train::Trainer, Session};
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
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Session<'a, L> {
    learner: &'a L,
    data: &'a dyn Dataset,
    device: Device,
    executor: Option<&'a dyn Executor>,
    store: Option<&'a dyn Store>,
    observer: &'a dyn Observer,
    checkpoints: Checkpoints,
    reserve: Option<f64>,
}

/// Not derived: a session only borrows its learner, so the learner need not be `Clone`.
impl<L> Clone for Session<'_, L> {
    fn clone(&self) -> Self {
        Self { device: self.device.clone(), ..*self }
    }
}

impl<'a, L: Learner> Session<'a, L> {
    /// Trains `learner` on `data`.
    pub fn new(learner: &'a L, data: &'a dyn Dataset) -> Self {
        let checkpoints = Checkpoints::default();
        Self {
            learner,
            data,
            device: Device::Cpu,
            executor: None,
            store: None,
            observer: &Silent,
            checkpoints,
            reserve: None,
        }
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

    /// How often the state of a run under way is kept in the store; every five minutes, if not set.
    #[must_use]
    pub fn checkpoints(mut self, often: Checkpoints) -> Self {
        self.checkpoints = often;
        self
    }

    /// Keeps a share of the rows, in (0, 1), back from every run, so that combiners that learn, the barrier of a merge and
    /// [`best_of`](crate::merge::best_of()) have rows that shaped no member, whatever the strategy. The rows are drawn
    /// from the seed of the plan, in proportion to the strata where the data set has them.
    #[must_use]
    pub fn reserve(mut self, share: f64) -> Self {
        self.reserve = Some(share);
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
        let seed = seed.into();
        let plan = builder.plan(self.data, &self.learner.architectures(), seed)?;
        match self.reserve {
            Some(share) => plan.reserve(share, self.data, seed),
            None => Ok(plan),
        }
    }

    /// Plans and trains.
    ///
    /// # Errors
    /// As [`Session::plan`] and [`Session::train`].
    pub fn fit(&self, builder: &dyn EnsembleBuilder, seed: impl Into<Seed>) -> Result<Pool<'a, L>> {
        self.train(&self.plan(builder, seed)?)
    }

    /// Trains what the store lacks, and collects every member.
    ///
    /// # Errors
    /// When the plan does not fit the data, the learner or the store; the first failed run's, in plan order; when an
    /// observer asks to stop ([`Error::Cancelled`]).
    pub fn train(&self, plan: &Plan) -> Result<Pool<'a, L>> {
        let memory = MemoryStore::new();
        let build = Build::new(self, plan, self.store.unwrap_or(&memory))?;
        build.train()?;
        build.load()
    }

    /// Trains what the store lacks, and leaves the members there: no more networks are in memory than are training.
    ///
    /// # Errors
    /// As [`Session::train`], and when the session has no store.
    pub fn build(&self, plan: &Plan) -> Result<()> {
        Build::new(self, plan, self.given_store()?)?.train()
    }

    /// Collects the members of a plan from the store, and trains nothing.
    ///
    /// # Errors
    /// When runs are missing ([`Error::Incomplete`] names them), or the session has no store.
    pub fn load(&self, plan: &Plan) -> Result<Pool<'a, L>> {
        Build::new(self, plan, self.given_store()?)?.load()
    }

    fn given_store(&self) -> Result<&'a dyn Store> {
        self.store
            .ok_or_else(|| Error::invalid("the session", "given a store (Session::store)", "without one"))
    }
}

/// One plan on its way.
struct Build<'b, 'a, L> {
    session: &'b Session<'a, L>,
    plan: &'b Plan,
    store: &'b dyn Store,
    tag: String,
    /// Of each run, in order; see [`signature`].
    networks: Vec<String>,
    /// Members of the run that yields most: slots are numbered by run and member.
    stride: usize,
}

impl<'b, 'a, L: Learner> Build<'b, 'a, L> {
    /// Checks everything that can be told before anything is trained.
    fn new(session: &'b Session<'a, L>, plan: &'b Plan, store: &'b dyn Store) -> Result<Self> {
        session.checkpoints.check()?;
        plan.check(session.data)?;
        for run in &plan.runs {
            session.learner.check(run, session.data).map_err(|e| e.in_run(run.id))?;
        }
        let stride = plan.runs.iter().map(|run| run.collect.members(session.learner.epochs(run))).max();
        let tag = session.learner.tag();
        let networks = signature::of_runs(session.learner, &plan.runs, &session.device)?;
        let distinct: Vec<_> = networks.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        store.open(&Manifest::new(plan, &tag, &distinct))?;
        Ok(Self { session, plan, store, tag, networks, stride: stride.unwrap_or(1) })
    }

    fn members(&self, run: &RunSpec) -> usize {
        run.collect.members(self.session.learner.epochs(run))
    }

    fn train(&self) -> Result<()> {
        let mut todo = vec![];
        for run in &self.plan.runs {
            match self.is_done(run)? {
                // Left over when a process died between the run's last member and this.
                true => self.store.drop_checkpoint(&self.checkpoint_key(run)?)?,
                false => todo.push(run),
            }
        }
        let (of, finished) = (self.plan.runs.len(), self.plan.runs.len() - todo.len());
        let epochs = todo.iter().map(|run| (self.session.learner.epochs(run)) as u64).sum();
        let (done, default) = (AtomicUsize::new(finished), self.default_executor());
        let executor = self.session.executor.unwrap_or(&*default);
        let started = self.tell(&Event::BuildStarted { runs: of, finished, epochs });
        let outcome = started
            .and_then(|()| executor.execute(&todo, &|run| self.one(run, &done).map_err(|e| e.in_run(run.id))))
            .and_then(|()| self.tell(&Event::BuildFinished));
        outcome.map_err(|e| match e {
            Error::Cancelled { .. } => Error::Cancelled { done: done.into_inner(), of },
            e => e,
        })
    }

    fn default_executor(&self) -> Box<dyn Executor> {
        match self.session.device {
            Device::Cpu => Box::new(Threads::all_cores()),
            _ => Box::new(crate::exec::Sequential),
        }
    }

    fn is_done(&self, run: &RunSpec) -> Result<bool> {
        for index in 0..self.members(run) {
            if !self.store.contains(&self.key(run, index)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn key(&self, run: &RunSpec, index: usize) -> Result<String> {
        // `Plan::check` has seen to it that a run's number is its place.
        let network = self.networks.get(run.id as usize).map_or("", String::as_str);
        self.plan.key(run, &self.tag, network, index)
    }

    /// One run, from fresh weights to a member in the store; then it counts as done.
    fn one(&self, run: &RunSpec, done: &AtomicUsize) -> Result<()> {
        let Session { learner, data, device, observer, .. } = self.session;
        let started = Instant::now();
        self.tell(&Event::RunStarted { run })?;
        let key = self.checkpoint_key(run)?;
        let parts = RunParts {
            data: *data,
            spec: run,
            device,
            observer: *observer,
            checkpoints: Some(RunCheckpoints::new(self.store, key.clone(), self.session.checkpoints)),
            store_member: &|index, vars, curve| self.store_member(run, index, vars, curve, done),
        };
        let (_, curve) = train_run(*learner, parts)?;
        self.store.drop_checkpoint(&key)?;
        let epochs = curve.len() as u64;
        let planned = learner.epochs(run) as u64;
        self.tell(&Event::RunFinished { run, epochs, planned, elapsed: started.elapsed() })
    }

    /// Copies the network as it is now into the store. With its last member a run counts as done.
    fn store_member(
        &self,
        run: &RunSpec,
        index: usize,
        vars: &Vars,
        curve: &[EpochRecord],
        done: &AtomicUsize,
    ) -> Result<()> {
        let record = Record {
            run: run.id,
            index,
            slot: run.slot * self.stride + index,
            refit: run.refit,
            architecture: run.architecture.clone(),
            settings: run.settings.clone(),
            features: run.features.clone(),
            seen: run.seen(),
            curve: curve.to_vec(),
            key: self.key(run, index)?,
        };
        self.store.put(Member { weights: vars.snapshot()?, record })?;
        if index + 1 == self.members(run) {
            done.fetch_add(1, Ordering::Relaxed);
        }
        self.tell(&Event::MemberTaken { run, index })
    }

    fn checkpoint_key(&self, run: &RunSpec) -> Result<String> {
        Ok(checkpoint::key(&self.key(run, 0)?))
    }

    fn load(&self) -> Result<Pool<'a, L>> {
        let (mut members, mut missing) = (vec![], vec![]);
        for run in &self.plan.runs {
            for index in 0..self.members(run) {
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
        let plan = (self.plan.reserved.clone(), self.plan.seed);
        Pool::new(members, self.session.learner, self.session.data, self.session.device.clone(), plan)
    }

    fn tell(&self, event: &Event<'_>) -> Result<()> {
        match self.session.observer.notify(event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(Error::Cancelled { done: 0, of: 0 }),
        }
    }
}
