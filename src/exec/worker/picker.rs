//! Which run a worker takes next.
//!
//! A worker begins at a place of the plan that its name determines, and takes the runs from there on. Where another worker
//! was first, it goes on at another place, so that few workers meet. It lists the store again only after so many meetings that
//! a list would have cost no more.
use crate::{
    exec::Worker,
    plan::RunSpec,
    store::{
        lease::{self, Lease, LeaseRecord, LeaseState, Sighting, Verdict},
        listing::Listing,
        Blobs, Failure, RunKeys, Store,
    },
    Error, Result,
};
use std::{collections::BTreeMap, time::Duration};

/// The most leases of others that a worker watches at a time.
const WATCHED: usize = 32;
/// Number of names in a page of a list of an object store, which is one request.
const PAGE: usize = 1000;
/// How long a list is used, and how much longer for each of its pages.
const FRESH: Duration = Duration::from_secs(300);
const FRESH_PAGE: Duration = Duration::from_secs(6);

/// A run that is to be trained by whoever takes it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'r> {
    pub(crate) run: &'r RunSpec,
    pub(crate) keys: RunKeys,
    /// Number of epochs that the learner expects.
    pub(crate) epochs: usize,
    /// The position of the run that has to be done before, if that is not done yet.
    pub(crate) after: Option<usize>,
}

/// What a worker knows of a run.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// Nobody has taken it, as far as the worker knows.
    Open,
    /// This process trains it.
    Mine,
    /// It has a lease of this generation, or of a later one.
    Elsewhere { generation: u32, seen: Option<Sighting> },
    /// Its members are in the store.
    Done,
    /// It failed, and is not tried again by this worker.
    Failed,
}

/// A run that this worker has taken.
#[derive(Debug)]
pub(super) struct Claim {
    /// Its position among the candidates.
    pub(super) position: usize,
    pub(super) lease: Lease,
    /// The record of the lease that was taken over, where there was one that could be read.
    pub(super) before: Option<LeaseRecord>,
}

/// Picks the next runs of one worker. It neither waits nor asks for the time, which tests use.
pub(super) struct Picker<'a> {
    worker: &'a Worker,
    store: &'a dyn Store,
    blobs: &'a dyn Blobs,
    candidates: &'a [Candidate<'a>],
    fates: Vec<Fate>,
    /// Epochs of each run that this process has reported already.
    reported: BTreeMap<usize, usize>,
    open: usize,
    elsewhere: usize,
    cursor: usize,
    jumps: u64,
    /// Number of claims since the last list that were not successful.
    in_vain: usize,
    listed_at: Duration,
    names: usize,
    finished_elsewhere: (usize, usize),
    failures: BTreeMap<usize, Error>,
}

