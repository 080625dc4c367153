//! Leases: which worker trains a run, and how others find out that it no longer does.
//!
//! The lease of a run is a blob whose name has a generation, `KEY.lease-000001`. A worker claims the run with the blob of
//! the next generation, which [`Blobs::write_new`] gives to one of several that try. The holder of the highest generation
//! trains the run, and writes its heartbeats into its own blob. There are no gaps between the generations of a run until it
//! is done, and then all of them are removed. So a holder has lost its lease if there is a next generation, or if its own
//! is gone.
//!
//! No clock of another machine is trusted. A lease has expired for an observer whose own clock says that its blob has not
//! changed for that long.
use crate::{
    store::{Blobs, Failure},
    Result,
};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// The name of a generation of the lease of the run with this key.
pub(crate) fn name(key: &str, generation: u32) -> String {
    format!("{key}.lease-{generation:06}")
}

/// The key and the generation of a lease's name; `None` for other names.
pub(crate) fn parse(name: &str) -> Option<(&str, u32)> {
    let (key, generation) = name.rsplit_once(".lease-")?;
    Some((key, generation.parse().ok()?))
}

/// The time of day in UTC, for people to read.
pub(crate) fn utc() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// A worker: its name, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) worker: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
}

/// What has become of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LeaseState {
    /// Its holder trains the run.
    Held,
    /// Its holder gave the run back, unfinished.
    Released,
    /// The run failed.
    Failed,
}

/// What the blob of a lease says. Workers act on its state and on whether it changes; the rest is for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LeaseRecord {
    pub(crate) state: LeaseState,
    #[serde(flatten)]
    pub(crate) holder: Holder,
    /// When the run was claimed, and when the last heartbeat was written, as UTC of the holder's machine.
    pub(crate) since: String,
    pub(crate) beat_at: String,
    /// Number of heartbeats.
    pub(crate) beats: u64,
    /// Number of finished epochs, and of planned ones.
    pub(crate) epoch: usize,
    pub(crate) epochs: usize,
    /// Seconds without a change after which others take the run over.
    pub(crate) expiry: f64,
    /// The most epochs that an earlier holder had finished.
    pub(crate) furthest: usize,
    /// Number of earlier holders in a row whose lease expired before they had finished more epochs than those before.
    pub(crate) expired: usize,
}

impl LeaseRecord {
    /// The record of a new lease, after the one that it takes over, if there is one.
    pub(crate) fn new(holder: Holder, epochs: usize, expiry: Duration, before: Option<&Self>) -> Self {
        let (furthest, expired) = match before {
            None => (0, 0),
            Some(before) => {
                let furthest = before.furthest.max(before.epoch);
                let expired = match before.state {
                    LeaseState::Held if before.epoch > before.furthest => 0,
                    LeaseState::Held => before.expired + 1,
                    LeaseState::Released => before.expired,
                    LeaseState::Failed => 0,
                };
                (furthest, expired)
            }
        };
        Self {
            state: LeaseState::Held,
            holder,
            since: utc(),
            beat_at: utc(),
            beats: 0,
            epoch: 0,
            epochs,
            expiry: expiry.as_secs_f64(),
            furthest,
            expired,
        }
    }
}

/// A lease that this process holds, or held.
#[derive(Debug)]
pub(crate) struct Lease {
    key: String,
    generation: u32,
    record: LeaseRecord,
    ended: bool,
}

impl Lease {
    /// Claims a generation of the lease of a run; `None` where another worker was first.
    pub(crate) fn claim(
        blobs: &dyn Blobs,
        key: &str,
        generation: u32,
        record: LeaseRecord,
    ) -> Result<Option<Self>> {
        let lease = Self { key: key.into(), generation, record, ended: false };
        Ok(blobs.write_new(&name(key, generation), &to_json(&lease.record)?)?.then_some(lease))
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn record(&self) -> &LeaseRecord {
        &self.record
    }

    /// Whether no other worker has taken the run over, or has finished it.
    pub(crate) fn is_held(&self, blobs: &dyn Blobs) -> Result<bool> {
        let next = blobs.exists(&name(&self.key, self.generation + 1))?;
        Ok(!next && blobs.exists(&name(&self.key, self.generation))?)
    }

    /// Writes a heartbeat. Returns `false`, and writes nothing, if the lease is lost. A lease that has ended has none.
    pub(crate) fn beat(&mut self, blobs: &dyn Blobs, epoch: usize) -> Result<bool> {
        if self.ended {
            return Ok(true);
        }
        if !self.is_held(blobs)? {
            return Ok(false);
        }
        self.record.beats += 1;
        self.record.epoch = epoch;
        self.record.beat_at = utc();
        self.write(blobs)?;
        Ok(true)
    }

    /// Gives the run back, so that others need not wait until the lease expires.
    pub(crate) fn end(&mut self, blobs: &dyn Blobs, state: LeaseState, epoch: usize) -> Result<()> {
        self.ended = true;
        self.record.state = state;
        self.record.epoch = epoch;
        self.write(blobs)
    }

    /// Removes all generations of the lease of a run that is done.
    pub(crate) fn remove(&mut self, blobs: &dyn Blobs) -> Result<()> {
        self.ended = true;
        for generation in 1..=self.generation {
            blobs.remove(&name(&self.key, generation))?;
        }
        Ok(())
    }

    /// Leaves the lease to the worker that has taken the run over.
    pub(crate) fn lose(&mut self) {
        self.ended = true;
    }

    fn write(&self, blobs: &dyn Blobs) -> Result<()> {
        blobs.write(&name(&self.key, self.generation), &to_json(&self.record)?)
    }
}

/// What an observer remembers of the lease of another worker: its bytes, and the first time that it saw them, by its own
/// monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    bytes: Vec<u8>,
    at: Duration,
}

