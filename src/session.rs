//! Sessions: from a strategy to a plan, from a plan to a pool.
//!
//! A [`Session`] holds a learner and its data, and knows on which device and with which executor runs train,
//! where their members are stored and who observes them. [`Session::fit`] does everything at once.
//! [`Session::plan`], [`Session::build`] and [`Session::load`] are the steps one by one, for builds that are
//! spread over processes.
mod work;

use crate::{
    data::Dataset,
    exec::{self, worker::LeaseObserver, Devices, Executor, Worker},
    observe::{Event, Flow, Observer, Silent},
    plan::{Plan, RunSpec},
    pool::Pool,
    store::{
        checkpoint, listing::Listing, Checkpoints, EpochRecord, Manifest, MemoryStore, Record, Status, Store,
    },
    strategy::EnsembleBuilder,
    threads::in_order,
    train::{signature, train_run, train_stacked, Collected, Learner, RunCheckpoints, RunParts, StoreMember},
    Error, Member, Result, Seed,
};
use candle_core::Device;
use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

/// How many members are read from a store at the same time, so that one that is far away does not take a round trip each.
const READERS: usize = 16;

/// Trains ensembles: a learner, its data, and the settings of a build.
///
/// By default networks live on the CPU, one run trains on each core, and members are kept in memory.
///
/// | method | does |
/// |---|---|
/// | [`plan`](Self::plan) | lays out the runs of a strategy as a [`Plan`]: pure data, the same on every machine |
/// | [`train`](Self::train) | trains the runs that the store lacks, and returns the [`Pool`] of all members |
/// | [`fit`](Self::fit) | `plan` and `train` in one call |
/// | [`build`](Self::build) | trains like `train`, but leaves the members in the store |
/// | [`load`](Self::load) | returns the pool of members that are in the store already, and trains nothing |
/// | [`status`](Self::status) | tells which runs are done, under way, failed or waiting, whoever trains them |
/// | [`watch`](Self::watch) | repeats that until nothing is left to do |
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::Bagging, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
///
/// let pool = Session::new(&trainer, &data).fit(&Bagging::new(3), 42)?;
/// let ensemble = pool.combine(&Mean)?;
/// assert_eq!(ensemble.predict(&x)?.dims(), [10, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// The same in steps, with a store that outlives the process:
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{data::TensorDataset, exec::*, store::DirectoryStore, strategy::Bagging, train::Trainer, Session};
/// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
/// # let folder = tempfile::tempdir()?;
/// let store = DirectoryStore::new(folder.path())?;
/// let session = Session::new(&trainer, &data).store(&store).executor(&Sequential);
/// let plan = session.plan(&Bagging::new(3), 42)?;
/// session.build(&plan)?; // in one process or several
/// let pool = session.load(&plan)?; // in any process
/// assert_eq!(pool.members().len(), 3);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Session<'a, L> {
    learner: &'a L,
    data: &'a dyn Dataset,
    device: Device,
    /// Further devices that runs are spread over.
    others: Vec<Device>,
    executor: Option<&'a dyn Executor>,
    store: Option<&'a dyn Store>,
    observer: &'a dyn Observer,
    checkpoints: Checkpoints,
    reserve: Option<f64>,
    worker: Option<&'a Worker>,
}

/// Not derived: a session only borrows its learner, so the learner need not be `Clone`.
impl<L> Clone for Session<'_, L> {
    fn clone(&self) -> Self {
        Self { device: self.device.clone(), others: self.others.clone(), ..*self }
    }
}

impl<'a, L: Learner> Session<'a, L> {
    /// A session that trains `learner` on `data`, with the defaults.
    pub fn new(learner: &'a L, data: &'a dyn Dataset) -> Self {
        let checkpoints = Checkpoints::default();
        Self {
            learner,
            data,
            device: Device::Cpu,
            others: vec![],
            executor: None,
            store: None,
            observer: &Silent,
            checkpoints,
            reserve: None,
            worker: None,
        }
    }

