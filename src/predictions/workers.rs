//! Networks on several threads.
use crate::{threads, Result};

/// What builds networks on the thread that calls it.
pub(crate) type Build<'a, W> = Box<dyn Fn() -> Result<W> + Sync + 'a>;

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
        match self.build {
            Some(_) => threads::for_passes(self.threads, self.parameters.saturating_mul(rows)),
            None => 1,
        }
    }
}
