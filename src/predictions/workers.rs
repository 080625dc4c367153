//! Networks on several threads.
use crate::{threads, Result};

/// The least work that is spread over threads: parameters of the networks times rows. A core does it in a fraction of
/// a millisecond; to wake a thread and to build networks on it takes tens of microseconds.
const LEAST_WORK: usize = 1 << 24;

type Build<'a, W> = Box<dyn Fn() -> Result<W> + Sync + 'a>;

/// The networks of the calling thread, and what builds them once more on each other thread that is to help. Networks
/// need not be `Send`: each stays on the thread that built it. The weights are shared.
pub(crate) struct Workers<'a, W> {
    own: &'a W,
    build: Option<Build<'a, W>>,
    threads: Option<usize>,
    parameters: usize,
}

impl<'a, W> Workers<'a, W> {
    /// Without `build`, the calling thread does all of the work. `parameters` is the number of parameters of the
    /// networks.
    pub(crate) fn new(own: &'a W, build: Option<Build<'a, W>>, parameters: usize) -> Self {
        Self { own, build, threads: None, parameters }
    }

    /// Sets how many threads work at most.
    pub(crate) fn threads(self, threads: Option<usize>) -> Self {
        Self { threads, ..self }
    }

    /// The networks of the calling thread.
    pub(crate) fn own(&self) -> &'a W {
        self.own
    }

    /// What builds the networks on another thread.
    pub(super) fn build(&self) -> Option<&(dyn Fn() -> Result<W> + Sync + 'a)> {
        self.build.as_deref()
    }

    /// How many threads predict this number of rows.
    pub(crate) fn threads_for(&self, rows: usize) -> usize {
        if self.build.is_some() {
            threads_for(self.threads, self.parameters.saturating_mul(rows))
        } else {
            1
        }
    }
}

/// How many threads share this much work, in parameters times rows: no more than `most`, which is one a core where it
/// is not given.
pub(super) fn threads_for(most: Option<usize>, work: usize) -> usize {
    if work < LEAST_WORK {
        1
    } else {
        threads::unless_shared(most.unwrap_or_else(threads::for_kernels))
    }
}
