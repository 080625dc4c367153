//! Workers: processes and threads that take runs from the store that they share.
use crate::common::{bytes, line, Tally};
use candle_core::Result as CandleResult;
use candle_ensemble::{
    data::TensorDataset,
    exec::{Executor, Sequential, Shard, Stacked, Threads, Worker},
    nn::{linear, Linear},
    observe::{Event, Flow, Observer},
    plan::Plan,
    store::{Blobs, Checkpoint, Checkpoints, DirectoryStore, MemoryStore, Store},
    strategy::MultiRun,
    train::{CustomLoop, Trainer},
    Error, Member, Result, Session,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Mutex,
    },
    thread,
    time::{Duration, Instant},
};

const EPOCHS: usize = 20;

fn data() -> TensorDataset {
    line(1, 40, 0.1)
}

fn trainer() -> Trainer<Linear> {
    Trainer::new(|vb| linear(2, 1, vb)).epochs(EPOCHS)
}

fn plan(runs: usize) -> Plan {
    Session::new(&trainer(), &data()).plan(&MultiRun::new(runs), 7).unwrap()
}

/// The members of a build without workers.
fn expected(plan: &Plan) -> Vec<Vec<u8>> {
    bytes(Session::new(&trainer(), &data()).train(plan).unwrap().members())
}

/// Slows the epochs down and keeps what happened.
#[derive(Default)]
struct Diary {
    per_epoch: Duration,
    events: Mutex<Vec<String>>,
    trained: Mutex<BTreeMap<usize, usize>>,
    training: Mutex<Vec<usize>>,
    elsewhere: AtomicUsize,
    /// A file that gets each event too.
    file: Option<String>,
}

impl Diary {
    fn slow(milliseconds: u64) -> Self {
        Self { per_epoch: Duration::from_millis(milliseconds), ..Self::default() }
    }

    fn add(&self, event: String) {
        let mut events = self.events.lock().unwrap();
        events.push(event);
        if let Some(file) = &self.file {
            fs::write(file, events.join("\n")).unwrap();
        }
    }

    fn has(&self, start: &str) -> bool {
        self.events.lock().unwrap().iter().any(|event| event.starts_with(start))
    }
}

impl Observer for Diary {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::RunStarted { run } => {
                let mut training = self.training.lock().unwrap();
                assert!(!training.contains(&run.id), "run {} is trained twice at the same time", run.id);
                training.push(run.id);
            }
            Event::EpochEnded { .. } => thread::sleep(self.per_epoch),
            Event::Resumed { run, epoch } => self.add(format!("resumed {} at {epoch}", run.id)),
            Event::RunFinished { run, .. } => {
                self.training.lock().unwrap().retain(|id| *id != run.id);
                *self.trained.lock().unwrap().entry(run.id).or_default() += 1;
            }
            Event::TakenOver { run, worker, .. } => self.add(format!("took {} from {worker}", run.id)),
            Event::LeaseLost { run } => self.add(format!("lost {}", run.id)),
            Event::FinishedElsewhere { runs, epochs } => {
                // Those of a lost run that were trained here are not reported twice.
                assert!(*epochs == runs * EPOCHS || self.has("lost"), "{epochs}");
                self.elsewhere.fetch_add(*runs, Ordering::SeqCst);
            }
            _ => {}
        }
        Flow::Continue
    }
}

/// Another process that works on the plan: this test, started again with variables that say on what.
#[test]
fn the_process_of_a_worker() {
    let Ok(folder) = env::var("WORKER_FOLDER") else { return };
    let number = |name: &str| env::var(name).unwrap().parse::<usize>().unwrap();
    let store = DirectoryStore::new(&folder).unwrap();
    let file = Some(format!("{folder}.{}", env::var("WORKER_NAME").unwrap()));
    let diary = Diary { file, ..Diary::slow(number("WORKER_EPOCH") as u64) };
    let worker = Worker::new().name(env::var("WORKER_NAME").unwrap()).expiry(Duration::from_secs(1));
    let (trainer, data, side_by_side) = (trainer(), data(), Stacked::new(1).unwrap());
    // Runs of a small network side by side, one group at a time.
    let session = Session::new(&trainer, &data).store(&store).executor(&side_by_side).observer(&diary);
    let session = session.checkpoints(Checkpoints::Epochs(1)).worker(&worker);
    session.build(&plan(number("WORKER_RUNS"))).unwrap();
}

