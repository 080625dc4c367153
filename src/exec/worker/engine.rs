//! The work of one worker: it takes runs, trains them with its executor, and says what has become of them.
use crate::{
    exec::{
        worker::{
            held::{lock, Held},
            picker::{Candidate, Claim, Fate, Picker},
        },
        Executor, GroupJob, Worker,
    },
    observe::{Event, Flow, Observer},
    plan::RunSpec,
    store::{
        lease::{self, LeaseRecord, LeaseState},
        listing::Listing,
        Blobs, Store,
    },
    Error, Result,
};
use std::{
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Condvar, Mutex, PoisonError,
    },
    time::{Duration, Instant},
};

/// The longest time without a notice to the observer while the worker waits.
const NAP: Duration = Duration::from_millis(500);

/// The time between the first two looks at the leases of others. It doubles up to the time between heartbeats.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// For how many expiries a worker tries again to reach the store when it needs a run.
const PATIENCE: u32 = 5;

/// What a worker works on.
pub(crate) struct Task<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) store: &'a dyn Store,
    pub(crate) blobs: &'a dyn Blobs,
    pub(crate) candidates: &'a [Candidate<'a>],
    /// What the store holds, from which the candidates were made.
    pub(crate) listing: &'a Listing,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) held: &'a Held,
    /// Number of finished runs of the plan, those of others included.
    pub(crate) done: &'a AtomicUsize,
}

/// Trains the candidates together with all other workers of the store: the executor decides how many at a time, and `job`
/// trains a group of runs. Returns when each of them is done or failed, or when this worker is to leave.
///
/// # Errors
/// The error of the first failed run in plan order, that of the store, or [`Error::Cancelled`].
pub(crate) fn work(task: &Task<'_>, executor: &dyn Executor, job: &GroupJob<'_>) -> Result<()> {
    let shared = Shared::new(task);
    std::thread::scope(|scope| {
        // Also where the scope is left by a panic.
        let _end = OnDrop(|| task.held.finish(task.blobs));
        scope.spawn(|| task.held.keep_beating(task.blobs, task.worker.beat()));
        shared.work(executor, job)
    })?;
    shared.into_first_failure().map_or(Ok(()), Err)
}

/// Calls a function when it goes out of scope.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// A run whose lease this process holds.
struct Taken<'a> {
    /// Its position among the candidates.
    position: usize,
    run: &'a RunSpec,
    /// The record of the lease that was taken over, where there was one that could be read.
    before: Option<LeaseRecord>,
}

/// What has become of a run that this process trained: its position, its fate, how many of its epochs were reported, and its
/// error.
type Settled = (usize, Fate, usize, Option<Error>);

/// What the threads of one worker share.
struct Shared<'t, 'a> {
    task: &'t Task<'a>,
    /// Held by the one thread that picks runs or waits for some.
    picker: Mutex<Picker<'a>>,
    /// What the picker has not taken in yet.
    settled: Mutex<Vec<Settled>>,
    woken: Condvar,
    stop: AtomicBool,
    /// The error that stopped the work.
    error: Mutex<Option<Error>>,
    started: Instant,
    calls: AtomicUsize,
    claims: AtomicUsize,
}

impl<'t, 'a> Shared<'t, 'a> {
    fn new(task: &'t Task<'a>) -> Self {
        let Task { worker, store, blobs, candidates, listing, .. } = *task;
        Self {
            task,
            picker: Mutex::new(Picker::new(worker, store, blobs, candidates, listing)),
            settled: Mutex::default(),
            woken: Condvar::new(),
            stop: AtomicBool::new(false),
            error: Mutex::default(),
            started: Instant::now(),
            calls: AtomicUsize::new(0),
            claims: AtomicUsize::new(0),
        }
    }

