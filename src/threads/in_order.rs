//! Jobs on several threads, whose results arrive in order.
use crate::threads::crew::Helpers;
use std::{
    collections::BTreeMap,
    panic::{catch_unwind, resume_unwind, AssertUnwindSafe},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Jobs that are begun and whose results have not been taken, for each thread.
const AHEAD: usize = 2;

/// Does the jobs `0..count` on up to `threads` threads, and gives their results to `take`, in order and on the calling
/// thread. The first error in this order is returned.
///
/// The calling thread works too, with `own`. Each other thread works with what it got from `helper`, which is called
/// on that thread, so that what does the work need not be `Send`; a thread for which there is none does nothing. No
/// more than `2 · threads` jobs are begun or wait for their turn, besides the one whose result is being taken.
pub(crate) fn in_order<T: Send, E: Send, W: FnMut(usize) -> Result<T, E>>(
    count: usize,
    threads: usize,
    helper: impl Fn() -> Option<W> + Sync,
    mut own: impl FnMut(usize) -> Result<T, E>,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.min(count);
    if threads <= 1 {
        return (0..count).try_for_each(|job| take(own(job)?));
    }
    let queue = Queue::new(count, AHEAD * threads);
    let help = || {
        // A constructor that panics here has not done so on the calling thread, which can do all of the work.
        if let Some(mut work) = catch_unwind(AssertUnwindSafe(&helper)).ok().flatten() {
            while let Some(job) = queue.claim() {
                let done = catch_unwind(AssertUnwindSafe(|| work(job)));
                let panicked = done.is_err();
                queue.finish(job, done);
                if panicked {
                    break;
                }
            }
        }
    };
    Helpers::lease(threads - 1).beside(&help, || {
        let _close = CloseOnDrop(&queue);
        loop {
            match queue.turn() {
                Turn::Take(Ok(result)) => take(result?)?,
                Turn::Take(Err(panic)) => resume_unwind(panic),
                Turn::Work(job) => queue.finish(job, Ok(own(job))),
                Turn::End => return Ok(()),
            }
        }
    })
}

/// A result, or the panic that took its place.
type Done<R> = thread::Result<R>;

/// What the calling thread does next.
enum Turn<R> {
    Take(Done<R>),
    Work(usize),
    End,
}

struct State<R> {
    /// The first job that nobody has begun.
    next: usize,
    /// How many results have been taken: the first jobs.
    taken: usize,
    done: BTreeMap<usize, Done<R>>,
    closed: bool,
}

/// The jobs of one call.
struct Queue<R> {
    count: usize,
    window: usize,
    state: Mutex<State<R>>,
    changed: Condvar,
}

impl<R> Queue<R> {
    fn new(count: usize, window: usize) -> Self {
        let state = State { next: 0, taken: 0, done: BTreeMap::new(), closed: false };
        Self { count, window, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'q>(&self, state: MutexGuard<'q, State<R>>) -> MutexGuard<'q, State<R>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// A job that nobody has begun, unless too many results wait already.
    fn begin(&self, state: &mut State<R>) -> Option<usize> {
        let job = state.next;
        let free = job < self.count && job < state.taken + self.window;
        state.next += usize::from(free);
        free.then_some(job)
    }

    /// The next job of a helper, which waits for it; none when all jobs are begun.
    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        while !state.closed && state.next < self.count {
            match self.begin(&mut state) {
                Some(job) => return Some(job),
                None => state = self.wait(state),
            }
        }
        None
    }

    fn finish(&self, job: usize, done: Done<R>) {
        self.lock().done.insert(job, done);
        self.changed.notify_all();
    }

    /// What the calling thread does next, which waits for it: it takes a result as soon as it is there.
    fn turn(&self) -> Turn<R> {
        let mut state = self.lock();
        loop {
            let first = state.taken;
            if let Some(done) = state.done.remove(&first) {
                state.taken += 1;
                self.changed.notify_all();
                return Turn::Take(done);
            }
            if first == self.count {
                return Turn::End;
            }
            match self.begin(&mut state) {
                Some(job) => return Turn::Work(job),
                None => state = self.wait(state),
            }
        }
    }
}

/// Tells the helpers that no further job is wanted.
struct CloseOnDrop<'q, R>(&'q Queue<R>);

impl<R> Drop for CloseOnDrop<'_, R> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        rc::Rc,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    /// Later jobs are done sooner.
    fn square(job: usize) -> Result<usize, String> {
        thread::sleep(Duration::from_micros(200 * (7 - job as u64 % 8)));
        Ok(job * job)
    }

    #[test]
    fn results_arrive_in_order_from_any_number_of_threads() {
        for threads in [0, 1, 2, 8, 100] {
            let mut taken = vec![];
            // An Rc shows that what does the work need not be Send.
            let helper = || {
                let done = Rc::new(());
                Some(move |job| Rc::clone(&done).as_ref().eq(&()).then(|| square(job)).unwrap())
            };
            in_order(40, threads, helper, square, |result| {
                taken.push(result);
                Ok(())
            })
            .unwrap();
            assert_eq!(taken, (0..40).map(|job| job * job).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_in_order_is_returned_and_nothing_after_it_is_taken() {
        let work = |job: usize| match job {
            5..=7 => Err(format!("job {job}")),
            _ => square(job),
        };
        for threads in [1, 2, 8] {
            let mut taken = 0;
            let result = in_order(
                40,
                threads,
                || Some(work),
                work,
                |_| {
                    taken += 1;
                    Ok(())
                },
            );
            assert_eq!((result.unwrap_err().as_str(), taken), ("job 5", 5));
            let result = in_order(
                40,
                threads,
                || Some(square),
                square,
                |result| match result {
                    9 => Err("taken 9".to_string()),
                    _ => Ok(()),
                },
            );
            assert_eq!(result.unwrap_err(), "taken 9");
        }
    }

    #[test]
    fn few_results_wait_for_their_turn() {
        let (begun, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |job: usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            square(job)
        };
        let mut taken = 0;
        let take = |_| {
            thread::sleep(Duration::from_millis(1)); // the helpers would be far ahead
            most.fetch_max(begun.load(Ordering::SeqCst) - taken, Ordering::SeqCst);
            taken += 1;
            Ok::<(), String>(())
        };
        in_order(60, 3, || Some(work), work, take).unwrap();
        assert!(most.into_inner() <= AHEAD * 3 + 1);
    }

    #[test]
    fn a_helper_that_cannot_start_leaves_its_work_to_the_others() {
        let mut sum = 0;
        let take = |result: usize| {
            sum += result;
            Ok::<(), String>(())
        };
        in_order(10, 4, || None::<fn(usize) -> Result<usize, String>>, square, take).unwrap();
        assert_eq!(sum, 285);
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let own = thread::current().id();
        // One job that panics wherever it is done.
        let work = |job: usize| if job == 3 { panic!("job 3") } else { square(job) };
        for threads in [1, 2, 8] {
            let run = || in_order(20, threads, || Some(work), work, |_| Ok(()));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        assert_eq!(own, thread::current().id());
    }
}