    /// Sets the device on which networks train and predict; the default is the CPU.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        (self.device, self.others) = (device.clone(), vec![]);
        self
    }

    /// Sets several devices, at least one, over which the runs are spread. Each run trains wholly on one of them, the one
    /// with the fewest runs when it begins. Predictions are made on the first.
    ///
    /// By default there is one worker for each device, so that each trains one run at a time. With another
    /// [`executor`](Self::executor), `n` workers keep `n` runs on the devices, and groups of
    /// [`Stacked`](crate::exec::Stacked) stay together. Devices of one kind give the same bytes, so it does not matter
    /// which of them trains a run.
    ///
    /// # Errors
    /// When there is no device.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{data::TensorDataset, strategy::Bagging, train::Trainer, Session};
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// // On a machine with GPUs: (0..4).map(Device::new_cuda).collect::<candle_core::Result<Vec<_>>>()?
    /// let devices = vec![Device::Cpu, Device::Cpu];
    /// let pool = Session::new(&trainer, &data).devices(devices)?.fit(&Bagging::new(3), 42)?;
    /// # assert_eq!(pool.members().len(), 3);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn devices(mut self, devices: impl IntoIterator<Item = Device>) -> Result<Self> {
        let mut devices = devices.into_iter();
        self.device = devices.next().ok_or_else(|| Error::invalid("the devices", "at least one", "none"))?;
        self.others = devices.collect();
        Ok(self)
    }

    /// Sets which runs train here, and how many at a time. By default, one run trains on each core of the
    /// CPU, and on a GPU one run after the other. [`exec::Stacked`](crate::exec::Stacked) trains several runs
    /// side by side in one graph.
    #[must_use]
    pub fn executor(mut self, executor: &'a dyn Executor) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Sets where members are kept; the default is in memory. A run whose members are all in the store is not
    /// trained again.
    #[must_use]
    pub fn store(mut self, store: &'a dyn Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Makes the session a [`Worker`]: it takes one run after the other from the store, beside other workers, until all runs
    /// are done. The [executor](Self::executor) decides how many it trains at a time. The default is to train all runs that
    /// the executor is responsible for, whoever else trains them.
    #[must_use]
    pub fn worker(mut self, worker: &'a Worker) -> Self {
        self.worker = Some(worker);
        self
    }

    /// Sets the observer that is notified of each event of a build.
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Sets how often the state of an unfinished run is written to the store; the default is every five
    /// minutes.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Reserves a share of the rows, in (0, 1), on which no run trains. The default is to reserve none.
    ///
    /// Reserved rows shape no member, so they are held out for every member, whatever the strategy (except
    /// where it [excludes](crate::resample::RunRows::excluded) rows). Combiners that learn can be fitted on
    /// them, and the barrier of a merge and [`best_of`](crate::merge::best_of()) can be measured on them.
    /// They are drawn from the seed of the plan: whole groups where the data has groups, otherwise in
    /// proportion to the strata where it has strata. [`Pool::reserved`] returns them.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::InverseError, data::TensorDataset, strategy::MultiRun};
    /// use candle_ensemble::{train::Trainer, Session};
    ///
    /// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.reshape((20, 2))?;
    /// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    ///
    /// // Every run of a multi-run trains on all rows, except for the reserved ones.
    /// let pool = Session::new(&trainer, &data).reserve(0.3).fit(&MultiRun::new(3), 42)?;
    /// assert_eq!(pool.reserved().len(), 6);
    /// assert_eq!(pool.held_out()?.rows(), pool.reserved());
    /// let ensemble = pool.combine(&InverseError::new())?; // fitted on the reserved rows
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn reserve(mut self, share: f64) -> Self {
        self.reserve = Some(share);
        self
    }

    pub(crate) fn data(&self) -> &'a dyn Dataset {
        self.data
    }

    pub(crate) fn learner(&self) -> &'a L {
        self.learner
    }

    /// The same session with other data.
    pub(crate) fn on_data<'b>(&self, data: &'b dyn Dataset) -> Session<'b, L>
    where
        'a: 'b,
    {
        Session { data, ..self.clone() }
    }

    /// The pool of the members of a plan.
    pub(crate) fn pool(&self, members: Vec<Member>, plan: &Plan) -> Result<Pool<'a, L>> {
        let of_plan = (plan.reserved.to_vec()?, plan.seed);
        Pool::new(members, self.learner, self.data, self.device.clone(), of_plan)
    }

    pub(crate) fn reserves_or_stores(&self) -> bool {
        self.reserve.is_some() || self.store.is_some()
    }

    pub(crate) fn own_observer(&self) -> &'a dyn Observer {
        self.observer
    }

    /// Lays out the runs of a strategy for this session's data, learner and reserved share. The plan depends
    /// on these and the seed alone.
    ///
    /// # Errors
    /// When a parameter of the strategy or the reserved share is out of range or does not fit the data.
    pub fn plan(&self, builder: &dyn EnsembleBuilder, seed: impl Into<Seed>) -> Result<Plan> {
        let seed = seed.into();
        let plan = builder.plan(self.data, &self.learner.architectures(), seed)?;
        match self.reserve {
            Some(share) => plan.reserve(share, self.data, seed),
            None => Ok(plan),
        }
    }

    /// Plans and trains: [`Session::plan`], then [`Session::train`]. The one seed determines everything:
    /// rows, initial weights, the order of batches, and what a combiner draws.
    ///
    /// # Errors
    /// As [`Session::plan`] and [`Session::train`].
    pub fn fit(&self, builder: &dyn EnsembleBuilder, seed: impl Into<Seed>) -> Result<Pool<'a, L>> {
        self.train(&self.plan(builder, seed)?)
    }

    /// Trains the runs of the plan that the store lacks, and returns the pool of all members.
    ///
    /// # Errors
    /// When the plan does not fit the data, the learner or the store; the error of the first run in plan
    /// order that failed; [`Error::Cancelled`] when an observer stops the build.
    pub fn train(&self, plan: &Plan) -> Result<Pool<'a, L>> {
        let (memory, plan) = (MemoryStore::new(), &*self.bound(plan)?);
        let build = Build::new(self, plan, self.store.unwrap_or(&memory))?;
        build.train()?;
        build.load()
    }

    /// Trains the runs of the plan that the store lacks, and leaves their members in the store. No more
    /// networks are in memory than are being trained.
    ///
    /// # Errors
    /// As [`Session::train`], and when the session has no store.
    pub fn build(&self, plan: &Plan) -> Result<()> {
        Build::new(self, &*self.bound(plan)?, self.required_store()?)?.train()
    }

    /// Loads the members of a plan from the store and returns their pool. Trains nothing.
    ///
    /// # Errors
    /// [`Error::Incomplete`], with the numbers of the missing runs, when members are missing; when the
    /// session has no store.
    pub fn load(&self, plan: &Plan) -> Result<Pool<'a, L>> {
        Build::new(self, &*self.bound(plan)?, self.required_store()?)?.load()
    }

    /// How far the build of a plan is, from what its store holds, whoever trains the runs. Trains nothing.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{data::TensorDataset, exec::Shard, exec::Sequential, store::MemoryStore, strategy::Bagging};
    /// use candle_ensemble::{train::Trainer, Session};
    ///
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// # let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// let store = MemoryStore::new();
    /// let session = Session::new(&trainer, &data).store(&store);
    /// let plan = session.plan(&Bagging::new(5), 42)?;
    /// session.clone().executor(&Shard::new(0, 2, &Sequential)?).build(&plan)?;
    ///
    /// let status = session.status(&plan)?;
    /// assert_eq!((status.done.to_string(), status.waiting.to_string()), ("0, 2, 4".into(), "1, 3".into()));
    /// assert!(!status.is_settled());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the plan does not fit the data, the learner or the store; when the session has no store, or one without
    /// [blobs](Store::blobs), or one that cannot be read.
    pub fn status(&self, plan: &Plan) -> Result<Status> {
        Build::new(self, &*self.bound(plan)?, self.required_store()?)?.status()
    }

    /// Reads the [`status`](Self::status) again and again, with this time between, and passes it to `show`, until each run is
    /// done or failed, or until `show` returns [`Flow::Stop`]. Returns the last status.
    ///
    /// ```no_run
    /// # use candle_ensemble::{observe::Flow, plan::Plan, train::Learner, Result, Session};
    /// # fn watch<L: Learner>(session: &Session<'_, L>, plan: &Plan) -> Result<()> {
    /// session.watch(plan, std::time::Duration::from_secs(10), |status| {
    ///     println!("{status}\n");
    ///     Flow::Continue
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub fn watch(
        &self,
        plan: &Plan,
        interval: Duration,
        mut show: impl FnMut(&Status) -> Flow,
    ) -> Result<Status> {
        let plan = self.bound(plan)?;
        let build = Build::new(self, &plan, self.required_store()?)?;
        loop {
            let status = build.status()?;
            if show(&status) == Flow::Stop || status.is_settled() {
                return Ok(status);
            }
            std::thread::sleep(interval);
        }
    }

    /// The plan with the strata and groups of the data, which a plan that was read from a file lacks.
    fn bound<'p>(&self, plan: &'p Plan) -> Result<Cow<'p, Plan>> {
        match plan.is_bound() {
            true => Ok(Cow::Borrowed(plan)),
            false => plan.clone().bind(self.data).map(Cow::Owned),
        }
    }

    fn required_store(&self) -> Result<&'a dyn Store> {
        self.store
            .ok_or_else(|| Error::invalid("the session", "given a store (Session::store)", "without one"))
    }
}

