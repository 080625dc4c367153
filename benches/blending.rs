//! Speed of learning weights: seconds and optimality gaps, compared with a plain read of the predictions in
//! the same run; then the cost of searches and of missing predictions, by members and rows.
//!
//! `cargo bench --bench blending` measures everything, and with `-- simplex` what has this text in its name
//! (`grid`, `evolution`, `partial`). The largest case reads 2 GB. Peak memory is that of the kernel's accounts
//! (`VmHWM`).
use candle_core::{Device, Tensor};
use candle_ensemble::{
    combine::{
        Combiner, DifferentialEvolution, FittedCombiner, GridSearch, InverseError, LeastSquares, PseudoBma,
        SimplexLogLoss, SimplexSquares, Weighted,
    },
    data::Task,
    metrics::{Criterion, Custom, RowLoss, Scored},
    predictions::Predictions,
    threads, HeldOut, Result,
};
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use std::{hint::black_box, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TURNS: usize = 5;

/// Members whose logits point to the true class, each with its own skill and noise, similar enough that most
/// of fifty get a weight. Part of the noise is common to all.
fn predictions(members: usize, rows: usize, classes: usize) -> Result<HeldOut> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let labels: Vec<u32> = (0..rows).map(|_| rng.random_range(0..classes as u32)).collect();
    let common: Vec<f32> = (0..rows * classes).map(|_| rng.sample(StandardNormal)).collect();
    let mut all = Vec::with_capacity(members * rows * classes);
    let mut logits = vec![0f32; classes];
    for _ in 0..members {
        let (skill, spread) = (rng.random_range(1.4f32..1.8), rng.random_range(1.0f32..1.2));
        for (row, label) in labels.iter().enumerate() {
            for (c, z) in logits.iter_mut().enumerate() {
                let own: f32 = rng.sample(StandardNormal);
                let hit = f32::from(u8::from(c == *label as usize));
                *z = (skill * hit + 0.6 * common[row * classes + c] + spread * own).exp();
            }
            let total: f32 = logits.iter().sum();
            all.extend(logits.iter().map(|z| z / total));
        }
    }
    let predicted = Tensor::from_vec(all, (members, rows, classes), &Device::Cpu)?;
    HeldOut::from_predictions(
        &Predictions::new(predicted, Task::Classification { classes })?,
        &Tensor::new(labels, &Device::Cpu)?,
    )
}

/// The shortest time of a few turns, which a busy machine changes least.
fn least<R>(mut f: impl FnMut() -> R) -> (f64, R) {
    let mut turn = || {
        let start = Instant::now();
        let done = black_box(f());
        (start.elapsed().as_secs_f64(), done)
    };
    (1..TURNS).fold(turn(), |best, _| {
        let next = turn();
        if next.0 < best.0 {
            next
        } else {
            best
        }
    })
}

/// A plain read of all predictions on one thread, in f32.
fn read(held_out: &HeldOut) -> f32 {
    let (storage, _) = held_out.predictions().values().storage_and_layout();
    let candle_core::Storage::Cpu(candle_core::CpuStorage::F32(all)) = &*storage else { return f32::NAN };
    let mut lanes = [0f32; 32];
    for block in all.chunks_exact(32) {
        lanes.iter_mut().zip(block).for_each(|(sum, x)| *sum += x);
    }
    lanes.iter().sum()
}

/// The peak memory of the process in bytes, where the kernel reports it.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.)
}

/// The same predictions, of which each member has a random 37 %, as in bagging.
fn partial(held_out: &HeldOut) -> Result<HeldOut> {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let (slots, rows) = (held_out.predictions().slots(), held_out.rows().len());
    let covered: Vec<u8> = (0..slots * rows).map(|_| u8::from(rng.random_bool(0.37))).collect();
    let covered = Tensor::from_vec(covered, (slots, rows), &Device::Cpu)?;
    let (values, task) = (held_out.predictions().values().clone(), held_out.predictions().task());
    HeldOut::from_predictions(&Predictions::partial(values, covered, task)?, held_out.targets())
}