/// What an observer concludes from the lease of another worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is held, as far as the observer knows.
    Held,
    /// It has expired or was released. The record is missing if it cannot be read.
    Free(Option<LeaseRecord>),
    /// The run failed.
    Failed(LeaseRecord),
}

impl Sighting {
    /// Looks at the bytes of a lease at the time `now`. `seen` is what the observer remembers of this generation.
    pub(crate) fn look(seen: &mut Option<Self>, bytes: Vec<u8>, now: Duration, expiry: Duration) -> Verdict {
        let record: Option<LeaseRecord> = from_json(&bytes);
        match record.as_ref().map(|record| record.state) {
            Some(LeaseState::Released) => return Verdict::Free(record),
            Some(LeaseState::Failed) => return record.map_or(Verdict::Held, Verdict::Failed),
            Some(LeaseState::Held) | None => {}
        }
        match seen {
            Some(seen) if seen.bytes == bytes => match now.saturating_sub(seen.at) >= expiry {
                true => Verdict::Free(record),
                false => Verdict::Held,
            },
            _ => {
                *seen = Some(Self { bytes, at: now });
                Verdict::Held
            }
        }
    }
}

/// The record of a lease; `None` if there is none or it cannot be read.
pub(crate) fn read(blobs: &dyn Blobs, key: &str, generation: u32) -> Result<Option<LeaseRecord>> {
    Ok(blobs.read(&name(key, generation))?.as_deref().and_then(from_json))
}

/// The name of the blob that says why the run with this key failed.
pub(crate) fn failure_name(key: &str) -> String {
    format!("{key}.failed")
}

/// Why the run with this key failed; `None` if it did not. What cannot be read is a failure too.
pub(crate) fn failure(blobs: &dyn Blobs, key: &str, run: usize) -> Result<Option<Failure>> {
    let Some(bytes) = blobs.read(&failure_name(key))? else { return Ok(None) };
    let unreadable = || Failure {
        run,
        error: format!("{} cannot be read", blobs.locate(&failure_name(key))),
        worker: String::new(),
        host: String::new(),
        when: String::new(),
        attempts: 1,
    };
    Ok(Some(from_json(&bytes).unwrap_or_else(unreadable)))
}

