//! Speed of combining predictions, compared with a plain read of the same bytes in the same run.
//!
//! `cargo bench --bench combine`. The two sides of a ratio run in turn; the ratio is the median over the
//! turns.
use candle_core::{Device, Tensor};
use candle_ensemble::{combine::*, data::Task, threads, Result};
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use rand::{rngs::StdRng, Rng, SeedableRng};
use std::{hint::black_box, thread, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLASSES: usize = 10;

/// Numbers of members and rows.
type Size = (usize, usize);

/// Random probabilities, `(M, N, C)`.
fn probabilities((members, rows): Size) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(7);
    let mut values: Vec<f32> = (0..members * rows * CLASSES).map(|_| rng.random_range(0.01..1.)).collect();
    for row in values.chunks_exact_mut(CLASSES) {
        let total: f32 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= total);
    }
    values
}

/// The sum of all values on two threads, each with enough independent sums that only memory limits its speed.
fn read(values: &[f32]) -> f32 {
    let sum = |part: &[f32]| {
        let mut lanes = [0f32; 64];
        for chunk in part.chunks_exact(64) {
            lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += x);
        }
        lanes.iter().sum::<f32>()
    };
    let (first, second) = values.split_at(values.len() / 2);
    thread::scope(|scope| {
        let other = scope.spawn(|| sum(second));
        sum(first) + other.join().expect("summed")
    })
}

fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() as f64 * q) as usize]
}

/// The seconds of `ours` and of `theirs`, turn by turn.
fn in_turns(turns: usize, ours: impl Fn(), theirs: impl Fn()) -> (Vec<f64>, Vec<f64>) {
    let seconds = |f: &dyn Fn()| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    };
    ours();
    theirs();
    (0..turns)
        .map(|turn| match turn % 2 {
            0 => (seconds(&ours), seconds(&theirs)),
            _ => {
                let theirs = seconds(&theirs);
                (seconds(&ours), theirs)
            }
        })
        .unzip()
}

/// One row of the table: a combiner on predictions of this size, compared with a plain read of them.
fn row(
    combiner: &dyn FittedCombiner,
    size: Size,
    values: Vec<f32>,
    turns: usize,
    limit: Option<f64>,
) -> Result<[String; 7]> {
    let (members, rows) = size;
    let tensor = Tensor::from_slice(&values, (members, rows, CLASSES), &Device::Cpu)?;
    let predictions = Predictions::new(tensor, Task::Classification { classes: CLASSES })?;
    let combine = || drop(black_box(combiner.combine(&predictions).expect("combined")));
    let (ours, theirs) = in_turns(turns, combine, || assert!(read(black_box(&values)).is_finite()));
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
    let (ms, ratio) = (|s: &[f64]| format!("{:.2}", quantile(s, 0.5) * 1e3), quantile(&ratios, 0.5));
    let met = limit.map_or("", |limit| if ratio <= limit { "met" } else { "missed" });
    Ok([
        format!("{}, {members} × {rows} × {CLASSES}", combiner.name()),
        ms(&ours),
        ms(&theirs),
        format!("{ratio:.2}"),
        format!("{:.2} – {:.2}", quantile(&ratios, 0.25), quantile(&ratios, 0.75)),
        limit.map_or(String::new(), |limit| format!("≤ {limit}")),
        met.into(),
    ])
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    // `cargo test` runs each benchmark once without optimization; its times are not printed.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let quick = std::env::args().any(|arg| arg == "--quick");
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["", "ms", "a plain read, ms", "ratio", "middle half", "target", ""]);
    let (usual, turns): (Size, usize) = match (measured, quick) {
        (false, _) => ((5, 600), 1),
        (_, true) => ((50, 20_000), 20),
        _ => ((50, 20_000), 100),
    };
    let weights: Vec<f64> = (1..=usual.0).map(|w| w as f64).collect();
    let with_target: [(Box<dyn FittedCombiner>, Option<f64>); 2] =
        [(Box::new(Mean), Some(1.5)), (Box::new(Weighted::new(&weights)?), Some(1.5))];
    for (combiner, limit) in &with_target {
        table.add_row(row(&**combiner, usual, probabilities(usual), turns, *limit)?);
    }
    let others: [Box<dyn FittedCombiner>; 12] = [
        Box::new(HardVote),
        Box::new(WeightedVote::new(&weights)?),
        Box::new(GeometricMean),
        Box::new(LogOddsMean),
        Box::new(Product),
        Box::new(Minimum),
        Box::new(Maximum),
        Box::new(Median),
        Box::new(TrimmedMean::new(0.1)?),
        Box::new(WinsorizedMean::new(0.1)?),
        Box::new(RankAverage),
        Box::new(BordaCount),
    ];
    for combiner in &others {
        table.add_row(row(&**combiner, usual, probabilities(usual), turns.min(5), None)?);
    }
    let scales: &[Size] = match measured {
        true => &[(10, 20_000), (100, 20_000), (1000, 20_000), (10, 10_000), (10, 100_000), (10, 1_000_000)],
        false => &[(10, 100)],
    };
    for size in scales {
        table.add_row(row(&Mean, *size, probabilities(*size), turns.min(20), None)?);
    }
    if measured {
        println!("{table}");
    }
    Ok(())
}