    /// The executor is offered all runs that are left, and with each offer the worker takes a run that it finds, whichever
    /// was offered.
    fn work(&self, executor: &dyn Executor, job: &GroupJob<'_>) -> Result<()> {
        let offer = |offered: &[&RunSpec]| self.offer(offered.len(), job);
        loop {
            let left = {
                let mut picker = lock(&self.picker);
                self.take_in(&mut picker);
                picker.unsettled()
            };
            if left.is_empty() {
                return Ok(());
            }
            let before = [&self.calls, &self.claims].map(|count| count.load(Ordering::Relaxed));
            let outcome = executor.execute_groups(&left, &offer);
            if let Some(error) = lock(&self.error).take() {
                return Err(error);
            }
            outcome?;
            let after = [&self.calls, &self.claims].map(|count| count.load(Ordering::Relaxed));
            if after[0] == before[0] {
                let must = "one that trains each run that it is given, such as Threads";
                return Err(Error::invalid("the executor of a worker", must, "one that trained none"));
            }
            if !self.task.worker.wait && after[1] == before[1] {
                return Ok(());
            }
        }
    }

    /// Takes up to `most` runs and trains them. Returns an outcome for each run that was offered.
    fn offer(&self, most: usize, job: &GroupJob<'_>) -> Vec<Result<()>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.take(most).and_then(|taken| self.train(&taken, job)) {
            self.stop(error);
        }
        let outcome = |_| match self.has_stopped() {
            true => Err(Error::Cancelled { done: 0, of: 0 }),
            false => Ok(()),
        };
        (0..most).map(outcome).collect()
    }

    /// Stops all threads after their current runs.
    fn stop(&self, error: Error) {
        lock(&self.error).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
        let _settled = lock(&self.settled);
        self.woken.notify_all();
    }

    fn has_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Takes up to `most` runs; none where nothing is left to take. It waits while others have all that is left.
    fn take(&self, most: usize) -> Result<Vec<Taken<'a>>> {
        let mut picker = lock(&self.picker);
        let (mut interval, mut unreachable) = (FIRST_LOOK, None);
        loop {
            self.take_in(&mut picker);
            if self.has_stopped() || picker.is_settled() {
                return Ok(vec![]);
            }
            match picker.pick(most, self.started.elapsed()) {
                Err(error) if is_of_machine(&error) => {
                    let since = unreachable.get_or_insert_with(Instant::now);
                    if since.elapsed() > PATIENCE * self.task.worker.expiry {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the next run cannot be taken from the store, which is tried again");
                }
                Err(error) => return Err(error),
                Ok(claims) => {
                    unreachable = None;
                    let taken: Vec<_> = claims.into_iter().filter_map(|claim| self.hold(claim)).collect();
                    self.report_finished(&mut picker)?;
                    if !taken.is_empty() || picker.is_settled() || !self.task.worker.wait {
                        return Ok(taken);
                    }
                }
            }
            interval = interval.min(self.task.worker.beat());
            self.wait(&mut picker, interval)?;
            interval *= 2;
        }
    }

    /// Keeps a lease, so that it has heartbeats from now on.
    fn hold(&self, claim: Claim) -> Option<Taken<'a>> {
        let Claim { position, lease, before } = claim;
        let run = self.task.candidates.get(position)?.run;
        self.claims.fetch_add(1, Ordering::Relaxed);
        self.task.held.add(run.id, lease);
        Some(Taken { position, run, before })
    }

    /// Takes in what has become of the runs of this process.
    fn take_in(&self, picker: &mut Picker<'_>) {
        for (position, fate, epochs, error) in std::mem::take(&mut *lock(&self.settled)) {
            picker.settle(position, fate, epochs, error);
        }
    }

    /// Reports the runs that others have finished.
    fn report_finished(&self, picker: &mut Picker<'_>) -> Result<()> {
        match picker.finished_elsewhere() {
            (0, _) => Ok(()),
            (runs, epochs) => {
                self.task.done.fetch_add(runs, Ordering::Relaxed);
                self.notify(&Event::FinishedElsewhere { runs, epochs })
            }
        }
    }

    /// Waits until it is time to look at the leases of others again, or until a run of this process ends.
    fn wait(&self, picker: &mut Picker<'_>, interval: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < interval {
            self.notify(&Event::Waiting { under_way: picker.elsewhere() })?;
            let before = Instant::now();
            let settled = lock(&self.settled);
            if !settled.is_empty() || self.has_stopped() {
                break;
            }
            let nap = interval.min(NAP);
            drop(self.woken.wait_timeout(settled, nap).unwrap_or_else(PoisonError::into_inner));
            // This process was suspended, and perhaps the holders of the leases with it.
            if before.elapsed() > nap + self.task.worker.expiry / 2 {
                picker.forget_sightings();
            }
        }
        Ok(())
    }

    fn train(&self, taken: &[Taken<'a>], job: &GroupJob<'_>) -> Result<()> {
        if taken.is_empty() {
            return Ok(());
        }
        for Taken { run, before, .. } in taken {
            if let Some(before) = before {
                let (worker, epoch) = (&*before.holder.worker, before.epoch);
                self.notify(&Event::TakenOver { run, worker, epoch })?;
            }
        }
        let runs: Vec<_> = taken.iter().map(|taken| taken.run).collect();
        let mut all = Ok(());
        for (taken, outcome) in taken.iter().zip(job(&runs)) {
            all = all.and(self.settle(taken, outcome));
        }
        all
    }

    /// Notes what has become of a run, for this process and in the store. What cannot be written there does no harm: the lease
    /// expires.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the build is cancelled.
    fn settle(&self, taken: &Taken<'_>, outcome: Result<()>) -> Result<()> {
        let (blobs, run) = (self.task.blobs, taken.run.id);
        let Some(held) = self.task.held.take(run) else { return Ok(()) };
        let epoch = held.epoch();
        let mut lease = held.lock();
        let generation = lease.generation();
        let (fate, error, written) = match outcome {
            Err(cancelled @ Error::Cancelled { .. }) => {
                warn_unless(run, lease.end(blobs, LeaseState::Released, epoch));
                return Err(cancelled);
            }
            outcome if held.has_stopped() || outcome.is_err() && held.is_lost() => {
                lease.lose();
                (Fate::Elsewhere { generation: generation + 1, seen: None }, None, Ok(()))
            }
            Ok(()) => (Fate::Done, None, lease.remove(blobs)),
            Err(error) if is_of_machine(&error) => {
                (Fate::Failed, Some(error), lease.end(blobs, LeaseState::Released, epoch))
            }
            Err(error) => {
                let key =
                    self.task.candidates.get(taken.position).map_or("", |candidate| candidate.keys.key());
                let holder = &self.task.worker.holder;
                match lease::write_failure(blobs, key, run, holder, error.to_string()) {
                    Ok(failure) if failure.attempts < self.task.worker.attempts => {
                        let fate = Fate::Elsewhere { generation, seen: None };
                        (fate, None, lease.end(blobs, LeaseState::Failed, epoch))
                    }
                    Ok(_) => (Fate::Failed, Some(error), lease.end(blobs, LeaseState::Failed, epoch)),
                    Err(unwritten) => (Fate::Failed, Some(error), Err(unwritten)),
                }
            }
        };
        drop(lease);
        warn_unless(run, written);
        let was_lost = matches!(fate, Fate::Elsewhere { .. }) && held.is_lost();
        lock(&self.settled).push((taken.position, fate, epoch, error));
        self.woken.notify_all();
        match was_lost {
            true => self.notify(&Event::LeaseLost { run: taken.run }),
            false => Ok(()),
        }
    }

    fn notify(&self, event: &Event<'_>) -> Result<()> {
        match self.task.observer.notify(event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(Error::Cancelled { done: 0, of: 0 }),
        }
    }

    /// The error of the first failed run in plan order.
    fn into_first_failure(self) -> Option<Error> {
        let mut picker = self.picker.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (position, fate, epochs, error) in
            self.settled.into_inner().unwrap_or_else(PoisonError::into_inner)
        {
            picker.settle(position, fate, epochs, error);
        }
        picker.into_failures().into_values().next()
    }
}

/// Whether an error is that of this machine, its disks or its network, and not one of the run that would repeat elsewhere.
fn is_of_machine(error: &Error) -> bool {
    match error {
        Error::Io { .. } | Error::ObjectStorage { .. } => true,
        Error::Run { source, .. } => is_of_machine(source),
        _ => false,
    }
}

fn warn_unless(run: usize, written: Result<()>) {
    if let Err(error) = written {
        tracing::warn!(run, %error, "what became of a run cannot be written; its lease will expire");
    }
}
