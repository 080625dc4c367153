//! How many threads work on what.
//!
//! Members train in parallel, each on a core of its own. With candle's defaults this is slow for two reasons:
//! without `RAYON_NUM_THREADS` every matrix product reads `/proc/cpuinfo` to count cores, and without
//! `CANDLE_NUM_THREADS` large element-wise operations of all members wait for one thread pool.
//! [`one_core_per_member`] sets both. Predictions then use the cores too: passes over the rows are spread over them.
mod crew;
mod in_order;

pub(crate) use in_order::in_order;

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{
    sync::{Once, OnceLock},
    thread,
};

const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// Gives each member one core: sets `RAYON_NUM_THREADS` and `CANDLE_NUM_THREADS` to 1 where they are unset.
///
/// Call it at the start of `main`, while the process has one thread and before the first candle operation,
/// which reads the variables once. Values that are already set stay. Leave the call out in a program that
/// trains one large network at a time on all cores.
///
/// ```
/// candle_ensemble::threads::one_core_per_member();
/// assert!(candle_ensemble::threads::configured());
/// ```
#[allow(unsafe_code)]
pub fn one_core_per_member() {
    for name in VARIABLES {
        if std::env::var_os(name).is_none() {
            // SAFETY: At the start of `main`, where the documentation requires the call, no other thread
            // reads the environment.
            unsafe { std::env::set_var(name, "1") };
        }
    }
}

/// Whether both variables are set: by [`one_core_per_member`], by the shell or by cargo's configuration.
pub fn configured() -> bool {
    VARIABLES.iter().all(|name| std::env::var_os(name).is_some())
}

/// Logs a warning, once in a process, when members are trained in parallel and the variables are not set.
pub(crate) fn warn_once_when_unset() {
    static WARNED: Once = Once::new();
    if !configured() {
        WARNED.call_once(|| {
            tracing::warn!(
                "RAYON_NUM_THREADS and CANDLE_NUM_THREADS are not set, so candle's kernels and the members \
                 compete for the cores; call candle_ensemble::threads::one_core_per_member() first in main"
            );
        });
    }
}

/// Runs `f` in a thread pool with one thread for each core, whatever `RAYON_NUM_THREADS` says; on the current
/// thread if that pool cannot be started, or if `f` runs in a rayon pool already.
///
/// For work between trainings: fitting combiners, averaging weights.
pub(crate) fn wide<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let start = || {
        let named = ThreadPoolBuilder::new().num_threads(cores()).thread_name(|i| format!("wide {i}"));
        named.build().ok()
    };
    match POOL.get_or_init(start) {
        Some(pool) if rayon::current_thread_index().is_none() => pool.install(f),
        _ => f(),
    }
}

/// How many threads share work that is mostly candle's kernels: one for each core if these stay on one core
/// (`RAYON_NUM_THREADS` is 1), and otherwise one, because they use all cores themselves.
pub(crate) fn for_kernels() -> usize {
    let one = std::env::var("RAYON_NUM_THREADS").is_ok_and(|threads| threads.trim() == "1");
    if one {
        cores()
    } else {
        1
    }
}

/// The least work that is spread over threads: parameters of the networks times rows. A core does it in a fraction of
/// a millisecond; to wake a thread and to build networks on it takes tens of microseconds.
const LEAST_WORK: usize = 1 << 24;

/// How many threads share this much work of networks, in parameters times rows: no more than `most`, which is one a core
/// where it is not given.
pub(crate) fn for_passes(most: Option<usize>, work: usize) -> usize {
    if work < LEAST_WORK {
        1
    } else {
        unless_shared(most.unwrap_or_else(for_kernels))
    }
}

/// `threads`, or one where the current thread is one of several that share the cores already.
fn unless_shared(threads: usize) -> usize {
    if rayon::current_thread_index().is_some() {
        1
    } else {
        threads
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