impl<'a> Picker<'a> {
    pub(super) fn new(
        worker: &'a Worker,
        store: &'a dyn Store,
        blobs: &'a dyn Blobs,
        candidates: &'a [Candidate<'a>],
        listing: &Listing,
    ) -> Self {
        let mut picker = Self {
            worker,
            store,
            blobs,
            candidates,
            fates: vec![Fate::Open; candidates.len()],
            reported: BTreeMap::new(),
            open: candidates.len(),
            elsewhere: 0,
            cursor: 0,
            jumps: 0,
            in_vain: 0,
            listed_at: Duration::ZERO,
            names: 0,
            finished_elsewhere: (0, 0),
            failures: BTreeMap::new(),
        };
        picker.jump();
        picker.take_in(listing);
        picker
    }

    /// Goes to another place of the plan, which the worker determines.
    fn jump(&mut self) {
        let holder = &self.worker.holder;
        let name = format!("{}/{}/{}/{}", holder.worker, holder.host, holder.pid, self.jumps);
        let hash = blake3::hash(name.as_bytes());
        let number = hash.as_bytes().iter().take(8).fold(0u64, |all, byte| all << 8 | u64::from(*byte));
        self.jumps += 1;
        // The remainder is below the number of candidates.
        self.cursor = (number % self.candidates.len().max(1) as u64) as usize;
    }

    /// Whether no run is left that this worker could take now or later, besides those that this process trains.
    pub(super) fn is_settled(&self) -> bool {
        self.open + self.elsewhere == 0
    }

    /// The runs that are neither done nor failed.
    pub(super) fn unsettled(&self) -> Vec<&'a RunSpec> {
        let left = |(candidate, fate): (&'a Candidate<'a>, &Fate)| {
            (!matches!(fate, Fate::Done | Fate::Failed)).then_some(candidate.run)
        };
        self.candidates.iter().zip(&self.fates).filter_map(left).collect()
    }

    /// Number of runs that others have.
    pub(super) fn elsewhere(&self) -> usize {
        self.elsewhere
    }

    /// The numbers of runs, and of their epochs, that others have finished since this was last asked.
    pub(super) fn finished_elsewhere(&mut self) -> (usize, usize) {
        std::mem::take(&mut self.finished_elsewhere)
    }

    /// The errors of the failed runs.
    pub(super) fn into_failures(self) -> BTreeMap<usize, Error> {
        self.failures
    }

    /// Forgets since when leases are unchanged: this process was suspended, and perhaps with their holders.
    pub(super) fn forget_sightings(&mut self) {
        for fate in &mut self.fates {
            if let Fate::Elsewhere { seen, .. } = fate {
                *seen = None;
            }
        }
    }

    /// Notes what has become of a run that this process trained, and how many of its epochs were reported.
    pub(super) fn settle(&mut self, position: usize, fate: Fate, epochs: usize, error: Option<Error>) {
        let Some(candidate) = self.candidates.get(position) else { return };
        self.reported.insert(position, epochs);
        self.failures.extend(error.map(|error| (candidate.run.id, error)));
        self.set(position, fate);
    }

    fn set(&mut self, position: usize, fate: Fate) {
        let Some(place) = self.fates.get_mut(position) else { return };
        let count = |fate: &Fate| match fate {
            Fate::Open => (1, 0),
            Fate::Elsewhere { .. } => (0, 1),
            _ => (0, 0),
        };
        let (before, after) = (count(place), count(&fate));
        *place = fate;
        self.open = self.open + after.0 - before.0;
        self.elsewhere = self.elsewhere + after.1 - before.1;
        // A run cannot be trained that depends on one that failed.
        if matches!(self.fates.get(position), Some(Fate::Failed)) {
            let next = position + 1;
            let depends =
                self.candidates.get(next).is_some_and(|candidate| candidate.after == Some(position));
            if depends && matches!(self.fates.get(next), Some(Fate::Open)) {
                self.set(next, Fate::Failed);
            }
        }
    }

    fn done_elsewhere(&mut self, position: usize) {
        let epochs = self.candidates.get(position).map_or(0, |candidate| candidate.epochs);
        let reported = self.reported.get(&position).copied().unwrap_or(0);
        self.finished_elsewhere.0 += 1;
        self.finished_elsewhere.1 += epochs.saturating_sub(reported);
        self.set(position, Fate::Done);
    }

    /// Takes in what a list of the store says.
    fn take_in(&mut self, listing: &Listing) {
        self.names = listing.names();
        self.in_vain = 0;
        for (position, candidate) in self.candidates.iter().enumerate() {
            let (keys, key) = (&candidate.keys.members, candidate.keys.key());
            let generation = listing.generation(key);
            let fate = match self.fates.get(position) {
                Some(Fate::Open | Fate::Elsewhere { .. }) if listing.has_members(keys) => {
                    self.done_elsewhere(position);
                    if let Err(error) = listing.sweep(self.blobs, key) {
                        tracing::debug!(run = candidate.run.id, %error, "an old lease stays in the store");
                    }
                    continue;
                }
                Some(Fate::Elsewhere { generation: known, .. }) if generation <= *known => continue,
                Some(Fate::Open | Fate::Elsewhere { .. }) if generation > 0 => {
                    Fate::Elsewhere { generation, seen: None }
                }
                _ => continue,
            };
            self.set(position, fate);
        }
    }

    /// Lists the store if the last list is old, or if claims in vain have cost as much as a list.
    fn list_if_due(&mut self, now: Duration) -> Result<()> {
        let pages = self.names.div_ceil(PAGE).max(1);
        let age = now.saturating_sub(self.listed_at);
        let spread = u32::try_from(pages).unwrap_or(u32::MAX);
        let old = FRESH.saturating_add(FRESH_PAGE.saturating_mul(spread));
        // Where only runs of others are left, a list tells about all of them at once.
        let waits = self.open == 0 && self.elsewhere > WATCHED;
        let waited = age >= self.worker.beat().saturating_mul(spread.div_ceil(10));
        if self.in_vain > pages || age >= old || waits && waited {
            let listing = Listing::of(self.blobs)?;
            self.listed_at = now;
            self.take_in(&listing);
        }
        Ok(())
    }

    /// Takes up to `most` runs of one architecture; none where there is none to take now.
    pub(super) fn pick(&mut self, most: usize, now: Duration) -> Result<Vec<Claim>> {
        self.list_if_due(now)?;
        let mut claims = self.pick_open(most, now)?;
        if claims.is_empty() {
            claims = self.pick_elsewhere(most, now)?;
        }
        Ok(claims)
    }

    /// Whether what the run depends on is done.
    fn is_ready(&self, position: usize) -> bool {
        let after = self.candidates.get(position).and_then(|candidate| candidate.after);
        after.is_none_or(|after| matches!(self.fates.get(after), Some(Fate::Done)))
    }

    /// The next open run from the cursor on, of this architecture if one is given.
    fn next_open(&self, architecture: Option<&str>) -> Option<usize> {
        let is_wanted = |position: &usize| {
            let of = self.candidates.get(*position).map(|candidate| &*candidate.run.architecture);
            matches!(self.fates.get(*position), Some(Fate::Open))
                && self.is_ready(*position)
                && (architecture.is_none() || architecture == of)
        };
        let count = self.candidates.len();
        (self.cursor..count).chain(0..self.cursor.min(count)).find(is_wanted)
    }

    fn pick_open(&mut self, most: usize, now: Duration) -> Result<Vec<Claim>> {
        let mut claims = vec![];
        let mut architecture = None;
        while claims.len() < most && self.open > 0 {
            let Some(position) = self.next_open(architecture) else { break };
            let Some(candidate) = self.candidates.get(position) else { break };
            match self.claim(position, 1, None) {
                // What is claimed is trained first.
                Err(_) if !claims.is_empty() => break,
                Err(error) => return Err(error),
                Ok(Some(claim)) => {
                    architecture = Some(&*candidate.run.architecture);
                    self.cursor = position + 1;
                    claims.push(claim);
                }
                Ok(None) => {
                    self.in_vain += 1;
                    self.jump();
                    if claims.is_empty() {
                        self.list_if_due(now)?;
                    }
                }
            }
        }
        Ok(claims)
    }

    /// Claims a generation of a run; `None` where another worker was first, or where it is done already.
    fn claim(
        &mut self,
        position: usize,
        generation: u32,
        before: Option<LeaseRecord>,
    ) -> Result<Option<Claim>> {
        let Some(candidate) = self.candidates.get(position) else { return Ok(None) };
        let (holder, expiry) = (self.worker.holder.clone(), self.worker.expiry);
        let record = LeaseRecord::new(holder, candidate.epochs, expiry, before.as_ref());
        let Some(mut lease) = Lease::claim(self.blobs, candidate.keys.key(), generation, record)? else {
            self.set(position, Fate::Elsewhere { generation, seen: None });
            return Ok(None);
        };
        // It may have been finished, and its lease removed, since the last list.
        if self.is_done(candidate)? {
            lease.remove(self.blobs)?;
            self.done_elsewhere(position);
            return Ok(None);
        }
        if lease.record().expired >= self.worker.takeovers {
            self.give_up(position, lease, before.as_ref())?;
            return Ok(None);
        }
        self.set(position, Fate::Mine);
        Ok(Some(Claim { position, lease, before }))
    }

    fn is_done(&self, candidate: &Candidate<'_>) -> Result<bool> {
        // The last member is put last.
        for key in candidate.keys.members.iter().rev() {
            if !self.store.contains(key)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives up a run whose workers die one after the other.
    fn give_up(&mut self, position: usize, mut lease: Lease, before: Option<&LeaseRecord>) -> Result<()> {
        let Some(candidate) = self.candidates.get(position) else { return Ok(()) };
        let (run, record) = (candidate.run.id, lease.record());
        let last = before.map_or(String::new(), |before| {
            format!("; the last was {} on {}", before.holder.worker, before.holder.host)
        });
        let error = format!(
            "run {run}: {} workers in a row ended while they trained it, none of them after more than {} epochs{last}",
            record.expired, record.furthest
        );
        let holder = before.map_or(&self.worker.holder, |before| &before.holder);
        let failure = lease::write_failure(self.blobs, candidate.keys.key(), run, holder, error)?;
        let (generation, epoch) = (lease.generation(), record.furthest);
        lease.end(self.blobs, LeaseState::Failed, epoch)?;
        self.fail_or_retry(position, generation, failure);
        Ok(())
    }

    /// Notes a failure: the run has failed, or is tried again later.
    fn fail_or_retry(&mut self, position: usize, generation: u32, failure: Failure) {
        if failure.attempts < self.worker.attempts {
            return self.set(position, Fate::Elsewhere { generation, seen: None });
        }
        let Failure { run, error, worker, attempts, .. } = failure;
        self.failures.insert(run, Error::FailedElsewhere { run, error, worker, attempts });
        self.set(position, Fate::Failed);
    }

    /// Takes over runs that others gave back, or whose leases have expired.
    fn pick_elsewhere(&mut self, most: usize, now: Duration) -> Result<Vec<Claim>> {
        let (mut claims, mut watched) = (vec![], 0);
        let count = self.candidates.len();
        let from = self.cursor.min(count);
        for position in (from..count).chain(0..from) {
            if claims.len() == most || watched == WATCHED || self.elsewhere == 0 {
                break;
            }
            match self.take_over(position, now) {
                Err(_) if !claims.is_empty() => break,
                Err(error) => return Err(error),
                Ok((claim, is_held)) => {
                    claims.extend(claim);
                    watched += usize::from(is_held);
                }
            }
        }
        Ok(claims)
    }

    /// Takes a run over if another worker has it no longer. Also returns whether another worker holds it.
    fn take_over(&mut self, position: usize, now: Duration) -> Result<(Option<Claim>, bool)> {
        let Some(Fate::Elsewhere { generation, seen }) = self.fates.get_mut(position) else {
            return Ok((None, false));
        };
        let (generation, mut seen) = (*generation, seen.take());
        let verdict = self.look(position, generation, &mut seen, now)?;
        if let Some(Fate::Elsewhere { seen: place, .. }) = self.fates.get_mut(position) {
            *place = seen;
        }
        match verdict {
            None => Ok((None, false)),
            Some(Verdict::Held) => Ok((None, true)),
            Some(Verdict::Free(before)) => Ok((self.claim(position, generation + 1, before)?, false)),
            Some(Verdict::Failed(before)) => Ok((self.retry(position, generation, before)?, false)),
        }
    }

    /// Looks at the lease of a run that another worker has; `None` where there is none any more.
    fn look(
        &mut self,
        position: usize,
        generation: u32,
        seen: &mut Option<Sighting>,
        now: Duration,
    ) -> Result<Option<Verdict>> {
        let Some(candidate) = self.candidates.get(position) else { return Ok(None) };
        if let Some(bytes) = self.blobs.read(&lease::name(candidate.keys.key(), generation))? {
            return Ok(Some(Sighting::look(seen, bytes, now, self.worker.expiry)));
        }
        match self.is_done(candidate)? {
            true => self.done_elsewhere(position),
            // Someone has removed the lease by hand.
            false => self.set(position, Fate::Open),
        }
        Ok(None)
    }

    /// Tries a run again that failed less often than this worker allows.
    fn retry(&mut self, position: usize, generation: u32, before: LeaseRecord) -> Result<Option<Claim>> {
        let Some(candidate) = self.candidates.get(position) else { return Ok(None) };
        match lease::failure(self.blobs, candidate.keys.key(), candidate.run.id)? {
            Some(failure) if failure.attempts >= self.worker.attempts => {
                self.fail_or_retry(position, generation, failure);
                Ok(None)
            }
            _ => self.claim(position, generation + 1, Some(before)),
        }
    }
}
