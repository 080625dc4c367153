//! Blocks in memory, up to a number of bytes, for any number of threads.
use crate::Result;
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Values by number, of which those used last are kept.
pub(super) struct Cache<T> {
    /// The most bytes that are kept. The blocks that are being read and those that are in use come on top.
    limit: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    slots: BTreeMap<usize, Slot<T>>,
    bytes: usize,
    /// The number of accesses.
    clock: u64,
}

enum Slot<T> {
    /// A thread is reading it.
    Reading,
    Ready {
        value: Arc<T>,
        bytes: usize,
        used: u64,
    },
}

impl<T> Cache<T> {
    pub(super) fn new(limit: usize) -> Self {
        let state = State { slots: BTreeMap::new(), bytes: 0, clock: 0 };
        Self { limit, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the value is there, or is being read.
    pub(super) fn knows(&self, number: usize) -> bool {
        self.lock().slots.contains_key(&number)
    }

    /// The value of a number. `read` returns it with its size in bytes, if it is not there. While a thread reads a value,
    /// others that need it wait. An error is that of the thread that has it; others that waited try themselves.
    pub(super) fn get(&self, number: usize, read: impl FnOnce() -> Result<(T, usize)>) -> Result<Arc<T>> {
        let mut state = self.lock();
        loop {
            state.clock += 1;
            let clock = state.clock;
            match state.slots.get_mut(&number) {
                Some(Slot::Ready { value, used, .. }) => {
                    *used = clock;
                    return Ok(value.clone());
                }
                Some(Slot::Reading) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        state.slots.insert(number, Slot::Reading);
        drop(state);
        // Also if `read` panics.
        let forget = Forget { cache: self, number };
        let (value, bytes) = read()?;
        std::mem::forget(forget);
        let value = Arc::new(value);
        let mut state = self.lock();
        state.make_room(self.limit.saturating_sub(bytes));
        state.bytes += bytes;
        let used = state.clock;
        state.slots.insert(number, Slot::Ready { value: value.clone(), bytes, used });
        drop(state);
        self.changed.notify_all();
        Ok(value)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

impl<T> State<T> {
    /// Drops what was used longest ago, until no more than `limit` bytes are kept.
    fn make_room(&mut self, limit: usize) {
        while self.bytes > limit {
            let ready = self.slots.iter().filter_map(|(number, slot)| match slot {
                Slot::Ready { used, bytes, .. } => Some((*used, *number, *bytes)),
                Slot::Reading => None,
            });
            let Some((_, number, bytes)) = ready.min() else { return };
            self.slots.remove(&number);
            self.bytes -= bytes;
        }
    }
}

/// Removes the mark of a value that could not be read.
struct Forget<'c, T> {
    cache: &'c Cache<T>,
    number: usize,
}

impl<T> Drop for Forget<'_, T> {
    fn drop(&mut self) {
        self.cache.lock().slots.remove(&self.number);
        self.cache.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
        time::Duration,
    };

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let cache = Cache::new(25);
        let read = AtomicUsize::new(0);
        let get = |number| {
            let value = cache.get(number, || {
                read.fetch_add(1, Ordering::Relaxed);
                Ok((number * 7, 10))
            });
            assert_eq!(*value.unwrap(), number * 7);
            (read.load(Ordering::Relaxed), cache.bytes())
        };
        assert_eq!([get(1), get(2), get(1), get(3)], [(1, 10), (2, 20), (2, 20), (3, 20)]);
        assert!(cache.knows(1) && cache.knows(3) && !cache.knows(2));
        assert_eq!([get(1), get(2), get(3)], [(3, 20), (4, 20), (5, 20)]);
        // A value larger than the cache is given and is the only one that is kept.
        cache.get(9, || Ok((0, 100))).unwrap();
        assert_eq!(cache.bytes(), 100);
        assert_eq!(get(1), (6, 10));
    }

    #[test]
    fn a_value_is_read_once_for_all_threads_that_wait_for_it() {
        let (cache, read) = (Cache::new(1000), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let value = cache.get(4, || {
                        thread::sleep(Duration::from_millis(30));
                        Ok((read.fetch_add(1, Ordering::Relaxed), 1))
                    });
                    assert_eq!(*value.unwrap(), 0);
                });
            }
        });
        assert_eq!(read.into_inner(), 1);
    }

    #[test]
    fn an_error_or_a_panic_leaves_the_value_to_the_next_one() {
        let cache = Cache::<u8>::new(10);
        let fault = || Err(Error::invalid("a", "b", "c"));
        assert!(cache.get(1, fault).is_err() && cache.get(1, fault).is_err());
        let panic = std::panic::AssertUnwindSafe(|| cache.get(1, || panic!("as intended")));
        assert!(std::panic::catch_unwind(panic).is_err());
        assert_eq!(*cache.get(1, || Ok((5, 1))).unwrap(), 5);
    }
}
