//! Several workers whose clocks and steps the tests decide.
use super::{
    held::{Held, LeaseObserver},
    picker::{Candidate, Claim, Fate, Picker},
    Worker,
};
use crate::{
    observe::{Event, Flow, Observer, Silent},
    plan::{RunSpec, Settings},
    store::{
        lease::{self, Holder, Lease, LeaseRecord, LeaseState},
        listing::Listing,
        Blobs, EpochRecord, MemoryStore, Record, RunKeys, Store,
    },
    Error, Member, Result, Seed,
};
use proptest::prelude::*;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

const EXPIRY: Duration = Duration::from_secs(10);

fn runs(count: usize) -> Vec<RunSpec> {
    (0..count).map(|id| RunSpec::new(id, "a", Seed::from(1), vec![0])).collect()
}

fn candidates(runs: &[RunSpec]) -> Vec<Candidate<'_>> {
    let keys = |run: usize| RunKeys { run, members: vec![format!("{run}-0"), format!("{run}-1")] };
    runs.iter().map(|run| Candidate { run, keys: keys(run.id), epochs: 5, after: None }).collect()
}

/// Puts all members of a run.
fn put(store: &MemoryStore, candidate: &Candidate<'_>) {
    for (index, key) in candidate.keys.members.iter().enumerate() {
        let record = Record {
            run: candidate.run.id,
            index,
            slot: 0,
            refit: false,
            architecture: "a".into(),
            settings: Settings::new(),
            features: None,
            scaling: Default::default(),
            seen: vec![0].into(),
            in_network: None,
            seen_unknown: false,
            round: None,
            curve: vec![],
            key: key.clone(),
        };
        store.put(Member { weights: Default::default(), record }).unwrap();
    }
}

fn worker(name: &str) -> Worker {
    Worker::new().name(name).expiry(EXPIRY).takeovers(1000)
}

/// A worker of a simulation. Its clock has an offset of its own.
struct Simulated<'a> {
    picker: Picker<'a>,
    offset: Duration,
    /// What it holds, and when the lease last changed, by the clock of the simulation.
    held: Vec<(usize, Lease, Duration)>,
    lives: bool,
}