/// The build of one plan: what its runs share.
struct Build<'b, 'a, L> {
    session: &'b Session<'a, L>,
    plan: &'b Plan,
    store: &'b dyn Store,
    devices: Devices,
    tag: String,
    /// The signature of each run's network, in the order of the runs.
    networks: Vec<Arc<str>>,
    /// The largest number of members of one run: slots are numbered by run and member.
    stride: usize,
    /// The leases of a worker.
    leases: Option<LeaseObserver<'a>>,
}

impl<'b, 'a, L: Learner> Build<'b, 'a, L> {
    /// Checks everything that can be checked before a run is trained.
    fn new(session: &'b Session<'a, L>, plan: &'b Plan, store: &'b dyn Store) -> Result<Self> {
        session.checkpoints.check()?;
        session.worker.map_or(Ok(()), Worker::check)?;
        plan.check(session.data)?;
        for run in &plan.runs {
            session.learner.check(run, session.data).map_err(|e| e.in_run(run.id))?;
        }
        let stride = plan.runs.iter().map(|run| run.collect.members(session.learner.epochs(run))).max();
        let tag = session.learner.tag();
        let networks = signature::of_runs(session.learner, &plan.runs, &session.device)?;
        let distinct = networks.iter().collect::<BTreeSet<_>>();
        let distinct: Vec<String> = distinct.into_iter().map(ToString::to_string).collect();
        store.open(&Manifest::new(plan, &tag, &distinct))?;
        let devices = Devices::new(&session.device, &session.others);
        let leases = session.worker.map(|worker| LeaseObserver::new(worker, session.observer));
        Ok(Self { session, plan, store, devices, tag, networks, stride: stride.unwrap_or(1), leases })
    }

