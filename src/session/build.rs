//! The build of a plan: its runs, one after the other or side by side, and their members in the store.
use crate::{
    exec::{self, worker::LeaseObserver, Devices, Worker},
    observe::{Event, Flow, Observer},
    plan::{Plan, RunSpec},
    pool::Pool,
    session::{
        sequences::{units, UnderWay},
        Session,
    },
    store::{
        checkpoint,
        listing::Listing,
        member::{each_in_networks, without_left_out},
        EpochRecord, InNetwork, Manifest, Record, Store,
    },
    threads::in_order,
    train::{signature, train_run, train_stacked, Collected, Learner, RunCheckpoints, RunParts, StoreMember},
    Error, Member, Result,
};
use candle_core::Device;
use std::{
    collections::BTreeSet,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::Instant,
};

/// How many members are read from a store at the same time, so that one that is far away does not take a round trip each.
const READERS: usize = 16;

/// The build of one plan: what its runs share.
pub(super) struct Build<'b, 'a, L> {
    pub(super) session: &'b Session<'a, L>,
    pub(super) plan: &'b Plan,
    pub(super) store: &'b dyn Store,
    pub(super) devices: Devices,
    pub(super) tag: String,
    /// The signature of each run's network, in the order of the runs.
    pub(super) networks: Vec<Arc<str>>,
    /// The largest number of members of one run: slots are numbered by run and member.
    pub(super) stride: usize,
    /// The leases of a worker.
    pub(super) leases: Option<LeaseObserver<'a>>,
    /// The runs that depend on earlier ones.
    pub(super) under_way: UnderWay,
}

impl<'b, 'a, L: Learner> Build<'b, 'a, L> {
    /// Checks everything that can be checked before a run is trained.
    pub(super) fn new(session: &'b Session<'a, L>, plan: &'b Plan, store: &'b dyn Store) -> Result<Self> {
        session.checkpoints.check()?;
        session.worker.map_or(Ok(()), Worker::check)?;
        plan.check(session.data)?;
        let under_way = UnderWay::check(session.learner, &plan.runs, session.data, &session.device)?;
        let stride = plan.runs.iter().map(|run| run.collect.members(session.learner.epochs(run))).max();
        let tag = session.learner.tag();
        let networks = signature::of_runs(session.learner, &plan.runs, &session.device)?;
        let distinct = networks.iter().collect::<BTreeSet<_>>();
        let distinct: Vec<String> = distinct.into_iter().map(ToString::to_string).collect();
        store.open(&Manifest::new(plan, &tag, &distinct))?;
        let devices = Devices::new(&session.device, &session.others);
        let leases = session.worker.map(|worker| LeaseObserver::new(worker, session.observer));
        Ok(Self {
            session,
            plan,
            store,
            devices,
            tag,
            networks,
            stride: stride.unwrap_or(1),
            leases,
            under_way,
        })
    }

    pub(super) fn members(&self, run: &RunSpec) -> usize {
        run.collect.members(self.session.learner.epochs(run))
    }