impl<'a> Simulated<'a> {
    fn new(
        worker: &'a Worker,
        blobs: &'a dyn Blobs,
        store: &'a MemoryStore,
        all: &'a [Candidate<'a>],
    ) -> Self {
        let listing = Listing::of(blobs).unwrap();
        let offset = Duration::from_secs(1000 * worker.holder.worker.len() as u64);
        let picker = Picker::new(worker, store, blobs, all, &listing);
        Self { picker, offset, held: vec![], lives: true }
    }

    fn pick(&mut self, most: usize, now: Duration) -> Vec<(usize, Option<LeaseRecord>)> {
        let mut picked = vec![];
        for Claim { position, lease, before } in self.picker.pick(most, now + self.offset).unwrap() {
            picked.push((position, before));
            self.held.push((position, lease, now));
        }
        picked
    }

    /// Heartbeats for what it holds. What is lost is left.
    fn beat(&mut self, blobs: &dyn Blobs, now: Duration) {
        let picker = &mut self.picker;
        self.held.retain_mut(|(position, lease, changed)| {
            let is_held = lease.beat(blobs, 1).unwrap();
            match is_held {
                true => *changed = now,
                false => {
                    let generation = lease.generation() + 1;
                    picker.settle(*position, Fate::Elsewhere { generation, seen: None }, 1, None);
                }
            }
            is_held
        });
    }

    fn finish(&mut self, blobs: &dyn Blobs, store: &MemoryStore, all: &[Candidate<'_>]) {
        for (position, mut lease, _) in self.held.drain(..) {
            put(store, &all[position]);
            lease.remove(blobs).unwrap();
            self.picker.settle(position, Fate::Done, 5, None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Workers that pick, beat, finish, die and stand still at any moment.
    #[test]
    fn whatever_workers_do_no_run_is_taken_from_a_live_holder_and_all_are_done_in_the_end(
        steps in proptest::collection::vec((0usize..4, 0usize..12), 0..150)
    ) {
        let (store, runs) = (MemoryStore::new(), runs(5));
        let all = candidates(&runs);
        let workers: Vec<_> = ["a", "bb", "ccc", "dddd"].map(worker).into();
        let mut simulated: Vec<_> =
            workers.iter().map(|worker| Simulated::new(worker, &store, &store, &all)).collect();
        let mut now = Duration::ZERO;
        for (number, step) in steps {
            if !simulated[number].lives {
                continue;
            }
            match step {
                0..=3 => {
                    for (position, before) in simulated[number].pick(1, now) {
                        let Some(before) = before.filter(|before| before.state == LeaseState::Held) else { continue };
                        // It was taken over from someone who had shown no sign of life for the expiry.
                        let others = simulated.iter().enumerate().filter(|(other, _)| *other != number);
                        for (other, theirs) in others {
                            for (_, lease, changed) in theirs.held.iter().filter(|(at, ..)| *at == position) {
                                prop_assert!(!lease.is_held(&store).unwrap());
                                let is_before = before.holder == workers[other].holder;
                                prop_assert!(!is_before || now - *changed >= EXPIRY, "{now:?} {changed:?}");
                            }
                        }
                    }
                }
                4..=6 => simulated[number].beat(&store, now),
                7 | 8 => simulated[number].finish(&store, &store, &all),
                9 | 10 => now += Duration::from_secs(4),
                _ => simulated[number].lives = number == 0,
            }
            for position in 0..all.len() {
                let leases = simulated.iter().flat_map(|worker| &worker.held).filter(|(at, ..)| *at == position);
                let held = leases.filter(|(_, lease, _)| lease.is_held(&store).unwrap()).count();
                prop_assert!(held <= 1, "{held} workers hold run {position}");
            }
        }
        // Only the first one goes on.
        let mut rounds = 0;
        while !simulated[0].picker.is_settled() || !simulated[0].held.is_empty() {
            simulated[0].finish(&store, &store, &all);
            simulated[0].pick(1, now);
            now += Duration::from_secs(4);
            rounds += 1;
            prop_assert!(rounds < 100);
        }
        let listing = Listing::of(&store).unwrap();
        for candidate in &all {
            prop_assert!(listing.has_members(&candidate.keys.members));
            listing.sweep(&store, candidate.keys.key()).unwrap();
        }
        prop_assert!(store.list("").unwrap().iter().all(|name| name.ends_with(".safetensors")));
    }
}

/// Counts the operations on blobs, and lets the first writes fail.
struct Counting<'s> {
    store: &'s MemoryStore,
    failing: AtomicUsize,
    claims: AtomicUsize,
    lists: AtomicUsize,
    others: AtomicUsize,
}

impl<'s> Counting<'s> {
    fn new(store: &'s MemoryStore, failing: usize) -> Self {
        let [claims, lists, others] = [0; 3].map(AtomicUsize::new);
        Self { store, failing: AtomicUsize::new(failing), claims, lists, others }
    }

    fn counted<'c>(&'c self, counter: &AtomicUsize) -> &'c MemoryStore {
        counter.fetch_add(1, Ordering::Relaxed);
        self.store
    }
}

impl Blobs for Counting<'_> {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.counted(&self.others).read(name)
    }
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let fails = |left: usize| left.checked_sub(1);
        match self.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails) {
            Ok(_) => Err(Error::Io { path: name.into(), source: std::io::Error::other("no network") }),
            Err(_) => self.counted(&self.others).write(name, bytes),
        }
    }
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.counted(&self.claims).write_new(name, bytes)
    }
    fn exists(&self, name: &str) -> Result<bool> {
        self.counted(&self.others).exists(name)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.counted(&self.lists).list(prefix)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.counted(&self.others).remove(name)
    }
    fn locate(&self, name: &str) -> String {
        self.store.locate(name)
    }
}

#[test]
fn many_workers_seldom_meet_and_seldom_list_the_store() {
    let (store, runs) = (MemoryStore::new(), runs(1000));
    let (all, blobs) = (candidates(&runs), Counting::new(&store, 0));
    let workers: Vec<_> = (0..20).map(|number| worker(&format!("worker {number}"))).collect();
    let mut simulated: Vec<_> =
        workers.iter().map(|worker| Simulated::new(worker, &blobs, &store, &all)).collect();
    let (mut now, mut rounds) = (Duration::ZERO, 0);
    while simulated.iter().any(|worker| !worker.picker.is_settled() || !worker.held.is_empty()) {
        for worker in &mut simulated {
            worker.finish(&blobs, &store, &all);
            worker.pick(1, now);
        }
        now += Duration::from_millis(100);
        rounds += 1;
        assert!(rounds < 1000);
    }
    // 50 rounds would be those of runs that are dealt out evenly, and one more to notice the end.
    assert!(rounds <= 55, "{rounds} rounds");
    let [claims, lists, others] =
        [&blobs.claims, &blobs.lists, &blobs.others].map(|count| count.load(Ordering::Relaxed));
    assert!(claims < 1500, "{claims} claims");
    assert!(lists < 20 * 12, "{lists} lists");
    assert!(others < 2000, "{others} other operations");
}

