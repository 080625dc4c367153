//! What is allocated: by running averages nothing that grows with the network, after the first push; by predictions of rows
//! with many positions no more than for a pass, beside what is kept.
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    weights::{Average, Ema, NamedTensors, Swa, Weights},
    Result,
};
use candle_nn::VarMap;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex, PoisonError,
    },
};

#[path = "../benches/pictures/mod.rs"]
#[allow(dead_code)]
mod pictures;

/// Counts the bytes that all threads ask for, those in use, and the most that were in use at a time.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// The counts are of one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

// SAFETY: The system's allocator does the work; the default methods call these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(in_use, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocated(work: impl FnOnce() -> Result<()>) -> Result<usize> {
    let before = BYTES.load(Ordering::Relaxed);
    work()?;
    Ok(BYTES.load(Ordering::Relaxed) - before)
}

/// Megabytes of each type.
fn network() -> Result<Weights> {
    let tensor = |name: &str, len: usize, dtype| -> Result<_> {
        Ok((name.to_string(), Tensor::ones(len, dtype, &Device::Cpu)?))
    };
    [
        tensor("f32", 1 << 20, DType::F32),
        tensor("f64", 1 << 19, DType::F64),
        tensor("bf16", 1 << 20, DType::BF16),
        tensor("f16", 1 << 20, DType::F16),
        tensor("small", 7, DType::F32),
        tensor("counter", 1 << 20, DType::U32),
    ]
    .into_iter()
    .collect()
}

/// The most that ten pushes after the first two may take: queues of the threads, error texts, nothing else.
const MOST: usize = 1 << 16;

fn check<N: NamedTensors>(name: &str, network: &N, mut push: impl FnMut(&N) -> Result<()>) -> Result<()> {
    let first = allocated(|| push(network))?;
    assert!(first > 1 << 22, "{name}: the count does not count, {first}");
    push(network)?;
    let later = allocated(|| (0..10).try_for_each(|_| push(network)))?;
    assert!(later < MOST, "{name}: {later} bytes in ten pushes");
    Ok(())
}

#[test]
fn a_push_allocates_nothing_after_the_first() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let weights = network()?;
    let (mut swa, mut ema, mut mean) = (Swa::new(), Ema::new(0.9)?, Average::new());
    check("SWA", &weights, |network| swa.push(network))?;
    check("EMA", &weights, |network| ema.push(network))?;
    check("the mean", &weights, |network| mean.push(network, 1.))?;
    let map = VarMap::new();
    let vars = candle_nn::VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    candle_nn::linear(1 << 10, 1 << 10, vars.pp("layer"))?;
    let mut swa = Swa::new();
    check("SWA of a map", &map, |network| swa.push(network))
}

/// The most bytes that work on so many pictures of this side has in use at a time.
fn peak(work: &str, rows: usize, side: usize) -> Result<usize> {
    pictures::run(work, &pictures::Pictures { rows, side }, |work| {
        let before = IN_USE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        work()?;
        Ok(PEAK.load(Ordering::Relaxed) - before)
    })
}

/// Metrics of three times as many pictures take no more, and predictions their classes alone.
#[test]
fn predictions_at_many_positions_hold_a_pass_and_what_is_kept() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (side, few, many) = (64, 96, 288);
    let more_pixels = (many - few) * side * side;
    let [few_metrics, many_metrics] = [peak("metrics", few, side)?, peak("metrics", many, side)?];
    assert!(many_metrics < few_metrics + few_metrics / 5, "{few_metrics} {many_metrics}");
    // A larger picture makes a smaller pass.
    let larger = peak("metrics", few / 2, 2 * side)?;
    assert!(larger < 2 * few_metrics, "{few_metrics} {larger}");
    let growth = |work: &str| {
        Ok::<_, candle_ensemble::Error>(peak(work, many, side)?.saturating_sub(peak(work, few, side)?))
    };
    // The classes of each pass, and all of them in one tensor.
    let predicted = growth("predict")?;
    assert!(predicted < more_pixels * (4 + 4) * 11 / 10, "{predicted} of {more_pixels} pixels");
    Ok(())
}
