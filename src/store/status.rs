//! How far a build is, from what its store holds.
use crate::{
    store::{
        checkpoint, lease,
        lease::LeaseState,
        listing::{required_blobs, Listing},
        Store,
    },
    threads::in_order,
    Result,
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::{ser::SerializeStruct, Deserialize, Serialize, Serializer};
use std::{
    fmt,
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

/// The most checkpoints that are read for their epochs, because a checkpoint is as large as a network.
const CHECKPOINTS_READ: usize = 16;
/// How many leases are read at the same time.
const READERS: usize = 16;
/// The most rows of a table, and the most ranges of numbers in one of its cells.
const ROWS: usize = 20;
const RANGES: usize = 8;

/// How far a build is: which runs of a plan are done, which are under way and with whom, and which failed.
/// [`Session::status`](crate::Session::status) reads it from the store, whoever trains the runs, and
/// [`Session::watch`](crate::Session::watch) repeats that.
///
/// It costs one list of the store, and one read for each run that is under way or failed. Serialized, it is an object with a
/// field for each of its fields:
///
/// ```json
/// {
///   "runs": 300,
///   "done": {"count": 201, "ranges": [[0, 199], [205, 205]]},
///   "under_way": [{"run": 200, "worker": "gpu-7", "host": "gpu-7", "pid": 4711, "since": "2026-11-29T23:18:46Z",
///                  "heartbeat": "2026-11-29T23:20:06Z", "silent_seconds": 4.2, "expiry_seconds": 60.0,
///                  "epoch": 12, "epochs": 40, "generation": 1}],
///   "failed": [{"run": 3, "error": "run 3 diverged: …", "worker": "gpu-2", "host": "gpu-2",
///               "when": "2026-11-29T22:01:13Z", "attempts": 1}],
///   "checkpointed": [{"run": 201, "epoch": 5}],
///   "waiting": {"count": 96, "ranges": [[202, 204], [206, 299]]}
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Number of runs in the plan.
    pub runs: usize,
    /// The runs whose members are all in the store.
    pub done: RunNumbers,
    /// The runs that [workers](crate::exec::Worker) hold, in plan order.
    pub under_way: Vec<UnderWay>,
    /// The runs that failed on a worker, in plan order.
    pub failed: Vec<Failure>,
    /// The runs that have a checkpoint and no lease, in plan order: a session without a worker trains them, or their training
    /// was interrupted.
    pub checkpointed: Vec<Checkpointed>,
    /// All other runs. They may have begun in a session without a worker.
    pub waiting: RunNumbers,
    /// The runs that cannot be trained, because a run that they depend on failed
    /// ([`RunSpec::sequence`](crate::plan::RunSpec::sequence)). They are not among those that wait.
    #[serde(skip_serializing_if = "RunNumbers::is_empty")]
    pub blocked: RunNumbers,
}

/// A run that a worker holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnderWay {
    /// Number of the run.
    pub run: usize,
    /// Name of the worker.
    pub worker: String,
    /// The worker's machine.
    pub host: String,
    /// The worker's process on that machine.
    pub pid: u32,
    /// When the worker took the run, as UTC of its machine.
    pub since: String,
    /// When the worker last wrote that it is alive, as UTC of its machine.
    pub heartbeat: String,
    /// Seconds since then, by the clocks of both machines; 0 where they disagree.
    pub silent_seconds: f64,
    /// Seconds without a heartbeat after which other workers take the run over.
    pub expiry_seconds: f64,
    /// Number of finished epochs at the last heartbeat.
    pub epoch: usize,
    /// Number of epochs that the learner expects; 0 where it does not know.
    pub epochs: usize,
    /// Number of the run's lease, from 1. Earlier ones expired or were given back.
    pub generation: u32,
}

impl UnderWay {
    /// Whether there has been no heartbeat for longer than the expiry, by the clocks of both machines.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent_seconds > self.expiry_seconds
    }
}

/// Why a run failed on a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Number of the run.
    pub run: usize,
    /// The last error.
    pub error: String,
    /// Name of the worker.
    pub worker: String,
    /// The worker's machine.
    pub host: String,
    /// When it failed, as UTC of the worker's machine.
    pub when: String,
    /// How often the run failed.
    pub attempts: usize,
}

