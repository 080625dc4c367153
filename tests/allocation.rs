//! What running averages allocate: nothing that grows with the network, after the first push.
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    weights::{Average, Ema, NamedTensors, Swa, Weights},
    Result,
};
use candle_nn::VarMap;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Counts the bytes that all threads ask for.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: The system's allocator does the work; the default methods call these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
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