    fn members(&self, run: &RunSpec) -> usize {
        run.collect.members(self.session.learner.epochs(run))
    }

    fn train(&self) -> Result<()> {
        let listing = self.store.blobs().map(Listing::of).transpose()?;
        let todo = self.todo(listing.as_ref())?;
        let (of, finished) = (self.plan.runs.len(), self.plan.runs.len() - todo.len());
        let epochs_of = |run: &RunSpec| self.session.learner.epochs(run);
        let epochs = todo.iter().map(|run| epochs_of(run)).sum();
        let planned = self.plan.runs.iter().map(epochs_of).sum();
        let (done, default) = (
            AtomicUsize::new(finished),
            exec::default_for_devices(&self.session.device, &self.session.others),
        );
        let executor = self.session.executor.unwrap_or(&*default);
        let started = self.notify(&Event::BuildStarted { runs: of, finished, epochs, planned });
        let outcome = started
            .and_then(|()| match &self.leases {
                Some(leases) => self.work(leases, listing.as_ref(), &executor.share(&todo), executor, &done),
                None => executor.execute_groups(&todo, &|runs| self.run_group(runs, &done)),
            })
            .and_then(|()| self.notify(&Event::BuildFinished));
        outcome.map_err(|e| match e {
            Error::Cancelled { .. } => Error::Cancelled { done: done.into_inner(), of },
            e => e,
        })
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
        self.plan.key(run, &self.tag, self.network(run), index)
    }