/// Another process, which does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where the test succeeds.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn process(folder: &Path, name: &str, runs: usize, epoch: u64) -> Process {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "workers::the_process_of_a_worker"]).stdout(Stdio::null());
    command.env("WORKER_FOLDER", folder).env("WORKER_NAME", name);
    command.env("WORKER_RUNS", runs.to_string()).env("WORKER_EPOCH", epoch.to_string());
    Process(command.spawn().unwrap())
}

fn wait_until(what: &str, mut happens: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happens() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The names of what a store holds besides members.
fn leftovers(store: &dyn Store) -> Vec<String> {
    let names = store.blobs().unwrap().list("").unwrap();
    names.into_iter().filter(|name| !name.ends_with(".safetensors") && name != "plan.bin").collect()
}

#[test]
fn workers_share_the_runs_and_each_is_trained_once() -> Result<()> {
    let (plan, trainer, data) = (plan(24), trainer(), data());
    let folder = tempfile::tempdir().unwrap();
    let diary = Diary::slow(1);
    let (two, stacked) = (Threads::new(2)?, Stacked::new(1)?);
    let work = |name: &str, executor: &dyn Executor| {
        // Each process has a store of its own in the folder that they share.
        let store = DirectoryStore::new(folder.path())?;
        let worker = Worker::new().name(name);
        let session = Session::new(&trainer, &data).store(&store).executor(executor).observer(&diary);
        session.worker(&worker).train(&plan).map(|pool| bytes(pool.members()))
    };
    let pools = thread::scope(|scope| {
        let (work, diary) = (&work, &diary);
        let first = scope.spawn(|| work("first", &Sequential));
        let second = scope.spawn(|| work("second", &two));
        let late = scope.spawn(|| {
            wait_until("a run is finished", || !diary.trained.lock().unwrap().is_empty());
            work("late", &stacked)
        });
        [first, second, late].map(|thread| thread.join().unwrap())
    });
    let expected = expected(&plan);
    for pool in pools {
        assert!(pool? == expected, "members differ");
    }
    let trained = diary.trained.into_inner().unwrap();
    assert_eq!(trained, (0..24).map(|run| (run, 1)).collect());
    // Each of the first two has heard of all runs that it did not train; the late one found some done.
    let elsewhere = diary.elsewhere.into_inner();
    assert!((24..=48).contains(&elsewhere), "{elsewhere}");
    assert!(leftovers(&DirectoryStore::new(folder.path())?).is_empty());
    Ok(())
}

#[test]
fn the_runs_of_a_killed_process_are_taken_over_from_their_checkpoints() -> Result<()> {
    let (plan, trainer, data) = (plan(3), trainer(), data());
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("members");
    let store = DirectoryStore::new(&folder)?;
    let diary = Diary::slow(1);
    let worker = Worker::new().name("second").expiry(Duration::from_secs(1));
    let session = Session::new(&trainer, &data).store(&store).observer(&diary).executor(&Sequential);
    let session = session.checkpoints(Checkpoints::Epochs(1)).worker(&worker);
    let before = session.status(&plan)?;
    assert_eq!((before.done.len(), before.waiting.to_string()), (0, "0–2".into()));

    let mut first = process(&folder, "first", 3, 50);
    let mut killed = None;
    wait_until("the first worker has trained for some epochs", || {
        let status = session.status(&plan).unwrap();
        killed = status.under_way.first().filter(|run| run.epoch >= 2).cloned();
        killed.is_some()
    });
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let killed = killed.unwrap();
    assert_eq!(
        (&*killed.worker, killed.pid, killed.epochs, killed.generation),
        ("first", first.0.id(), EPOCHS, 1)
    );
    let json = serde_json::to_value(session.status(&plan)?).unwrap();
    // It trains all three side by side.
    let under_way = json["under_way"].as_array().unwrap();
    assert!(under_way.iter().map(|run| &run["run"]).eq([0, 1, 2]), "{json}");
    assert!(under_way.iter().all(|run| run["worker"] == "first"), "{json}");

    session.build(&plan)?;
    assert!(bytes(session.load(&plan)?.members()) == expected(&plan), "members differ");
    assert!(diary.has(&format!("took {} from first", killed.run)), "{:?}", diary.events);
    let resumed = format!("resumed {} at ", killed.run);
    let events = diary.events.lock().unwrap();
    let at = events.iter().find_map(|event| event.strip_prefix(&resumed)).unwrap().parse::<usize>().unwrap();
    // A heartbeat may tell of an epoch that is not in the checkpoint yet.
    assert!(at + 1 >= killed.epoch && at < EPOCHS, "{at}");
    let status = session.status(&plan)?;
    assert!(status.is_settled() && status.done.to_string() == "0–2", "{status}");
    assert!(leftovers(&store).is_empty(), "{:?}", leftovers(&store));
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_process_that_was_suspended_leaves_its_runs_to_the_one_that_took_them_over() -> Result<()> {
    let (plan, trainer, data) = (plan(2), trainer(), data());
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("members");
    let store = DirectoryStore::new(&folder)?;
    let (two, diary) = (Threads::new(2)?, Diary::slow(100));
    let worker = Worker::new().name("second").expiry(Duration::from_secs(1));
    let session = Session::new(&trainer, &data).store(&store).observer(&diary).executor(&two);
    let session = session.checkpoints(Checkpoints::Epochs(1)).worker(&worker);

    let mut first = process(&folder, "first", 2, 50);
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &first.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    };
    wait_until("the first worker has begun", || {
        let status = session.status(&plan).unwrap();
        status.under_way.len() == 2 && status.under_way.iter().all(|run| run.epoch >= 1)
    });
    signal("-STOP");
    let build = thread::scope(|scope| {
        let build = scope.spawn(|| session.build(&plan));
        wait_until("both are taken over", || {
            [0, 1].iter().all(|run| diary.has(&format!("took {run} from first")))
        });
        signal("-CONT");
        build.join().unwrap()
    });
    assert!(first.0.wait().unwrap().success());
    build?;
    let events = fs::read_to_string(parent.path().join("members.first")).unwrap();
    let lost: BTreeSet<_> = events.lines().take(2).collect();
    assert_eq!(lost, ["lost 0", "lost 1"].into(), "{events}");
    assert!(bytes(session.load(&plan)?.members()) == expected(&plan), "members differ");
    assert!(leftovers(&store).is_empty(), "{:?}", leftovers(&store));
    Ok(())
}

#[test]
fn processes_may_come_and_go_at_any_moment() -> Result<()> {
    let (plan, trainer, data) = (plan(12), trainer(), data());
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("members");
    let mut names = (0..).map(|number| format!("worker{number}"));
    let mut start = || process(&folder, &names.next().unwrap(), 12, 10);
    let mut living: VecDeque<_> = (0..3).map(|_| start()).collect();
    // Irregular moments, from 40 to 300 milliseconds apart.
    for kill in 0u64..8 {
        thread::sleep(Duration::from_millis(40 + kill * 97 % 261));
        let mut oldest = living.pop_front().unwrap();
        oldest.0.kill().unwrap();
        oldest.0.wait().unwrap();
        living.push_back(start());
    }
    assert!(living.iter_mut().all(|process| process.0.wait().unwrap().success()));
    let store = DirectoryStore::new(&folder)?;
    let session = Session::new(&trainer, &data).store(&store);
    assert!(bytes(session.load(&plan)?.members()) == expected(&plan), "members differ");
    session.build(&plan)?; // sweeps what the killed ones left
    assert!(leftovers(&store).is_empty(), "{:?}", leftovers(&store));
    Ok(())
}

#[test]
fn a_run_that_fails_is_reported_by_all_and_not_tried_again() -> Result<()> {
    let (data, fails, tries) = (data(), AtomicBool::new(true), AtomicUsize::new(0));
    let learner = CustomLoop::new(
        "nothing",
        |vb| linear(2, 1, vb),
        |_, run| {
            if run.spec().id != 2 {
                return Ok(());
            }
            tries.fetch_add(1, Ordering::SeqCst);
            match fails.load(Ordering::SeqCst) {
                true => Err(candle_core::Error::Msg("no such luck".into())),
                false => CandleResult::Ok(()),
            }
        },
    );
    let store = MemoryStore::new();
    let session = Session::new(&learner, &data).store(&store).executor(&Sequential);
    let plan = session.plan(&MultiRun::new(5), 7)?;
    let [first, second] = ["first", "second"].map(|name| Worker::new().name(name));
    let e = session.clone().worker(&first).build(&plan).unwrap_err().to_string();
    assert_eq!(e, "run 2: no such luck");
    let e = session.clone().worker(&second).build(&plan).unwrap_err();
    assert!(matches!(&e, Error::FailedElsewhere { run: 2, attempts: 1, .. }), "{e:?}");
    assert_eq!(e.to_string(), "run 2: no such luck (on worker first, attempt 1)");
    assert_eq!(tries.load(Ordering::SeqCst), 1);

    let status = session.status(&plan)?;
    assert!(status.is_settled() && status.done.to_string() == "0, 1, 3, 4", "{status}");
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!((&json["failed"][0]["run"], &json["failed"][0]["worker"]), (&2.into(), &"first".into()));
    assert!(status.table().contains("no such luck"), "{status}");
    let mut shown = 0;
    let last = session.watch(&plan, Duration::from_secs(100), |_| {
        shown += 1;
        Flow::Continue
    })?;
    assert_eq!((shown, last.failed.len()), (1, 1));

    let stubborn = Worker::new().attempts(3);
    let e = session.clone().worker(&stubborn).build(&plan).unwrap_err().to_string();
    assert_eq!((&*e, tries.load(Ordering::SeqCst)), ("run 2: no such luck", 3));
    assert_eq!(session.status(&plan)?.failed[0].attempts, 3);

    // A build without a worker trains it again, and the next one removes what the workers wrote about it.
    fails.store(false, Ordering::SeqCst);
    session.build(&plan)?;
    assert!(session.status(&plan)?.failed.is_empty());
    session.build(&plan)?;
    assert!(leftovers(&store).is_empty(), "{:?}", leftovers(&store));
    Ok(())
}

#[test]
fn a_worker_that_does_not_wait_leaves_and_a_cancelled_one_gives_its_runs_back() -> Result<()> {
    let (plan, trainer, data, store) = (plan(4), trainer(), data(), MemoryStore::new());
    let session = Session::new(&trainer, &data).store(&store).executor(&Sequential);
    let (first, second, late) = (Worker::new(), Worker::new().name("second").wait(false), Worker::new());
    // One run of the plan is held until the second worker has left.
    let one = Shard::new(0, 4, &Sequential)?;
    let (gate, leaves) = (Diary::slow(100), AtomicBool::new(false));
    thread::scope(|scope| -> Result<()> {
        let session_of_first = session.clone().executor(&one).worker(&first).observer(&gate);
        let plan_of_first = &plan;
        let build = scope.spawn(move || session_of_first.build(plan_of_first));
        wait_until("the first worker has begun", || !session.status(&plan).unwrap().under_way.is_empty());
        let missing = session.clone().worker(&second).train(&plan).err();
        let is_early = !build.is_finished();
        if is_early {
            let missing = missing.map(|e| e.to_string());
            assert_eq!(missing.as_deref(), Some("1 of 4 runs are not in the store: [0]"));
        }
        leaves.store(is_early, Ordering::SeqCst);
        build.join().unwrap()
    })?;
    assert!(leaves.load(Ordering::SeqCst), "the second worker waited");
    assert!(session.status(&plan)?.is_settled());

    // With the default expiry of a minute, the next worker must not have to wait for it.
    let other = MemoryStore::new();
    let session = session.store(&other);
    let stop = Tally::stopping("epoch", 3);
    let cancelled = session.clone().observer(&stop).worker(&first).build(&plan);
    assert!(matches!(cancelled, Err(Error::Cancelled { done: 0, of: 4 })), "{cancelled:?}");
    let status = session.status(&plan)?;
    assert!(status.under_way.is_empty() && status.waiting.len() == 4, "{status}");
    let started = Instant::now();
    session.clone().worker(&late).build(&plan)?;
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(bytes(session.load(&plan)?.members()) == expected(&plan), "members differ");
    Ok(())
}

/// A store of this machine, whose disk is full for a run.
struct FullDisk<'s>(&'s MemoryStore, usize);

