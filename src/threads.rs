//! How candle's own threads are kept from fighting the members for the cores.
//!
//! Members train side by side, each on a core of its own. candle, left alone, hurts that twice: without
//! `RAYON_NUM_THREADS` every matrix product reads `/proc/cpuinfo` to count cores, and without
//! `CANDLE_NUM_THREADS` large element-wise operations queue up behind one pool for the whole process.
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{
    sync::{Once, OnceLock},
    thread,
};

const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// Gives each member one core: sets `RAYON_NUM_THREADS` and `CANDLE_NUM_THREADS` to 1 where they are unset.
///
/// Call it first thing in `main`, while the process has one thread and before candle's first operation,
/// which reads the variables once. Values that are already set stay. A program that runs one large network
/// at a time and wants all cores in it leaves this call out.
///
/// ```
/// candle_ensemble::threads::one_core_per_member();
/// assert!(candle_ensemble::threads::configured());
/// ```
#[allow(unsafe_code)]
pub fn one_core_per_member() {
    for name in VARIABLES {
        if std::env::var_os(name).is_none() {
            // SAFETY: Where the call comes first in `main`, as it is asked to, no other thread reads the environment.
            unsafe { std::env::set_var(name, "1") };
        }
    }
}

/// Whether both variables are set, by [`one_core_per_member`], by the shell or by cargo's configuration.
pub fn configured() -> bool {
    VARIABLES.iter().all(|name| std::env::var_os(name).is_some())
}

/// Says once in the log when members are about to be trained side by side without it.
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

/// Runs `f` where rayon's parallel iterators have every core, whatever `RAYON_NUM_THREADS` says of candle's own;
/// on the present thread where no thread can be started, or where `f` runs beside others on a pool already.
///
/// For work that is done between trainings: fitting rules, averaging weights.
pub(crate) fn wide<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let start = || {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let named = ThreadPoolBuilder::new().num_threads(cores).thread_name(|i| format!("wide {i}"));
        named.build().ok()
    };
    match POOL.get_or_init(start) {
        Some(pool) if rayon::current_thread_index().is_none() => pool.install(f),
        _ => f(),
    }
}