/// Keeps why a run failed, with the number of attempts so far, which is returned.
pub(crate) fn write_failure(
    blobs: &dyn Blobs,
    key: &str,
    run: usize,
    holder: &Holder,
    error: String,
) -> Result<Failure> {
    let attempts = failure(blobs, key, run)?.map_or(0, |before| before.attempts) + 1;
    let Holder { worker, host, .. } = holder.clone();
    let failure = Failure { run, error, worker, host, when: utc(), attempts };
    blobs.write(&failure_name(key), &to_json(&failure)?)?;
    Ok(failure)
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| crate::Error::invalid("the record of a lease", "serializable", e))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    const EXPIRY: Duration = Duration::from_secs(10);

    fn holder(worker: &str) -> Holder {
        Holder { worker: worker.into(), host: "host".into(), pid: 1 }
    }

    fn record(worker: &str) -> LeaseRecord {
        LeaseRecord::new(holder(worker), 5, EXPIRY, None)
    }

    fn claim(blobs: &dyn Blobs, worker: &str, generation: u32) -> Option<Lease> {
        Lease::claim(blobs, "run", generation, record(worker)).unwrap()
    }

    fn look(blobs: &dyn Blobs, seen: &mut Option<Sighting>, generation: u32, second: u64) -> Verdict {
        let bytes = blobs.read(&name("run", generation)).unwrap().unwrap();
        Sighting::look(seen, bytes, Duration::from_secs(second), EXPIRY)
    }

    #[test]
    fn names_have_a_key_and_a_generation() {
        assert_eq!(name("00012-000-ab", 3), "00012-000-ab.lease-000003");
        assert_eq!(parse("00012-000-ab.lease-000003"), Some(("00012-000-ab", 3)));
        assert_eq!(parse(&name("a", 12_345_678)), Some(("a", 12_345_678)));
        assert_eq!([parse("a.safetensors"), parse("a.lease-x"), parse("a.failed")], [None; 3]);
    }

    #[test]
    fn one_worker_claims_a_generation_and_a_heartbeat_notices_the_next_one() {
        let blobs = MemoryStore::new();
        let mut first = claim(&blobs, "a", 1).unwrap();
        assert!(claim(&blobs, "b", 1).is_none());
        assert!(first.beat(&blobs, 2).unwrap());
        let written = read(&blobs, "run", 1).unwrap().unwrap();
        assert_eq!((written.beats, written.epoch, &*written.holder.worker), (1, 2, "a"));

        let mut second = claim(&blobs, "b", 2).unwrap();
        assert!(!first.beat(&blobs, 3).unwrap() && second.beat(&blobs, 1).unwrap());
        assert_eq!(read(&blobs, "run", 1).unwrap().unwrap(), written, "a lost lease is not written to");
        second.remove(&blobs).unwrap();
        assert!(blobs.list("").unwrap().is_empty());
        // The run is done: who held it earlier has lost it, and a heartbeat does not bring the blob back.
        assert!(!first.beat(&blobs, 4).unwrap() && second.beat(&blobs, 4).unwrap());
        assert!(blobs.list("").unwrap().is_empty());
    }

    #[test]
    fn a_lease_expires_only_when_the_observer_sees_no_change_for_long_enough() {
        let blobs = MemoryStore::new();
        let mut lease = claim(&blobs, "a", 1).unwrap();
        let mut seen = None;
        // The clock of an observer starts anywhere; the first look is the start.
        assert_eq!(look(&blobs, &mut seen, 1, 1000), Verdict::Held);
        assert_eq!(look(&blobs, &mut seen, 1, 1009), Verdict::Held);
        lease.beat(&blobs, 0).unwrap();
        assert_eq!(look(&blobs, &mut seen, 1, 1010), Verdict::Held);
        assert_eq!(look(&blobs, &mut seen, 1, 1019), Verdict::Held);
        let Verdict::Free(Some(free)) = look(&blobs, &mut seen, 1, 1020) else { panic!("{seen:?}") };
        assert_eq!(free, *lease.record());
        // An observer that comes later starts from its own first look.
        assert_eq!(look(&blobs, &mut None, 1, 1020), Verdict::Held);
    }

    #[test]
    fn released_and_failed_leases_need_no_wait_and_unreadable_ones_expire() {
        let blobs = MemoryStore::new();
        let mut lease = claim(&blobs, "a", 1).unwrap();
        lease.end(&blobs, LeaseState::Released, 3).unwrap();
        let Verdict::Free(Some(free)) = look(&blobs, &mut None, 1, 0) else { panic!() };
        assert_eq!(free.epoch, 3);
        lease.end(&blobs, LeaseState::Failed, 3).unwrap();
        assert!(matches!(look(&blobs, &mut None, 1, 0), Verdict::Failed(_)));
        blobs.write(&name("run", 1), b"{").unwrap();
        let mut seen = None;
        assert_eq!(look(&blobs, &mut seen, 1, 0), Verdict::Held);
        assert_eq!(look(&blobs, &mut seen, 1, 10), Verdict::Free(None));
    }

    #[test]
    fn holders_that_end_without_a_further_epoch_are_counted() {
        let next = |before: &LeaseRecord| LeaseRecord::new(holder("b"), 5, EXPIRY, Some(before));
        let mut first = record("a");
        first.epoch = 3; // it got further than anyone before
        let second = next(&first);
        assert_eq!((second.furthest, second.expired), (3, 0));
        let mut third = next(&second);
        assert_eq!((third.furthest, third.expired), (3, 1));
        third.epoch = 3; // not further
        let mut fourth = next(&third);
        assert_eq!((fourth.furthest, fourth.expired), (3, 2));
        fourth.state = LeaseState::Released;
        assert_eq!(next(&fourth).expired, 2, "a worker that gives a run back has not ended because of it");
        fourth.epoch = 4;
        fourth.state = LeaseState::Held;
        assert_eq!((next(&fourth).furthest, next(&fourth).expired), (4, 0));
    }

    #[test]
    fn failures_count_their_attempts() {
        let blobs = MemoryStore::new();
        assert_eq!(failure(&blobs, "run", 7).unwrap(), None);
        write_failure(&blobs, "run", 7, &holder("a"), "run 7: no".into()).unwrap();
        let second = write_failure(&blobs, "run", 7, &holder("b"), "run 7: never".into()).unwrap();
        assert_eq!((second.attempts, &*second.worker), (2, "b"));
        assert_eq!(failure(&blobs, "run", 7).unwrap(), Some(second));
        blobs.write("run.failed", b"what").unwrap();
        let unreadable = failure(&blobs, "run", 7).unwrap().unwrap();
        assert_eq!(unreadable.error, "run.failed in memory cannot be read");
    }
}