impl Store for FullDisk<'_> {
    fn put(&self, member: Member) -> Result<()> {
        match member.record.run == self.1 {
            true => Err(Error::Io { path: "disk".into(), source: std::io::Error::other("full") }),
            false => self.0.put(member),
        }
    }
    fn get(&self, key: &str) -> Result<Option<Member>> {
        self.0.get(key)
    }
    fn put_checkpoint(&self, key: &str, checkpoint: &Checkpoint) -> Result<()> {
        self.0.put_checkpoint(key, checkpoint)
    }
    fn checkpoint(&self, key: &str) -> Result<Option<Checkpoint>> {
        self.0.checkpoint(key)
    }
    fn blobs(&self) -> Option<&dyn Blobs> {
        self.0.blobs()
    }
}

/// A store that cannot be reached at every third attempt to do something with a blob.
#[derive(Default)]
struct Unreliable {
    store: MemoryStore,
    attempts: AtomicUsize,
}

impl Unreliable {
    fn reach(&self) -> Result<&MemoryStore> {
        match self.attempts.fetch_add(1, Ordering::SeqCst) % 3 {
            2 => Err(Error::Io { path: "store".into(), source: std::io::Error::other("no network") }),
            _ => Ok(&self.store),
        }
    }
}

impl Store for Unreliable {
    fn put(&self, member: Member) -> Result<()> {
        self.store.put(member)
    }
    fn get(&self, key: &str) -> Result<Option<Member>> {
        self.store.get(key)
    }
    fn put_checkpoint(&self, key: &str, checkpoint: &Checkpoint) -> Result<()> {
        self.store.put_checkpoint(key, checkpoint)
    }
    fn checkpoint(&self, key: &str) -> Result<Option<Checkpoint>> {
        self.store.checkpoint(key)
    }
    fn drop_checkpoint(&self, key: &str) -> Result<()> {
        self.store.drop_checkpoint(key)
    }
    fn blobs(&self) -> Option<&dyn Blobs> {
        Some(self)
    }
}

