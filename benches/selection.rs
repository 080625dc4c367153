//! Speed of ensemble selection: 50 steps on all cores, for each criterion and for several numbers of members
//! and rows.
//!
//! `cargo bench --bench selection`; `-- --quick` takes less time, and `-- scaling` measures what has this
//! text in its name. The predictions are f32 probabilities of ten classes, or one value, from members of
//! different skill.
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{Calibrate, Calibration, Combiner, EnsembleSelection, Mean},
    data::Task,
    metrics::RowLoss,
    predictions::Predictions,
    threads, HeldOut, Result,
};
use criterion::{BenchmarkId, Criterion, SamplingMode};
use rand::{rngs::StdRng, Rng, SeedableRng};
use std::{hint::black_box, time::Duration};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLASSES: usize = 10;
const STEPS: usize = 50;

/// Softmax probabilities of noise, with a logit of the true class that increases with the member's skill.
fn classes(members: usize, rows: usize) -> Result<HeldOut> {
    let labels: Vec<u32> = (0..rows as u32).map(|row| row % CLASSES as u32).collect();
    let mut rng = StdRng::seed_from_u64(7);
    let mut predicted = Vec::with_capacity(members * rows * CLASSES);
    for member in 0..members {
        let skill = 1. + member as f32 / members as f32;
        for label in &labels {
            let from = predicted.len();
            for class in 0..CLASSES as u32 {
                let own = if class == *label { skill } else { 0. };
                predicted.push((3. * rng.random::<f32>() + own).exp());
            }
            let total: f32 = predicted[from..].iter().sum();
            predicted[from..].iter_mut().for_each(|p| *p /= total);
        }
    }
    let predicted = Tensor::from_vec(predicted, (members, rows, CLASSES), &Device::Cpu)?;
    let predictions = Predictions::new(predicted, Task::Classification { classes: CLASSES })?;
    HeldOut::from_predictions(&predictions, &Tensor::from_vec(labels, rows, &Device::Cpu)?)
}

/// The targets with noise.
fn values(members: usize, rows: usize) -> Result<HeldOut> {
    let y = Tensor::arange(0f64, rows as f64, &Device::Cpu)?.reshape((rows, 1))?;
    let mut rng = StdRng::seed_from_u64(7);
    let noisy = |_| {
        let noise: Vec<f64> = (0..rows).map(|_| rng.random_range(-1.0..1.)).collect();
        &y + Tensor::from_vec(noise, (rows, 1), &Device::Cpu)?
    };
    let predicted = Tensor::stack(&(0..members).map(noisy).collect::<CandleResult<Vec<_>>>()?, 0)?;
    let predictions = Predictions::new(predicted.to_dtype(DType::F64)?, Task::Regression { outputs: 1 })?;
    HeldOut::from_predictions(&predictions, &y)
}

/// The same predictions, of which each member has a random 37 %, as in bagging.
fn partial(held_out: &HeldOut) -> Result<HeldOut> {
    let mut rng = StdRng::seed_from_u64(8);
    let (slots, rows) = (held_out.predictions().slots(), held_out.rows().len());
    let covered: Vec<u8> = (0..slots * rows).map(|_| u8::from(rng.random_bool(0.37))).collect();
    let covered = Tensor::from_vec(covered, (slots, rows), &Device::Cpu)?;
    let (values, task) = (held_out.predictions().values().clone(), held_out.predictions().task());
    HeldOut::from_predictions(&Predictions::partial(values, covered, task)?, held_out.targets())
}

fn fit<C: Combiner>(combiner: &C, held_out: &HeldOut) {
    black_box(combiner.fit(held_out).expect("fitted"));
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let mut bench = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1500))
        .configure_from_args();
    // `cargo test` runs each benchmark once without optimization.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let (members, rows) = if measured { (50, 20_000) } else { (5, 200) };
    let selection = |loss: RowLoss| EnsembleSelection::new(STEPS).criterion(loss);

    let mut group = bench.benchmark_group(format!("selection of {members} members on {rows} rows"));
    group.sampling_mode(SamplingMode::Flat);
    let (of_classes, of_values) = (classes(members, rows)?, values(members, rows)?);
    for (name, loss, held_out) in [
        ("log-loss", RowLoss::LogLoss, &of_classes),
        ("error", RowLoss::Error, &of_classes),
        ("brier", RowLoss::Brier, &of_classes),
        ("squared", RowLoss::Squared, &of_values),
        ("absolute", RowLoss::Absolute, &of_values),
    ] {
        group.bench_function(name, |b| b.iter(|| fit(&selection(loss), held_out)));
    }
    let bagged = selection(RowLoss::LogLoss).bags(20, 0.5);
    group.bench_function("log-loss, 20 bags", |b| b.iter(|| fit(&bagged, &of_classes)));
    for calibration in [Calibration::Temperature, Calibration::Vector, Calibration::Isotonic] {
        let calibrated = Mean.calibrated(calibration);
        group.bench_function(format!("mean, {}", calibration.name()), |b| {
            b.iter(|| fit(&calibrated, &of_classes))
        });
    }
    group.finish();

    // One size at a time in memory, up to 400 MB.
    let sizes: &[(usize, usize)] = match measured {
        true => &[(10, 20_000), (100, 20_000), (500, 20_000), (1000, 10_000), (10, 100_000), (10, 1_000_000)],
        false => &[(3, 100)],
    };
    for (members, rows) in sizes {
        let held_out = classes(*members, *rows)?;
        let mut group = bench.benchmark_group("scaling");
        group.sampling_mode(SamplingMode::Flat);
        for loss in [RowLoss::LogLoss, RowLoss::Error, RowLoss::Brier] {
            let id = BenchmarkId::new(format!("{loss:?}"), format!("{members} members, {rows} rows"));
            group.bench_function(id, |b| b.iter(|| fit(&selection(loss), &held_out)));
        }
        if members * rows <= 2_000_000 {
            let held_out = partial(&held_out)?;
            let id = BenchmarkId::new("LogLoss, 37 % covered", format!("{members} members, {rows} rows"));
            group.bench_function(id, |b| b.iter(|| fit(&selection(RowLoss::LogLoss), &held_out)));
        }
        group.finish();
    }
    bench.final_summary();
    Ok(())
}
