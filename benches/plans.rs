//! What plans cost: time and memory for 10³ to 10⁵ runs over 10⁴ to 10⁸ rows, and of the rows that members have seen.
//!
//! `cargo bench --bench plans`. Each case is measured in a process of its own, which prints its figures: those of a plan are
//! the making of it, its manifest as bytes, the reading and comparison of the bytes, and the opening of an empty store, for
//! which the key of each run is made and looked up. The second table is about one member: the rows that it has seen,
//! drawn and compressed, as text for its file and back, and those that it has not seen. The last argument limits the
//! numbers of rows (`-- 1e6`).
use candle_core::{bail, Device, Result as CandleResult};
use candle_ensemble::{
    data::{Batch, Dataset, Fingerprint, RowBitmap, Task},
    store::{DirectoryStore, Manifest},
    strategy::{Bagging, EnsembleBuilder, KFold, RandomSplit},
    train::Trainer,
    Error, Result, Session,
};
use std::{hint::black_box, time::Instant};

mod own_process;
use own_process::growth_and_seconds;

const STRATEGIES: [&str; 3] = ["k-fold", "bootstrap", "random-split"];

/// Rows without content: plans need their number.
struct Numbered(usize);

impl Dataset for Numbered {
    fn rows(&self) -> usize {
        self.0
    }
    fn task(&self) -> Task {
        Task::Regression { outputs: 1 }
    }
    fn batch(&self, _: &[u32], _: &Device) -> CandleResult<Batch> {
        bail!("the rows have no content")
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0.to_le_bytes())
    }
}

fn strategy(name: &str, runs: usize) -> Box<dyn EnsembleBuilder> {
    match name {
        "k-fold" => Box::new(KFold::new(10).repeats(runs / 10)),
        "bootstrap" => Box::new(Bagging::new(runs).validation(0.1)),
        _ => Box::new(RandomSplit::new(runs, 0.5)),
    }
}

/// Seconds and MiB of the plan, bytes of a run in its manifest, and seconds to write it, to read and compare it, and
/// to open a store.
fn plan(name: &str, runs: usize, rows: usize) -> Result<[f64; 6]> {
    let (data, trainer) = (Numbered(rows), Trainer::new(|vb| candle_nn::linear(2, 1, vb)));
    let folder = tempfile::tempdir().expect("a folder");
    let store = DirectoryStore::new(folder.path())?;
    let session = Session::new(&trainer, &data).reserve(0.1).store(&store);
    let builder = strategy(name, runs);
    let mut made = None;
    let (mib, planned) = growth_and_seconds(|| session.plan(&*builder, 1).map(|plan| made = Some(plan)));
    let Some(plan) = made else { unreachable!("it was made") };
    let start = Instant::now();
    let bytes = Manifest::new(&plan, "a trainer", &[]).to_bytes()?;
    let written = start.elapsed().as_secs_f64();
    let start = Instant::now();
    assert!(Manifest::from_bytes(&bytes)? == Manifest::new(&plan, "a trainer", &[]));
    let read = start.elapsed().as_secs_f64();
    let start = Instant::now();
    match session.load(&plan) {
        Err(Error::Incomplete { missing, .. }) => assert_eq!(missing.len(), runs),
        other => panic!("an empty store gave {:?}", other.map(|pool| pool.members().len())),
    }
    let opened = start.elapsed().as_secs_f64();
    Ok([planned, mib, bytes.len() as f64 / runs as f64, written, read, opened])
}

/// Seconds and MiB to draw the rows that a member has seen, its bytes as text, seconds to write and read them, and to
/// find the rows that it has not seen.
fn seen(name: &str, rows: usize) -> Result<[f64; 5]> {
    let plan = strategy(name, 10).plan(&Numbered(rows), &["a".into()], 1.into())?;
    let mut made = None;
    let (mib, drawn) = growth_and_seconds(|| plan.runs[1].seen().map(|seen| made = Some(seen)));
    let Some(seen) = made else { unreachable!("it was made") };
    let start = Instant::now();
    let text = serde_json::to_string(&seen).expect("a text");
    let back: RowBitmap = serde_json::from_str(&text).expect("the text of a set");
    let stored = start.elapsed().as_secs_f64();
    assert!(back == seen);
    let start = Instant::now();
    let count = black_box(seen.complement(rows)).len();
    assert_eq!(count + seen.len(), rows);
    Ok([drawn, mib, text.len() as f64, stored, start.elapsed().as_secs_f64()])
}

fn main() -> Result<()> {
    if let Some(case) = own_process::case() {
        let number = |at: usize| case[at].parse::<usize>().expect("a number");
        let figures = match &*case[0] {
            "plan" => plan(&case[1], number(2), number(3))?.to_vec(),
            _ => seen(&case[1], number(2))?.to_vec(),
        };
        let figures: Vec<String> = figures.iter().map(f64::to_string).collect();
        println!("{}", figures.join(" "));
        return Ok(());
    }
    let most = std::env::args().last().and_then(|arg| arg.parse::<f64>().ok()).unwrap_or(1e8);
    let (runs, rows) = match own_process::measured() {
        true => (vec![1_000, 10_000, 100_000], vec![10_000, 1_000_000, 100_000_000]),
        false => (vec![20], vec![100, 70_000]),
    };
    let rows: Vec<usize> = rows.into_iter().filter(|rows| *rows as f64 <= most).collect();
    println!("| strategy | runs | rows | plan s | plan MiB | bytes a run | write s | read, compare s | open store s |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for name in STRATEGIES {
        for runs in &runs {
            for rows in &rows {
                let figures = own_process::run(&["plan", name, &runs.to_string(), &rows.to_string()]);
                let [plan, mib, bytes, write, read, open] = figures[..] else { panic!("{figures:?}") };
                println!(
                    "| {name} | {runs} | {rows} | {plan:.3} | {mib:.1} | {bytes:.0} | {write:.3} | {read:.3} | {open:.3} |"
                );
            }
        }
    }
    println!();
    println!("| strategy | rows | draw s | draw MiB | bytes as text | write, read s | not seen s |");
    println!("|---|---|---|---|---|---|---|");
    for name in STRATEGIES {
        for rows in &rows {
            let figures = own_process::run(&["seen", name, &rows.to_string()]);
            let [drawn, mib, bytes, stored, unseen] = figures[..] else { panic!("{figures:?}") };
            println!("| {name} | {rows} | {drawn:.4} | {mib:.1} | {bytes:.0} | {stored:.4} | {unseen:.5} |");
        }
    }
    Ok(())
}