    pub(super) fn train(&self) -> Result<()> {
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
                Some(leases) => {
                    self.work(leases, listing.as_ref(), &self.share(&todo, executor), executor, &done)
                }
                None => executor
                    .execute_groups(&units(&self.plan.runs, &todo), &|runs| self.run_group(runs, &done)),
            })
            .and_then(|()| self.notify(&Event::BuildFinished));
        outcome.map_err(|e| match e {
            Error::Cancelled { .. } => Error::Cancelled { done: done.into_inner(), of },
            e => e,
        })
    }

    pub(super) fn is_done(&self, run: &RunSpec) -> Result<bool> {
        for index in 0..self.members(run) {
            if !self.store.contains(&self.key(run, index)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn key(&self, run: &RunSpec, index: usize) -> Result<String> {
        self.plan.key(run, &self.tag, self.network(run), index)
    }

    /// The signature of a run's network.
    pub(super) fn network(&self, run: &RunSpec) -> &str {
        // `Plan::check` ensures that a run's number is its position.
        self.networks.get(run.id).map_or("", |network| &**network)
    }

    /// Trains a group of runs on one of the devices.
    pub(super) fn run_group(&self, runs: &[&RunSpec], done: &AtomicUsize) -> Vec<Result<()>> {
        self.devices.on_one(|device| self.run_group_on(device, runs, done))
    }

    /// Trains a group of runs, those side by side that have that in common which the learner needs. Returns the outcome of
    /// each. After a run that was cancelled no other begins.
    pub(super) fn run_group_on(
        &self,
        device: &Device,
        runs: &[&RunSpec],
        done: &AtomicUsize,
    ) -> Vec<Result<()>> {
        let mut parts: Vec<(Option<String>, Vec<usize>)> = vec![];
        for (number, run) in runs.iter().enumerate() {
            // What the members of a sequence train on depends on the ones before.
            let key = run.sequence.is_none().then(|| self.session.learner.stack_key(run)).flatten();
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
                    let not_stacked = (runs.len() > 1).then_some(why_alone(run, key.is_some()));
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
        if let Some(sequence) = &run.sequence {
            // A worker holds the lease of one run.
            return match self.leases {
                Some(_) => self.run_round(run, sequence, device, done),
                None => self.run_sequence(sequence, device, done),
            };
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
    pub(super) fn parts<'p>(
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
    pub(super) fn finish_run(&self, run: &RunSpec, curve: &[EpochRecord], started: Instant) -> Result<()> {
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
        let record = self.record(run, index, &collected)?;
        self.put(run, Member { weights: collected.vars.snapshot()?, record }, done)?;
        self.notify(&Event::MemberCollected { run, index })
    }

    /// The record of a member of a run.
    pub(super) fn record(&self, run: &RunSpec, index: usize, collected: &Collected<'_>) -> Result<Record> {
        let Collected { curve, scaling, count, .. } = *collected;
        // Of a sequence a network is one member, whatever it holds.
        let count = if run.sequence.is_some() { 1 } else { count };
        let aggregation = self.session.learner.aggregation(&run.settings)?;
        Ok(Record {
            run: run.id,
            index,
            slot: run.slot * self.stride + index,
            refit: run.refit,
            in_network: InNetwork::first_of(count, aggregation),
            architecture: run.architecture.clone(),
            settings: run.settings.clone(),
            features: run.features.clone(),
            scaling: scaling.clone(),
            seen: run.seen()?,
            seen_unknown: false,
            round: None,
            curve: curve.to_vec(),
            key: self.key(run, index)?,
        })
    }

    /// Puts a member of a run into the store.
    pub(super) fn put(&self, run: &RunSpec, member: Member, done: &AtomicUsize) -> Result<()> {
        let index = member.record.index;
        self.store.put(member)?;
        if index + 1 == self.members(run) {
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) fn checkpoint_key(&self, run: &RunSpec) -> Result<String> {
        Ok(checkpoint::key(&self.key(run, 0)?))
    }

    pub(super) fn load(&self) -> Result<Pool<'a, L>> {
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
        self.session.pool(each_in_networks(without_left_out(members)), self.plan)
    }

    pub(super) fn notify(&self, event: &Event<'_>) -> Result<()> {
        match self.session.observer.notify(event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(Error::Cancelled { done: 0, of: 0 }),
        }
    }
}

/// Why a run of a group of several is trained alone, where the learner can or cannot train runs side by side.
fn why_alone(run: &RunSpec, can_stack: bool) -> &'static str {
    match can_stack {
        _ if run.sequence.is_some() => "it depends on earlier runs",
        true => "no other run of its group has the same network",
        false => "its learner trains one network at a time",
    }
}

/// The outcomes of runs that have not begun.
fn cancelled(runs: usize) -> Vec<Result<()>> {
    (0..runs).map(|_| Err(Error::Cancelled { done: 0, of: 0 })).collect()
}