/// A run that has a checkpoint, and that no worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpointed {
    /// Number of the run.
    pub run: usize,
    /// Number of finished epochs in its checkpoint. It is read for the first 16 of these runs, because a checkpoint is as
    /// large as a network.
    pub epoch: Option<usize>,
}

/// The keys of a run's members, in order.
#[derive(Clone, Debug)]
pub(crate) struct RunKeys {
    pub(crate) run: usize,
    pub(crate) members: Vec<String>,
}

impl RunKeys {
    /// The key of the run: that of its first member.
    pub(crate) fn key(&self) -> &str {
        self.members.first().map_or("", String::as_str)
    }
}

impl Status {
    pub(crate) fn read(store: &dyn Store, runs: impl IntoIterator<Item = Result<RunKeys>>) -> Result<Self> {
        let blobs = required_blobs(store, "a status")?;
        let listing = Listing::of(blobs)?;
        let mut left = vec![];
        let mut status = Self {
            runs: 0,
            done: RunNumbers::default(),
            under_way: vec![],
            failed: vec![],
            checkpointed: vec![],
            waiting: RunNumbers::default(),
            blocked: RunNumbers::default(),
        };
        for keys in runs {
            let keys = keys?;
            let (run, key) = (keys.run, keys.key());
            status.runs += 1;
            if listing.has_members(&keys.members) {
                status.done.push(run);
                continue;
            }
            left.push((listing.generation(key), keys));
        }
        let readers = left.iter().filter(|(generation, _)| *generation > 0).take(READERS).count();
        let read = |number: usize| match left.get(number) {
            Some((generation @ 1.., keys)) => lease::read(blobs, keys.key(), *generation),
            _ => Ok(None),
        };
        let mut rest = left.iter();
        in_order(
            left.len(),
            readers,
            || Some(read),
            read,
            |record| {
                let Some((generation, keys)) = rest.next() else { return Ok(()) };
                let (run, key, generation) = (keys.run, keys.key(), *generation);
                if let Some(record) = record.filter(|record| record.state == LeaseState::Held) {
                    status.under_way.push(UnderWay {
                        run,
                        worker: record.holder.worker,
                        host: record.holder.host,
                        pid: record.holder.pid,
                        silent_seconds: age(&record.beat_at).as_secs_f64(),
                        since: record.since,
                        heartbeat: record.beat_at,
                        expiry_seconds: record.expiry,
                        epoch: record.epoch,
                        epochs: record.epochs,
                        generation,
                    });
                    return Ok(());
                }
                let failure = match listing.has_failed(key) {
                    true => lease::failure(blobs, key, run)?,
                    false => None,
                };
                if let Some(failure) = failure {
                    status.failed.push(failure);
                } else if listing.has_checkpoint(key) {
                    let epoch = match status.checkpointed.len() < CHECKPOINTS_READ {
                        true => store.checkpoint(&checkpoint::key(key))?.map(|checkpoint| checkpoint.epoch()),
                        false => None,
                    };
                    status.checkpointed.push(Checkpointed { run, epoch });
                } else {
                    status.waiting.push(run);
                }
                Ok(())
            },
        )?;
        Ok(status)
    }

    /// The status with the waiting runs that depend on a failed one.
    pub(crate) fn with_blocked(mut self, depends: impl Fn(usize, &Failure) -> bool) -> Self {
        if !self.failed.is_empty() {
            let is_blocked = |run: &usize| self.failed.iter().any(|failure| depends(*run, failure));
            let (blocked, waiting): (Vec<_>, Vec<_>) = self.waiting.iter().partition(is_blocked);
            (self.blocked, self.waiting) = (blocked.into_iter().collect(), waiting.into_iter().collect());
        }
        self
    }

