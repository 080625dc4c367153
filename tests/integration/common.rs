//! Shared by the integration tests: small data sets and comparisons to the bit.
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    data::{Batch, Dataset, Fingerprint, Task, TensorDataset},
    observe::{Event, Flow, Observer},
    resample::PlannedRows,
    Member, Rows, Seed,
};
use rand::Rng;
use rand_distr::StandardNormal;
use std::{
    path::PathBuf,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex,
    },
};

pub const CPU: Device = Device::Cpu;

/// The rows of a run as a list.
pub fn listed(rows: &PlannedRows) -> Rows {
    rows.to_vec().unwrap()
}

/// The path of an example's program, which `cargo test` builds in the folder `examples`.
pub fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.ancestors().nth(2).unwrap().join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "run cargo build --example {name} first: {}", program.display());
    program
}

/// Standard normal numbers.
pub fn normal(seed: u64, rows: usize, columns: usize) -> Tensor {
    let mut rng = Seed::from(seed).rng();
    let values: Vec<f64> = (0..rows * columns).map(|_| rng.sample(StandardNormal)).collect();
    Tensor::from_vec(values, (rows, columns), &CPU).unwrap().to_dtype(DType::F32).unwrap()
}

/// All values, row by row.
pub fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// All values as bits. Equal bits are equal values, including NaN and the sign of zero.
pub fn bits(tensor: &Tensor) -> Vec<u64> {
    flat(tensor).into_iter().map(f64::to_bits).collect()
}

/// The largest absolute difference.
pub fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    flat(a).iter().zip(flat(b)).fold(0., |most, (a, b)| {
        assert!(a.is_finite() && b.is_finite(), "{a} and {b}");
        (a - b).abs().max(most)
    })
}

pub fn bytes(members: &[Member]) -> Vec<Vec<u8>> {
    members.iter().map(|m| m.to_bytes().unwrap()).collect()
}

/// The weights alone, as bits.
pub fn weights(member: &Member) -> Vec<(String, Vec<u64>)> {
    member.weights.iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}

/// `y = 2 x₀ − x₁ + 0.5 + noise`, `(rows,)`.
pub fn line(seed: u64, rows: usize, noise: f64) -> TensorDataset {
    let x = normal(seed, rows, 2);
    let e = normal(seed + 1_000_000, rows, 1).affine(noise, 0.5).unwrap();
    let y = x.matmul(&Tensor::new(&[[2f32], [-1.]], &CPU).unwrap()).unwrap();
    TensorDataset::regression(x, &(y + e).unwrap().squeeze(1).unwrap()).unwrap()
}

/// Classes `row % classes`, each around its own centre on the unit circle, with normal noise of this size.
pub fn blobs(seed: u64, rows: usize, classes: u32, noise: f64) -> TensorDataset {
    let labels: Vec<u32> = (0..rows as u32).map(|row| row % classes).collect();
    let centre = |c: &u32| {
        let angle = std::f32::consts::TAU * *c as f32 / classes as f32;
        [angle.cos(), angle.sin()]
    };
    let centres: Vec<f32> = labels.iter().flat_map(centre).collect();
    let centres = Tensor::from_vec(centres, (rows, 2), &CPU).unwrap();
    let x = (centres + normal(seed, rows, 2).affine(noise, 0.).unwrap()).unwrap();
    TensorDataset::classification(x, &Tensor::new(labels, &CPU).unwrap()).unwrap()
}

/// Counts runs, and stops the build at event number `at` (from 0) of a kind.
pub struct Tally {
    pub started: AtomicUsize,
    pub finished: AtomicUsize,
    stop: Option<(&'static str, AtomicUsize)>,
}

impl Tally {
    pub fn new() -> Self {
        Self { started: AtomicUsize::new(0), finished: AtomicUsize::new(0), stop: None }
    }

    pub fn stopping(kind: &'static str, at: usize) -> Self {
        Self { stop: Some((kind, AtomicUsize::new(at))), ..Self::new() }
    }

    pub fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }
}

impl Observer for Tally {
    fn notify(&self, event: &Event<'_>) -> Flow {
        let kind = match event {
            Event::BuildStarted { .. } => "build started",
            Event::RunStarted { .. } => "run started",
            Event::EpochEnded { .. } => "epoch",
            Event::MemberCollected { .. } => "member",
            Event::RunFinished { .. } => "run finished",
            Event::BuildFinished => "build finished",
            _ => "other",
        };
        match kind {
            "run started" => _ = self.started.fetch_add(1, Ordering::SeqCst),
            "run finished" => _ = self.finished.fetch_add(1, Ordering::SeqCst),
            _ => {}
        }
        match &self.stop {
            // Stops once only: the counter wraps to the largest number.
            Some((at, left)) if *at == kind && left.fetch_sub(1, Ordering::SeqCst) == 0 => Flow::Stop,
            _ => Flow::Continue,
        }
    }
}

/// A data set that records which rows are requested, batch by batch.
pub struct Recording {
    pub data: TensorDataset,
    pub requested: Mutex<Vec<Vec<u32>>>,
}

impl Recording {
    pub fn new(data: TensorDataset) -> Self {
        Self { data, requested: Mutex::new(vec![]) }
    }

    pub fn take(&self) -> Vec<Vec<u32>> {
        std::mem::take(&mut self.requested.lock().unwrap())
    }
}

impl Dataset for Recording {
    fn rows(&self) -> usize {
        self.data.rows()
    }
    fn task(&self) -> Task {
        self.data.task()
    }
    fn batch(&self, rows: &[u32], device: &Device) -> candle_core::Result<Batch> {
        self.requested.lock().unwrap().push(rows.to_vec());
        self.data.batch(rows, device)
    }
    fn strata(&self) -> Option<&[u32]> {
        self.data.strata()
    }
    fn fingerprint(&self) -> Fingerprint {
        self.data.fingerprint()
    }
}