    /// The signature of a run's network.
    fn network(&self, run: &RunSpec) -> &str {
        // `Plan::check` ensures that a run's number is its position.
        self.networks.get(run.id).map_or("", |network| &**network)
    }

    /// Trains a group of runs on one of the devices.
    fn run_group(&self, runs: &[&RunSpec], done: &AtomicUsize) -> Vec<Result<()>> {
        self.devices.on_one(|device| self.run_group_on(device, runs, done))
    }

    /// Trains a group of runs, those side by side that have that in common which the learner needs. Returns the outcome of
    /// each. After a run that was cancelled no other begins.
    fn run_group_on(&self, device: &Device, runs: &[&RunSpec], done: &AtomicUsize) -> Vec<Result<()>> {
        let mut parts: Vec<(Option<String>, Vec<usize>)> = vec![];
        for (number, run) in runs.iter().enumerate() {
            let key = self.session.learner.stack_key(run);
            match parts.iter_mut().find(|(known, _)| known.is_some() && *known == key) {
                Some((_, part)) => part.push(number),
                None => parts.push((key, vec![number])),
            }
        }
        let mut outcomes = cancelled(runs.len());
        for (key, part) in parts {
            let together: Vec<_> = part.iter().filter_map(|number| runs.get(*number).copied()).collect();
            let trained = match &*together {
                [run] => {
                    let not_stacked = (runs.len() > 1).then_some(why_alone(key.is_some()));
                    vec![self.run(run, device, not_stacked, done)]
                }
                several => self.run_stacked(several, device, done),
            };
            let stop = trained.iter().any(|outcome| matches!(outcome, Err(Error::Cancelled { .. })));
            for (number, outcome) in part.into_iter().zip(trained) {
                outcomes[number] = outcome.map_err(|e| e.in_run(runs[number].id));
            }
            if stop {
                break;
            }
        }
        outcomes
    }

    /// Trains one run, from initial weights to its members in the store. `not_stacked` is the reason why a run of a group
    /// of several is not trained side by side with others.
    fn run(
        &self,
        run: &RunSpec,
        device: &Device,
        not_stacked: Option<&str>,
        done: &AtomicUsize,
    ) -> Result<()> {
        if let Some(reason) = not_stacked {
            self.notify(&Event::NotStacked { run, reason })?;
        }
        let started = Instant::now();
        self.notify(&Event::RunStarted { run })?;
        let store_member = self.storing(run, done);
        let trained = train_run(self.session.learner, self.parts(run, device, &*store_member)?);
        self.unless_lost(run, trained.and_then(|(_, curve)| self.finish_run(run, &curve, started)))
    }

    /// Trains several runs side by side.
    fn run_stacked(&self, runs: &[&RunSpec], device: &Device, done: &AtomicUsize) -> Vec<Result<()>> {
        let started = Instant::now();
        let mut outcomes = cancelled(runs.len());
        let stores: Vec<_> = runs.iter().map(|run| self.storing(run, done)).collect();
        let (mut numbers, mut all) = (vec![], vec![]);
        for (number, (run, store_member)) in runs.iter().zip(&stores).enumerate() {
            let begun = self
                .notify(&Event::RunStarted { run })
                .and_then(|()| self.parts(run, device, &**store_member));
            match begun {
                Ok(parts) => {
                    numbers.push(number);
                    all.push(parts);
                }
                Err(Error::Cancelled { .. }) => return outcomes,
                Err(e) => outcomes[number] = Err(e),
            }
        }
        train_stacked(self.session.learner, all, &mut |place, trained| {
            let number = numbers[place];
            let finished = trained.and_then(|curve| self.finish_run(runs[number], &curve, started));
            outcomes[number] = self.unless_lost(runs[number], finished);
            match outcomes[number] {
                Err(Error::Cancelled { .. }) => Flow::Stop,
                _ => Flow::Continue,
            }
        });
        outcomes
    }