impl Blobs for Unreliable {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.reach()?.read(name)
    }
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.reach()?.write(name, bytes)
    }
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.reach()?.write_new(name, bytes)
    }
    fn exists(&self, name: &str) -> Result<bool> {
        self.reach()?.exists(name)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.reach()?.list(prefix)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.reach()?.remove(name)
    }
    fn locate(&self, name: &str) -> String {
        self.store.locate(name)
    }
}

#[test]
fn a_store_that_cannot_be_reached_now_and_then_does_no_harm() -> Result<()> {
    let (plan, trainer, data, store) = (plan(12), trainer(), data(), Unreliable::default());
    let (two, worker) = (Threads::new(2)?, Worker::new().expiry(Duration::from_millis(300)));
    let session = Session::new(&trainer, &data).executor(&two).worker(&worker);
    session.clone().store(&store).build(&plan)?;
    let session = session.store(&store.store);
    assert!(bytes(session.load(&plan)?.members()) == expected(&plan), "members differ");
    session.build(&plan)?;
    assert!(leftovers(&store.store).is_empty(), "{:?}", leftovers(&store.store));
    Ok(())
}

/// A store without blobs.
struct Plain(MemoryStore);

impl Store for Plain {
    fn put(&self, member: Member) -> Result<()> {
        self.0.put(member)
    }
    fn get(&self, key: &str) -> Result<Option<Member>> {
        self.0.get(key)
    }
}