/// The cost of searches and of fits to partly missing predictions.
fn costs(measured: bool, filter: &str) -> Result<Table> {
    type Fit = fn(&HeldOut) -> Result<Weighted>;
    let fits: [(&str, usize, Fit); 11] = [
        // The same loss, computed from all predictions for every point.
        ("grid search, any criterion", 5, |held_out| {
            let error = Custom::new("error", |scored: &Scored<'_>| RowLoss::Error.loss(scored));
            GridSearch::new().criterion(error).fit(held_out)
        }),
        ("grid search, error", 5, |held_out| GridSearch::new().fit(held_out)),
        ("grid search, log-loss", 5, |held_out| GridSearch::new().criterion(RowLoss::LogLoss).fit(held_out)),
        ("grid search, Brier", 5, |held_out| GridSearch::new().criterion(RowLoss::Brier).fit(held_out)),
        ("evolution, error", 50, |held_out| DifferentialEvolution::new().max_generations(20).fit(held_out)),
        ("partial, grid search", 5, |held_out| GridSearch::new().fit(&partial(held_out)?)),
        ("partial, inverse error", 50, |held_out| InverseError::new().fit(&partial(held_out)?)),
        ("partial, simplex log-loss", 50, |held_out| SimplexLogLoss::new().fit(&partial(held_out)?)),
        ("partial, simplex squares", 50, |held_out| SimplexSquares::new().fit(&partial(held_out)?)),
        ("partial, least squares", 50, |held_out| LeastSquares::new().fit(&partial(held_out)?)),
        ("partial, pseudo-BMA+", 50, |held_out| PseudoBma::bootstrap(100).fit(&partial(held_out)?)),
    ];
    let sizes: &[(usize, usize)] = match measured {
        true => {
            &[(3, 10_000), (4, 10_000), (5, 10_000), (4, 100_000), (10, 20_000), (50, 20_000), (50, 100_000)]
        }
        false => &[(3, 60)],
    };
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["", "members", "rows", "classes", "seconds", "fits"]);
    for (members, rows) in sizes.iter().copied() {
        let held_out = predictions(members, rows, 10)?;
        for (name, _, fit) in fits.iter().filter(|(name, most, _)| name.contains(filter) && members <= *most)
        {
            let start = Instant::now();
            let fitted = black_box(fit(&held_out)?);
            let seconds = start.elapsed().as_secs_f64();
            let tried = fitted.fitted().map_or(0, |fit| fit.iterations);
            table.add_row([
                (*name).to_string(),
                members.to_string(),
                rows.to_string(),
                "10".into(),
                format!("{seconds:.3}"),
                tried.to_string(),
            ]);
        }
    }
    Ok(table)
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measured = arguments.iter().any(|a| a == "--bench");
    let filter = arguments.iter().find(|a| !a.starts_with('-')).cloned().unwrap_or_default();
    // `cargo test` runs one small case once; its times are not printed.
    let cases: &[(usize, usize, usize)] = match measured {
        true => &[
            (50, 20_000, 10),
            (10, 20_000, 10),
            (200, 20_000, 10),
            (1000, 20_000, 10),
            (50, 10_000, 10),
            (50, 100_000, 10),
            (50, 1_000_000, 10),
        ],
        false => &[(5, 300, 3)],
    };
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "",
        "members",
        "rows",
        "classes",
        "seconds",
        "steps",
        "gap",
        "used",
        "plain read",
        "peak / predictions",
    ]);
    type Fit = fn(&HeldOut) -> Result<Weighted>;
    let combiners: [(&str, Fit); 2] = [
        ("simplex log-loss", |held_out| SimplexLogLoss::new().fit(held_out)),
        ("simplex squares", |held_out| SimplexSquares::new().fit(held_out)),
    ];
    let mut largest = 0;
    for (members, rows, classes) in cases.iter().copied() {
        let held_out = predictions(members, rows, classes)?;
        let bytes = members * rows * classes * 4;
        for (name, fit) in combiners.iter().filter(|(name, _)| name.contains(&filter)) {
            let (seconds, fitted) = least(|| fit(&held_out).expect("weights"));
            let (reading, _) = least(|| read(&held_out));
            let end = fitted.fitted().expect("a fit");
            assert!(end.gap.is_some_and(|gap| gap <= 1e-6), "{name}: {end:?}");
            // The peak is that of the process, so it belongs to the largest case so far.
            largest = largest.max(bytes);
            let memory = peak().filter(|_| bytes == largest);
            table.add_row([
                (*name).to_string(),
                members.to_string(),
                rows.to_string(),
                classes.to_string(),
                format!("{seconds:.4}"),
                end.iterations.to_string(),
                format!("{:.1e}", end.gap.unwrap_or(f64::NAN)),
                fitted.used().len().to_string(),
                format!("{reading:.4}"),
                memory.map_or(String::new(), |peak| format!("{:.2}", peak / bytes as f64)),
            ]);
        }
    }
    let costs = costs(measured, &filter)?;
    if measured {
        println!("{table}\n\n{costs}");
    }
    Ok(())
}
