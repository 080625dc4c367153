//! How candle's own threads are kept from fighting the members for the cores.
//!
//! Members train side by side, each on a core of its own. candle, left alone, hurts that twice: without
//! `RAYON_NUM_THREADS` every matrix product reads `/proc/cpuinfo` to count cores, and without
//! `CANDLE_NUM_THREADS` large element-wise operations queue up behind one pool for the whole process.
use std::sync::{Once, OnceLock};

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
pub fn one_core_per_member() {
    for name in VARIABLES {
        if std::env::var_os(name).is_none() {
            std::env::set_var(name, "1");
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

/// One pool for the process, of a thread for each core, for loops over the weights of whole networks. The variables
/// above do not narrow it: nothing else runs while networks are merged.
pub(crate) fn wide() -> &'static Wide {
    static WIDE: OnceLock<Wide> = OnceLock::new();
    WIDE.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let named = |i| format!("merge {i}");
        Wide(rayon::ThreadPoolBuilder::new().num_threads(cores).thread_name(named).build().ok())
    })
}

/// A pool of threads, or none where the system grants none.
#[derive(Debug)]
pub(crate) struct Wide(Option<rayon::ThreadPool>);

impl Wide {
    /// Runs `work` in the pool, so that rayon's loops within it use all its threads; without a pool, right here.
    pub(crate) fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}
