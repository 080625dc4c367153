//! Resamples that are computed in parallel.
use rayon::prelude::*;

/// How many numbers all resamples together must read before threads are worth it.
const PARALLEL_FROM: usize = 1 << 18;

/// What each resample gives, in order. `buffers` makes what a thread uses again for each of its resamples.
/// Each resample draws from a generator of its own, so that threads do not matter. Little work, and any work
/// where rayon has one thread, stays on the thread of the caller.
pub(super) fn map_resamples<B, T: Send>(
    resamples: usize,
    units: usize,
    buffers: impl Fn() -> B + Sync + Send,
    resample: impl Fn(&mut B, u64) -> T + Sync + Send,
) -> Vec<T> {
    let numbers = 0..resamples as u64;
    if resamples.saturating_mul(units) < PARALLEL_FROM || rayon::current_num_threads() == 1 {
        let mut buffer = buffers();
        return numbers.map(|number| resample(&mut buffer, number)).collect();
    }
    numbers.into_par_iter().map_init(buffers, resample).collect()
}
