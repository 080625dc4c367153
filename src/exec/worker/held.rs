//! The leases that this process holds, and their heartbeats.
use crate::{
    exec::Worker,
    observe::{Event, Flow, Observer},
    store::{
        lease::{Lease, LeaseState},
        Blobs,
    },
};
use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
    },
    time::Duration,
};

/// The leases that this process holds, by the numbers of their runs.
#[derive(Debug, Default)]
pub(crate) struct Held {
    leases: Mutex<BTreeMap<usize, Arc<HeldLease>>>,
    /// Whether the work is over, and how the thread of the heartbeats is told.
    over: (Mutex<bool>, Condvar),
}

/// A lease, how far its run is, and whether another worker has it now.
#[derive(Debug)]
pub(super) struct HeldLease {
    pub(super) lease: Mutex<Lease>,
    epoch: AtomicUsize,
    lost: AtomicBool,
    /// Whether the run was told to stop for that.
    stopped: AtomicBool,
}

impl HeldLease {
    pub(super) fn lock(&self) -> MutexGuard<'_, Lease> {
        lock(&self.lease)
    }

    pub(super) fn epoch(&self) -> usize {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl Held {
    pub(super) fn add(&self, run: usize, lease: Lease) {
        let held = HeldLease {
            lease: Mutex::new(lease),
            epoch: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        };
        lock(&self.leases).insert(run, Arc::new(held));
    }

    /// Takes the lease of a run out, which has no more heartbeats once its lock is held and it has ended.
    pub(super) fn take(&self, run: usize) -> Option<Arc<HeldLease>> {
        lock(&self.leases).remove(&run)
    }

    fn get(&self, run: usize) -> Option<Arc<HeldLease>> {
        lock(&self.leases).get(&run).cloned()
    }

    /// Whether the run was told to stop because another worker has it.
    pub(crate) fn has_stopped(&self, run: usize) -> bool {
        self.get(run).is_some_and(|held| held.has_stopped())
    }

    /// Notes that a run has finished this many epochs. Returns whether another worker has it.
    fn reach(&self, run: usize, epoch: usize) -> bool {
        let Some(held) = self.get(run) else { return false };
        held.epoch.store(epoch, Ordering::Relaxed);
        let lost = held.is_lost();
        held.stopped.fetch_or(lost, Ordering::Relaxed);
        lost
    }

    /// Writes a heartbeat into each lease. One that cannot be written is left for the next time.
    pub(super) fn beat(&self, blobs: &dyn Blobs) {
        let all: Vec<_> = lock(&self.leases).iter().map(|(run, held)| (*run, Arc::clone(held))).collect();
        for (run, held) in all {
            if held.is_lost() {
                continue;
            }
            match held.lock().beat(blobs, held.epoch()) {
                Ok(true) => {}
                Ok(false) => held.lost.store(true, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(run, %error, "the heartbeat of a lease failed, and is tried again")
                }
            }
        }
    }

    /// Writes heartbeats every `interval`, until [`finish`](Self::finish) is called.
    pub(super) fn keep_beating(&self, blobs: &dyn Blobs, interval: Duration) {
        let (over, told) = &self.over;
        let mut is_over = lock(over);
        while !*is_over {
            let waited = told.wait_timeout(is_over, interval).unwrap_or_else(PoisonError::into_inner);
            is_over = waited.0;
            if waited.1.timed_out() && !*is_over {
                drop(is_over);
                self.beat(blobs);
                is_over = lock(over);
            }
        }
    }

    /// Ends the heartbeats, and gives back what is still held.
    pub(super) fn finish(&self, blobs: &dyn Blobs) {
        *lock(&self.over.0) = true;
        self.over.1.notify_all();
        for (run, held) in std::mem::take(&mut *lock(&self.leases)) {
            let mut lease = held.lock();
            if !held.is_lost()
                && let Err(error) = lease.end(blobs, LeaseState::Released, held.epoch())
            {
                tracing::warn!(run, %error, "a lease cannot be given back; it will expire");
            }
        }
    }
}

/// The value behind a lock. What the locks of this module guard is consistent even if a thread panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An observer that notes how far the runs are for their leases, and stops those that other workers have.
pub(crate) struct LeaseObserver<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) inner: &'a dyn Observer,
    pub(crate) held: Held,
}

impl<'a> LeaseObserver<'a> {
    /// An observer for the runs of a worker, which passes events on to another one.
    pub(crate) fn new(worker: &'a Worker, inner: &'a dyn Observer) -> Self {
        Self { worker, inner, held: Held::default() }
    }
}

impl Observer for LeaseObserver<'_> {
    fn notify(&self, event: &Event<'_>) -> Flow {
        if self.inner.notify(event) == Flow::Stop {
            return Flow::Stop;
        }
        let lost = match event {
            Event::EpochEnded { run, record } => self.held.reach(run.id, record.epoch + 1),
            Event::Resumed { run, epoch } => self.held.reach(run.id, *epoch),
            _ => false,
        };
        match lost {
            true => Flow::Stop,
            false => Flow::Continue,
        }
    }
}