#[test]
fn a_run_whose_workers_die_without_a_further_epoch_is_given_up() {
    let (store, runs) = (MemoryStore::new(), runs(1));
    let all = candidates(&runs);
    let mut now = Duration::ZERO;
    for death in 0..3 {
        let worker = worker(&format!("{death}")).takeovers(2);
        let mut one = Simulated::new(&worker, &store, &store, &all);
        let mut picked = one.pick(1, now);
        now += EXPIRY;
        if death > 0 {
            assert!(picked.is_empty(), "the lease has not expired");
            picked = one.pick(1, now);
        }
        match death {
            // The first one gets further than anyone before, which is no epoch at all.
            0 | 1 => assert_eq!(picked.len(), 1),
            _ => {
                assert!(picked.is_empty() && one.picker.is_settled());
                let failures = one.picker.into_failures();
                let expected =
                    "run 0: 2 workers in a row ended while they trained it, none of them after more than 0 \
                                epochs; the last was 1 on ";
                assert!(failures[&0].to_string().starts_with(expected), "{}", failures[&0]);
            }
        }
    }
    let failure = lease::failure(&store, "0-0", 0).unwrap().unwrap();
    assert_eq!((failure.attempts, &*failure.worker), (1, "1"));
}

fn held(blobs: &dyn Blobs) -> Held {
    let holder = Holder { worker: "w".into(), host: "h".into(), pid: 1 };
    let lease = Lease::claim(blobs, "0-0", 1, LeaseRecord::new(holder, 5, EXPIRY, None)).unwrap().unwrap();
    let held = Held::default();
    held.add(0, lease);
    held
}

fn ends_epoch(observer: &dyn Observer, epoch: usize) -> Flow {
    let run = RunSpec::new(0, "a", Seed::from(1), vec![0]);
    let record = EpochRecord { epoch, ..EpochRecord::default() };
    observer.notify(&Event::EpochEnded { run: &run, record: &record })
}

#[test]
fn heartbeats_that_cannot_be_written_are_tried_again() {
    let store = MemoryStore::new();
    let blobs = Counting::new(&store, 3);
    let worker = worker("w");
    let observer = LeaseObserver { worker: &worker, inner: &Silent, held: held(&blobs) };
    for _ in 0..3 {
        assert_eq!(ends_epoch(&observer, 6), Flow::Continue);
        observer.held.beat(&blobs);
        assert_eq!(lease::read(&store, "0-0", 1).unwrap().unwrap().epoch, 0);
    }
    observer.held.beat(&blobs);
    assert_eq!(lease::read(&store, "0-0", 1).unwrap().unwrap().epoch, 7);
    assert_eq!(ends_epoch(&observer, 7), Flow::Continue);
}

#[test]
fn a_run_with_a_lost_lease_stops_after_its_epoch() {
    let store = MemoryStore::new();
    let worker = worker("w");
    let observer = LeaseObserver { worker: &worker, inner: &Silent, held: held(&store) };
    assert_eq!(ends_epoch(&observer, 0), Flow::Continue);
    store.write(&lease::name("0-0", 2), b"of another").unwrap();
    assert_eq!(ends_epoch(&observer, 1), Flow::Continue, "a heartbeat notices it");
    observer.held.beat(&store);
    assert!(!observer.held.has_stopped(0));
    assert_eq!(ends_epoch(&observer, 2), Flow::Stop);
    assert!(observer.held.has_stopped(0));
}

#[test]
fn heartbeats_go_on_by_themselves_until_the_end_which_gives_leases_back() {
    let store = MemoryStore::new();
    let held = held(&store);
    let beats = || lease::read(&store, "0-0", 1).unwrap().unwrap().beats;
    std::thread::scope(|scope| {
        scope.spawn(|| held.keep_beating(&store, Duration::from_millis(2)));
        while beats() < 3 {
            std::thread::yield_now();
        }
        held.finish(&store);
    });
    assert_eq!(lease::read(&store, "0-0", 1).unwrap().unwrap().state, LeaseState::Released);
}

#[test]
fn parameters_out_of_range_are_refused() {
    let e = Worker::new().expiry(Duration::from_millis(99)).check().unwrap_err().to_string();
    assert_eq!(e, "the expiry of a worker's leases must be at least 100ms, but is 99ms");
    let e = Worker::new().attempts(0).check().unwrap_err().to_string();
    assert_eq!(e, "the number of attempts of a worker must be at least 1, but is 0");
    assert!(Worker::new().takeovers(0).check().is_err() && Worker::default().check().is_ok());
}