    /// What stores the members of a run.
    fn storing<'p>(&'p self, run: &'p RunSpec, done: &'p AtomicUsize) -> Box<StoreMember<'p>> {
        Box::new(move |index, collected: Collected<'_>| self.store_member(run, index, collected, done))
    }

    /// What the training of a run needs besides the learner.
    fn parts<'p>(
        &'p self,
        run: &'p RunSpec,
        device: &'p Device,
        store_member: &'p StoreMember<'p>,
    ) -> Result<RunParts<'p>> {
        let Session { data, observer, .. } = self.session;
        let observer = self.leases.as_ref().map_or(*observer, |leases| leases as &dyn Observer);
        let key = self.checkpoint_key(run)?;
        Ok(RunParts {
            data: *data,
            spec: run,
            device,
            observer,
            checkpoints: Some(RunCheckpoints::new(self.store, key, self.session.checkpoints)),
            store_member,
            after_step: None,
        })
    }

    /// Ends a run, all members of which are in the store.
    fn finish_run(&self, run: &RunSpec, curve: &[EpochRecord], started: Instant) -> Result<()> {
        self.store.drop_checkpoint(&self.checkpoint_key(run)?)?;
        let (epochs, planned) = (curve.len(), self.session.learner.epochs(run));
        self.notify(&Event::RunFinished { run, epochs, planned, elapsed: started.elapsed() })
    }

    /// Puts a copy of the network as it is now into the store. With its last member a run counts as done.
    fn store_member(
        &self,
        run: &RunSpec,
        index: usize,
        collected: Collected<'_>,
        done: &AtomicUsize,
    ) -> Result<()> {
        let Collected { vars, curve, scaling } = collected;
        let record = Record {
            run: run.id,
            index,
            slot: run.slot * self.stride + index,
            refit: run.refit,
            architecture: run.architecture.clone(),
            settings: run.settings.clone(),
            features: run.features.clone(),
            scaling: scaling.clone(),
            seen: run.seen()?,
            seen_unknown: false,
            curve: curve.to_vec(),
            key: self.key(run, index)?,
        };
        self.store.put(Member { weights: vars.snapshot()?, record })?;
        if index + 1 == self.members(run) {
            done.fetch_add(1, Ordering::Relaxed);
        }
        self.notify(&Event::MemberCollected { run, index })
    }

    fn checkpoint_key(&self, run: &RunSpec) -> Result<String> {
        Ok(checkpoint::key(&self.key(run, 0)?))
    }

    fn load(&self) -> Result<Pool<'a, L>> {
        let mut wanted = vec![];
        for run in &self.plan.runs {
            wanted.extend(self.keys(run)?.members.into_iter().map(|key| (run.id, key)));
        }
        let get = |number: usize| match wanted.get(number) {
            Some((run, key)) => Ok((*run, self.store.get(key)?)),
            None => Ok((0, None)), // there is no such job
        };
        let (mut members, mut missing) = (vec![], vec![]);
        let take = |(run, member)| {
            match member {
                Some(member) => members.push(member),
                None if missing.last() == Some(&run) => {}
                None => missing.push(run),
            }
            Ok::<_, Error>(())
        };
        in_order(wanted.len(), READERS, || Some(get), get, take)?;
        if !missing.is_empty() {
            return Err(Error::Incomplete { missing, of: self.plan.runs.len() });
        }
        self.session.pool(members, self.plan)
    }

    fn notify(&self, event: &Event<'_>) -> Result<()> {
        match self.session.observer.notify(event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(Error::Cancelled { done: 0, of: 0 }),
        }
    }
}

/// Why a run of a group of several is trained alone, where the learner can or cannot train runs side by side.
fn why_alone(can_stack: bool) -> &'static str {
    match can_stack {
        true => "no other run of its group has the same network",
        false => "its learner trains one network at a time",
    }
}

/// The outcomes of runs that have not begun.
fn cancelled(runs: usize) -> Vec<Result<()>> {
    (0..runs).map(|_| Err(Error::Cancelled { done: 0, of: 0 })).collect()
}