#[test]
fn a_run_that_fails_because_of_the_machine_is_left_to_others() -> Result<()> {
    let (plan, trainer, data, store) = (plan(3), trainer(), data(), MemoryStore::new());
    let (full, worker) = (FullDisk(&store, 1), Worker::new());
    let session = Session::new(&trainer, &data).executor(&Sequential).worker(&worker);
    let e = session.clone().store(&full).build(&plan).unwrap_err().to_string();
    assert_eq!(e, "run 1: disk: full");
    let status = session.clone().store(&store).status(&plan)?;
    assert_eq!((status.done.to_string(), status.waiting.to_string()), ("0, 2".into(), "1".into()));
    let pool = session.store(&store).train(&plan)?;
    assert!(bytes(pool.members()) == expected(&plan), "members differ");
    assert!(leftovers(&store).is_empty(), "{:?}", leftovers(&store));
    Ok(())
}

#[test]
fn a_store_without_blobs_is_refused_and_a_shard_restricts_a_worker() -> Result<()> {
    let (plan, trainer, data, worker) = (plan(5), trainer(), data(), Worker::new());
    let plain = Plain(MemoryStore::new());
    let session = Session::new(&trainer, &data).store(&plain).worker(&worker);
    let e = session.build(&plan).unwrap_err().to_string();
    assert!(
        e.starts_with("the store for a worker must be one that several processes find each other through"),
        "{e}"
    );
    assert!(session.status(&plan).unwrap_err().to_string().starts_with("the store for a status must be"));

    let store = MemoryStore::new();
    let shard = Shard::new(1, 2, &Sequential)?;
    let session = Session::new(&trainer, &data).store(&store).executor(&shard).worker(&worker);
    session.build(&plan)?;
    assert_eq!(session.status(&plan)?.done.to_string(), "1, 3");
    Ok(())
}
