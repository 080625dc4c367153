//! Several runs in parallel.
use crate::{
    exec::{first_error, Executor, Job},
    plan::RunSpec,
    threads, Error, Result,
};
use std::sync::{
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc,
};

/// Trains several runs in parallel in this process, each on one core.
///
/// Each worker is a rayon pool of one thread, so that candle's kernels that use rayon (convolutions, softmax)
/// stay on their worker's core: they do not wait for one global pool, and a waiting worker does not start
/// another run and hold two networks in memory.
///
/// ```
/// use candle_ensemble::exec::Threads;
///
/// let two_at_a_time = Threads::new(2)?;
/// assert!(Threads::all_cores().workers() >= 1);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Threads(usize);

impl Threads {
    /// Trains up to `workers` runs in parallel.
    ///
    /// # Errors
    /// When the number is 0.
    pub fn new(workers: usize) -> Result<Self> {
        match workers {
            0 => Err(Error::invalid("the number of threads", "at least 1", 0)),
            n => Ok(Self(n)),
        }
    }

    /// Trains one run on each core of this machine.
    #[must_use]
    pub fn all_cores() -> Self {
        Self(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// A worker for each of some devices, of which there is at least one.
    pub(super) fn one_for_each(devices: usize) -> Self {
        Self(devices.max(1))
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(self) -> usize {
        self.0
    }
}

impl Executor for Threads {
    fn execute(&self, runs: &[&RunSpec], job: &Job<'_>) -> Result<()> {
        let each: Vec<_> = (0..runs.len()).map(|position| vec![position]).collect();
        in_parallel(self.0, &each, &|group| {
            group.iter().filter_map(|position| runs.get(*position)).map(|run| job(run)).collect()
        })
    }
}

/// Calls `job` for each group of positions, on up to `workers` threads. It returns the outcomes of a group in the order of
/// its positions.
pub(super) fn in_parallel(
    workers: usize,
    groups: &[Vec<usize>],
    job: &(dyn Fn(&[usize]) -> Vec<Result<()>> + Sync),
) -> Result<()> {
    threads::warn_once_when_unset();
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (failed, failures) = mpsc::channel();
    let work = |failed: mpsc::Sender<(usize, Error)>| {
        while !stop.load(Ordering::Relaxed) {
            let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            for (position, outcome) in group.iter().zip(job(group)) {
                if let Err(e) = outcome {
                    stop.fetch_or(matches!(e, Error::Cancelled { .. }), Ordering::Relaxed);
                    // The receiver outlives the scope.
                    let _ = failed.send((*position, e));
                }
            }
        }
    };
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..workers.min(groups.len()) {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .build()
                .map_err(|e| Error::invalid("the number of threads", "one that this machine can start", e))?;
            let (failed, work) = (failed.clone(), &work);
            scope.spawn(move || pool.install(|| work(failed)));
        }
        Ok(())
    })?;
    drop(failed);
    first_error(failures.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::TensorDataset,
        exec::Sequential,
        strategy::{EnsembleBuilder, MultiRun},
        Seed,
    };
    use candle_core::{Device, Tensor};
    use std::sync::Mutex;

    fn runs(n: usize) -> Vec<RunSpec> {
        let x = Tensor::arange(0f32, 4., &Device::Cpu).unwrap().reshape((4, 1)).unwrap();
        let y = Tensor::arange(0f32, 4., &Device::Cpu).unwrap();
        let data = TensorDataset::regression(x, &y).unwrap();
        MultiRun::new(n).plan(&data, &["a".into()], Seed::from(1)).unwrap().runs
    }

    #[test]
    fn every_run_is_executed_once_and_the_first_error_in_plan_order_is_returned() {
        let runs = runs(9);
        let runs: Vec<_> = runs.iter().collect();
        for executor in [&Sequential as &dyn Executor, &Threads(1), &Threads(3), &Threads(20)] {
            let done = Mutex::new(vec![]);
            let result = executor.execute(&runs, &|run| {
                done.lock().unwrap().push(run.id);
                match run.id {
                    3 | 5 => Err(Error::invalid("this", "fine", run.id)),
                    _ => Ok(()),
                }
            });
            assert!(result.unwrap_err().to_string().ends_with("is 3"));
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert_eq!(done, (0..9).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_cancelled_build_starts_no_further_run() {
        let runs = runs(50);
        let runs: Vec<_> = runs.iter().collect();
        for executor in [&Sequential as &dyn Executor, &Threads(2)] {
            let started = AtomicUsize::new(0);
            let result = executor.execute(&runs, &|_| {
                started.fetch_add(1, Ordering::Relaxed);
                Err(Error::Cancelled { done: 0, of: 50 })
            });
            assert!(matches!(result, Err(Error::Cancelled { .. })));
            assert!(started.into_inner() <= 4);
        }
    }

    #[test]
    fn zero_threads_are_refused() {
        assert_eq!(
            Threads::new(0).unwrap_err().to_string(),
            "the number of threads must be at least 1, but is 0"
        );
        assert!(Threads::all_cores().workers() >= 1);
    }
}
