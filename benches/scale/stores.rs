//! What a shared store costs: requests and time of a run, of workers beside each other, of a listing and of a status.
use crate::own_process;
use candle_core::{Device, Tensor};
use candle_ensemble::{
    data::TensorDataset,
    exec::{Sequential, Worker},
    store::{Blobs, Checkpoint, DirectoryStore, Manifest, MemoryStore, Store},
    strategy::MultiRun,
    threads,
    train::Trainer,
    Member, Result, Session,
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

/// What is counted: members, manifests and checkpoints that are read or written, looks for members, and what happens to
/// blobs: reads, writes, claims, looks, removals, and pages of lists, of 1000 names each.
const COUNTS: usize = 8;
const NAMES: [&str; COUNTS] =
    ["files", "looks", "reads", "writes", "claims", "blob looks", "removals", "pages"];

/// A store that counts what is asked of it.
struct Counted<'a> {
    store: &'a dyn Store,
    counts: [AtomicU64; COUNTS],
}

impl<'a> Counted<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self { store, counts: Default::default() }
    }

    fn count(&self, what: usize, by: usize) {
        self.counts[what].fetch_add(by as u64, Ordering::Relaxed);
    }

    fn inner(&self) -> &dyn Blobs {
        self.store.blobs().expect("a store with blobs")
    }
}

impl Store for Counted<'_> {
    fn open(&self, manifest: &Manifest<'_>) -> Result<()> {
        self.count(0, 1);
        self.store.open(manifest)
    }
    fn put(&self, member: Member) -> Result<()> {
        self.count(0, 1);
        self.store.put(member)
    }
    fn get(&self, key: &str) -> Result<Option<Member>> {
        self.count(0, 1);
        self.store.get(key)
    }
    fn contains(&self, key: &str) -> Result<bool> {
        self.count(1, 1);
        self.store.contains(key)
    }
    fn put_checkpoint(&self, key: &str, checkpoint: &Checkpoint) -> Result<()> {
        self.count(0, 1);
        self.store.put_checkpoint(key, checkpoint)
    }
    fn checkpoint(&self, key: &str) -> Result<Option<Checkpoint>> {
        self.count(0, 1);
        self.store.checkpoint(key)
    }
    fn drop_checkpoint(&self, key: &str) -> Result<()> {
        self.count(6, 1);
        self.store.drop_checkpoint(key)
    }
    fn blobs(&self) -> Option<&dyn Blobs> {
        Some(self)
    }
}

impl Blobs for Counted<'_> {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.count(2, 1);
        self.inner().read(name)
    }
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.count(3, 1);
        self.inner().write(name, bytes)
    }
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.count(4, 1);
        self.inner().write_new(name, bytes)
    }
    fn exists(&self, name: &str) -> Result<bool> {
        self.count(5, 1);
        self.inner().exists(name)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let names = self.inner().list(prefix)?;
        self.count(7, names.len().div_ceil(1000).max(1));
        Ok(names)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.count(6, 1);
        self.inner().remove(name)
    }
    fn locate(&self, name: &str) -> String {
        self.inner().locate(name)
    }
}

/// Trains `runs` networks of two weights in `workers` workers, or without any where there are 0. Returns the seconds a run,
/// those of a status and of a listing at the end, and the counts a run.
fn build(kind: &str, runs: usize, workers: usize) -> Result<Vec<f64>> {
    let x = Tensor::new(&[[0f32], [1.]], &Device::Cpu)?;
    let data = TensorDataset::regression(&x, &x.squeeze(1)?)?;
    let trainer = Trainer::new(|vb| candle_nn::linear(1, 1, vb)).epochs(1);
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let (memory, directory) = (MemoryStore::new(), DirectoryStore::new(folder.path())?);
    let store: &dyn Store = if kind == "memory" { &memory } else { &directory };
    let counted = Counted::new(store);
    let session = Session::new(&trainer, &data).store(&counted).executor(&Sequential);
    let plan = session.plan(&MultiRun::new(runs), 1)?;
    let start = Instant::now();
    match workers {
        0 => session.build(&plan)?,
        _ => thread::scope(|scope| {
            let work = |worker: usize| {
                let (session, plan) = (&session, &plan);
                scope.spawn(move || {
                    let worker = Worker::new().name(format!("worker {worker}"));
                    session.clone().worker(&worker).build(plan)
                })
            };
            let all: Vec<_> = (0..workers).map(work).collect();
            all.into_iter().try_for_each(|worker| worker.join().expect("a worker that does not panic"))
        })?,
    }
    let build = start.elapsed().as_secs_f64();
    let counts: Vec<f64> =
        counted.counts.iter().map(|count| count.load(Ordering::Relaxed) as f64 / runs as f64).collect();
    let start = Instant::now();
    let status = session.status(&plan)?;
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(status.done.to_string(), format!("0–{}", runs - 1));
    let start = Instant::now();
    let names = counted.list("")?;
    let listing = start.elapsed().as_secs_f64();
    assert!(names.len() >= runs || kind == "memory");
    Ok([vec![build / runs as f64, seconds, listing], counts].concat())
}

pub fn case(arguments: &[String]) -> Result<Vec<f64>> {
    threads::one_core_per_member();
    let number = |at: usize| arguments[at].parse::<usize>().expect("a number");
    build(&arguments[0], number(1), number(2))
}

/// Prints the table. An argument such as `1e5` is the largest number of runs.
pub fn print(arguments: &[String]) -> Result<()> {
    let most = arguments.iter().find_map(|argument| argument.parse::<f64>().ok()).unwrap_or(1e4);
    let sizes: Vec<usize> = match own_process::measured() {
        true => [1_000, 10_000, 100_000].into_iter().filter(|runs| *runs as f64 <= most).collect(),
        false => vec![20],
    };
    println!("Requests a run, and time; a run trains a network of two weights, so that the time is that of the store:\n");
    println!("| store | runs | workers | ms a run | status s | listing s | {} |", NAMES.join(" | "));
    println!("|---|---|---|---|---|---|{}", "---|".repeat(COUNTS));
    for runs in sizes {
        for (kind, workers) in
            [("directory", 0), ("directory", 1), ("directory", 8), ("memory", 8), ("memory", 100)]
        {
            let figures = own_process::run(&["stores", kind, &runs.to_string(), &workers.to_string()]);
            let [build, status, listing, counts @ ..] = &figures[..] else { panic!("{figures:?}") };
            let counts: Vec<String> = counts.iter().map(|count| format!("{count:.2}")).collect();
            println!(
                "| {kind} | {runs} | {workers} | {:.2} | {status:.3} | {listing:.3} | {} |",
                1e3 * build,
                counts.join(" | ")
            );
        }
    }
    Ok(())
}
