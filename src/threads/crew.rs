//! Threads that help the calling thread for a while.
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads that wait for work, and how many have been started in all. They are kept: to hand work to a thread that
/// waits takes microseconds.
struct Crew {
    idle: Vec<ThreadPool>,
    started: usize,
}

impl Crew {
    fn lock() -> MutexGuard<'static, Self> {
        static CREW: Mutex<Crew> = Mutex::new(Crew { idle: vec![], started: 0 });
        CREW.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Threads that work for one caller only, until they are dropped. So no caller ever waits for the work of another.
///
/// Each is a rayon pool of one thread, so that candle's kernels that use rayon stay on it.
pub(super) struct Helpers(Vec<ThreadPool>);

impl Helpers {
    /// Up to `limit` threads: those that are free. All callers together have no more than that, so that they do not
    /// compete for the cores.
    pub(super) fn lease(limit: usize) -> Self {
        let mut crew = Crew::lock();
        let kept = crew.idle.len().saturating_sub(limit);
        let mut leased = crew.idle.split_off(kept);
        while leased.len() < limit && crew.started < limit {
            let named = ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "helper".into());
            let Ok(pool) = named.build() else { break };
            crew.started += 1;
            leased.push(pool);
        }
        Self(leased)
    }

    /// Calls `help` on each of the threads, while `own` runs on this one. Returns when all of them have returned.
    pub(super) fn beside<R>(&self, help: &(impl Fn() + Sync), own: impl FnOnce() -> R) -> R {
        beside(&self.0, help, own)
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        Crew::lock().idle.append(&mut self.0);
    }
}

fn beside<R>(pools: &[ThreadPool], help: &(impl Fn() + Sync), own: impl FnOnce() -> R) -> R {
    match pools.split_first() {
        None => own(),
        Some((first, others)) => first.in_place_scope(|scope| {
            scope.spawn(|_| help());
            beside(others, help, own)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, thread};

    #[test]
    fn every_helper_is_another_thread_and_is_leased_to_one_caller() {
        let ids = Mutex::new(BTreeSet::new());
        let note = || {
            ids.lock().unwrap().insert(format!("{:?}", thread::current().id()));
        };
        let (some, others) = (Helpers::lease(2), Helpers::lease(64));
        some.beside(&note, || others.beside(&note, note));
        assert_eq!(ids.into_inner().unwrap().len(), 1 + some.0.len() + others.0.len());
        assert!(some.0.len() <= 2);
    }

    #[test]
    fn without_helpers_the_calling_thread_does_its_own_part() {
        assert_eq!(Helpers::lease(0).beside(&|| unreachable!(), || 7), 7);
    }
}
