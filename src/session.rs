//! Sessions: from a strategy to a plan, from a plan to a pool.
//!
//! A [`Session`] holds a learner and its data, and knows on which device and with which executor runs train,
//! where their members are stored and who observes them. [`Session::fit`] does everything at once.
//! [`Session::plan`], [`Session::build`] and [`Session::load`] are the steps one by one, for builds that are
//! spread over processes.
mod build;
mod round_dataset;
mod sequences;
mod work;

use crate::{
    data::Dataset,
    exec::{Executor, Worker},
    observe::{Flow, Observer, Silent},
    plan::Plan,
    pool::Pool,
    store::{Checkpoints, MemoryStore, Status, Store},
    strategy::EnsembleBuilder,
    train::Learner,
    Error, Member, Result, Seed,
};
use build::Build;
use candle_core::Device;
use sequences::UnderWay;
use std::{borrow::Cow, time::Duration};

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

    /// Checks the runs of a plan, as is done before any of them is trained.
    pub(crate) fn check(&self, plan: &Plan) -> Result<()> {
        UnderWay::check(self.learner, &plan.runs, self.data, &self.device).map(drop)
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