    /// Whether nothing is left to do: each run is done or failed, or depends on one that failed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.done.len() + self.failed.len() + self.blocked.len() == self.runs
    }

    /// The status as Markdown tables for people: the numbers of runs in each state, then the runs that are under way and
    /// those that failed. Of many, the first are shown.
    #[must_use]
    pub fn table(&self) -> String {
        let numbers = |runs: &mut dyn Iterator<Item = usize>| {
            let mut all = RunNumbers::default();
            runs.for_each(|run| all.push(run));
            all
        };
        let states = [
            ("done", self.done.clone()),
            ("under way", numbers(&mut self.under_way.iter().map(|run| run.run))),
            ("failed", numbers(&mut self.failed.iter().map(|run| run.run))),
            ("with a checkpoint", numbers(&mut self.checkpointed.iter().map(|run| run.run))),
            ("waiting", self.waiting.clone()),
        ];
        let mut table = new_table(&["state", "count", "runs"], &[1]);
        let blocked = (!self.blocked.is_empty()).then(|| ("blocked by a failure", self.blocked.clone()));
        for (state, runs) in states.into_iter().chain(blocked) {
            table.add_row([state.to_string(), runs.len().to_string(), runs.to_string()]);
        }
        let mut parts = vec![table.to_string()];
        let header = ["run", "worker", "host", "process", "since", "epoch", "heartbeat"];
        parts.extend(list(&header, &[0, 3, 5, 6], &self.under_way, |run| {
            let epoch = match run.epochs {
                0 => run.epoch.to_string(),
                of => format!("{} of {of}", run.epoch),
            };
            let late = if run.is_silent() { ", late" } else { "" };
            let heartbeat = format!("{:.0} s ago{late}", run.silent_seconds);
            let (number, worker, host) = (run.run.to_string(), run.worker.clone(), run.host.clone());
            vec![number, worker, host, run.pid.to_string(), run.since.clone(), epoch, heartbeat]
        }));
        parts.extend(list(&["run", "epochs in its checkpoint"], &[0, 1], &self.checkpointed, |run| {
            let epoch = run.epoch.map_or("not read".into(), |epoch| epoch.to_string());
            vec![run.run.to_string(), epoch]
        }));
        parts.extend(list(&["run", "attempts", "worker", "when", "error"], &[0, 1], &self.failed, |run| {
            let (number, attempts) = (run.run.to_string(), run.attempts.to_string());
            let error = run.error.replace('\n', " ");
            vec![number, attempts, run.worker.clone(), run.when.clone(), error]
        }));
        parts.join("\n\n")
    }
}

/// As [`Status::table`].
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table())
    }
}

/// How long ago this time in UTC was, by this machine's clock.
fn age(utc: &str) -> Duration {
    let then = humantime::parse_rfc3339(utc).ok();
    then.and_then(|then| SystemTime::now().duration_since(then).ok()).unwrap_or_default()
}

fn new_table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(header);
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A table of the first items, and how many more there are; `None` without items.
fn list<T>(header: &[&str], right: &[usize], items: &[T], row: impl Fn(&T) -> Vec<String>) -> Option<String> {
    if items.is_empty() {
        return None;
    }
    let mut table = new_table(header, right);
    for item in items.iter().take(ROWS) {
        table.add_row(row(item));
    }
    Some(match items.len().saturating_sub(ROWS) {
        0 => table.to_string(),
        more => format!("{table}\nand {more} more"),
    })
}

/// Numbers of runs in ascending order, kept as ranges, so that those of a plan of many runs are few.
///
/// ```
/// use candle_ensemble::store::RunNumbers;
///
/// let runs: RunNumbers = (0..100).chain([205]).collect();
/// assert_eq!(runs.len(), 101);
/// assert_eq!(runs.to_string(), "0–99, 205");
/// assert_eq!(runs.ranges(), [0..=99, 205..=205]);
/// assert_eq!(runs.iter().last(), Some(205));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunNumbers(Vec<RangeInclusive<usize>>);

impl RunNumbers {
    /// Adds a number that is higher than all others.
    fn push(&mut self, run: usize) {
        match self.0.last_mut() {
            Some(last) if last.end() + 1 == run => *last = *last.start()..=run,
            _ => self.0.push(run..=run),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|range| range.end() - range.start() + 1).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// The ranges of consecutive numbers, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<usize>] {
        &self.0
    }
}

/// Numbers in any order, and with repetitions.
impl FromIterator<usize> for RunNumbers {
    fn from_iter<I: IntoIterator<Item = usize>>(runs: I) -> Self {
        let mut sorted: Vec<_> = runs.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut numbers = Self::default();
        sorted.into_iter().for_each(|run| numbers.push(run));
        numbers
    }
}

