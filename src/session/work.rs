//! Builds whose runs are taken from the store, and how far builds are.
use crate::{
    exec::{
        worker::{work, Candidate, LeaseObserver, Task},
        Executor,
    },
    plan::RunSpec,
    session::{
        build::Build,
        sequences::{of_units, units},
    },
    store::{
        listing::{required_blobs, Listing},
        RunKeys, Status,
    },
    train::Learner,
    Error, Result,
};
use std::{collections::BTreeMap, sync::atomic::AtomicUsize};

impl<'b, L: Learner> Build<'b, '_, L> {
    /// Trains these runs together with other workers.
    pub(super) fn work(
        &self,
        leases: &LeaseObserver<'_>,
        listing: Option<&Listing>,
        todo: &[&'b RunSpec],
        executor: &dyn Executor,
        done: &AtomicUsize,
    ) -> Result<()> {
        let (blobs, unlisted) = (required_blobs(self.store, "a worker")?, Listing::default());
        let positions: BTreeMap<usize, usize> = todo.iter().map(|run| run.id).zip(0..).collect();
        let candidate = |run: &&'b RunSpec| {
            let after = (run.round() > 0).then(|| positions.get(&(run.id - 1)).copied()).flatten();
            Ok(Candidate { run, keys: self.keys(run)?, epochs: self.session.learner.epochs(run), after })
        };
        let task = Task {
            worker: leases.worker,
            store: self.store,
            blobs,
            candidates: &todo.iter().map(candidate).collect::<Result<Vec<_>>>()?,
            listing: listing.unwrap_or(&unlisted),
            observer: leases.inner,
            held: &leases.held,
            done,
        };
        work(&task, executor, &|runs| self.run_group(runs, done))
    }

    /// The runs among these that this process is responsible for. The runs of a sequence stay together.
    pub(super) fn share(&self, todo: &[&'b RunSpec], executor: &dyn Executor) -> Vec<&'b RunSpec> {
        of_units(todo, &executor.share(&units(&self.plan.runs, todo)))
    }

    /// The runs that are not done. What a process has left over of the others is removed: their checkpoints, where it ended
    /// after the run's last member, and what workers wrote about them.
    pub(super) fn todo(&self, listing: Option<&Listing>) -> Result<Vec<&'b RunSpec>> {
        let mut todo = vec![];
        for run in &self.plan.runs {
            let (is_done, has_checkpoint) = match (listing, self.store.blobs()) {
                (Some(listing), Some(blobs)) => {
                    let keys = self.keys(run)?;
                    let is_done = listing.has_members(&keys.members);
                    if is_done {
                        listing.sweep(blobs, keys.key())?;
                    }
                    (is_done, listing.has_checkpoint(keys.key()))
                }
                _ => (self.is_done(run)?, true),
            };
            if is_done && has_checkpoint {
                self.store.drop_checkpoint(&self.checkpoint_key(run)?)?;
            }
            if !is_done {
                todo.push(run);
            }
        }
        Ok(todo)
    }

    pub(super) fn status(&self) -> Result<Status> {
        let status = Status::read(self.store, self.plan.runs.iter().map(|run| self.keys(run)))?;
        let first = |run: usize| Some(self.plan.runs.get(run)?.sequence.as_ref()?.first);
        Ok(status.with_blocked(|run, failure| {
            failure.run < run && first(run).is_some_and(|sequence| first(failure.run) == Some(sequence))
        }))
    }

    /// The keys of a run's members.
    pub(super) fn keys(&self, run: &RunSpec) -> Result<RunKeys> {
        let members = self.plan.keys(run, &self.tag, self.network(run), self.members(run))?;
        Ok(RunKeys { run: run.id, members })
    }

    /// The outcome of a run; no error where it was stopped because another worker has it.
    pub(super) fn unless_lost(&self, run: &RunSpec, outcome: Result<()>) -> Result<()> {
        let is_lost = || self.leases.as_ref().is_some_and(|leases| leases.held.has_stopped(run.id));
        match outcome {
            Err(Error::Cancelled { .. }) if is_lost() => Ok(()),
            outcome => outcome,
        }
    }
}