/// The first ranges, such as `0–99, 205`, and how many numbers are in the others.
impl fmt::Display for RunNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, others) = self.0.split_at(self.0.len().min(RANGES));
        for (place, range) in shown.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            match range.end() - range.start() {
                0 => write!(f, "{comma}{}", range.start())?,
                1 => write!(f, "{comma}{}, {}", range.start(), range.end())?,
                _ => write!(f, "{comma}{}–{}", range.start(), range.end())?,
            }
        }
        match Self(others.to_vec()).len() {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// An object with the count and the ranges, each as its first and its last number.
impl Serialize for RunNumbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ranges: Vec<_> = self.0.iter().map(|range| [*range.start(), *range.end()]).collect();
        let mut object = serializer.serialize_struct("RunNumbers", 2)?;
        object.serialize_field("count", &self.len())?;
        object.serialize_field("ranges", &ranges)?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        lease::{Holder, Lease, LeaseRecord},
        Checkpoint, EpochRecord, MemoryStore,
    };

    fn keys(runs: usize) -> impl Iterator<Item = Result<RunKeys>> {
        (0..runs).map(|run| Ok(RunKeys { run, members: vec![format!("{run}-0"), format!("{run}-1")] }))
    }

    fn holder() -> Holder {
        Holder { worker: "w".into(), host: "h".into(), pid: 7 }
    }

    #[test]
    fn a_status_tells_the_state_of_each_run() {
        let store = MemoryStore::new();
        let record = LeaseRecord::new(holder(), 40, Duration::from_secs(60), None);
        let claim = |key: &str| Lease::claim(&store, key, 1, record.clone()).unwrap().unwrap();
        let _held = claim("1-0");
        claim("2-0").end(&store, LeaseState::Released, 3).unwrap();
        lease::write_failure(&store, "3-0", 3, &holder(), "run 3: no".into()).unwrap();
        claim("3-0").end(&store, LeaseState::Failed, 3).unwrap();
        let curve = vec![EpochRecord { epoch: 4, ..EpochRecord::default() }];
        let checkpoint = Checkpoint::new(curve, Default::default(), vec![]);
        store.put_checkpoint(&checkpoint::key("4-0"), &checkpoint).unwrap();

        let status = Status::read(&store, keys(100)).unwrap();
        assert_eq!((status.runs, status.done.len()), (100, 0));
        let [run] = &*status.under_way else { panic!("{status:?}") };
        assert_eq!((run.run, &*run.worker, run.epoch, run.epochs, run.generation), (1, "w", 0, 40, 1));
        assert!(run.silent_seconds < 30. && !run.is_silent());
        let failed: Vec<_> = status.failed.iter().map(|run| (run.run, &*run.error, run.attempts)).collect();
        assert_eq!(failed, [(3, "run 3: no", 1)]);
        assert_eq!(status.checkpointed, [Checkpointed { run: 4, epoch: Some(5) }]);
        assert_eq!(status.waiting.to_string(), "0, 2, 5–99");
        assert!(!status.is_settled());

        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["waiting"], serde_json::json!({"count": 97, "ranges": [[0, 0], [2, 2], [5, 99]]}));
        assert_eq!(json["under_way"][0]["worker"], "w");
        let table = status.table();
        for part in
            ["| done              | ", "| waiting           |    97 | 0, 2, 5–99 |", "0 of 40", "run 3: no"]
        {
            assert!(table.contains(part), "{part}:\n{table}");
        }
    }

    #[test]
    fn the_table_of_many_runs_is_short() {
        let store = MemoryStore::new();
        let record = LeaseRecord::new(holder(), 0, Duration::from_secs(60), None);
        for run in (0..1000).step_by(3) {
            Lease::claim(&store, &format!("{run}-0"), 1, record.clone()).unwrap().unwrap();
        }
        let status = Status::read(&store, keys(100_000)).unwrap();
        assert_eq!((status.under_way.len(), status.waiting.len()), (334, 99_666));
        let table = status.table();
        assert!(table.lines().count() < 40 && table.contains("and 314 more"), "{table}");
        assert!(table.contains("1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20, 22, 23, and 99650 more"));
    }

    #[test]
    fn numbers_are_ranges_in_order() {
        let runs: RunNumbers = [5, 3, 4, 4, 9, 10].into_iter().collect();
        assert_eq!(runs.ranges(), [3..=5, 9..=10]);
        assert_eq!((runs.len(), runs.to_string()), (5, "3–5, 9, 10".into()));
        assert_eq!(runs.iter().collect::<Vec<_>>(), [3, 4, 5, 9, 10]);
        assert!(RunNumbers::default().is_empty() && RunNumbers::default().to_string().is_empty());
    }
}
