//! Speed of averaging networks, compared with reading the same bytes: the two sides of each ratio run in
//! turn, with the same threads. `cargo bench --bench merge` needs 3 GiB of memory.
use candle_core::{CpuStorage, Device, Storage, Tensor};
use candle_ensemble::{
    threads,
    weights::{average, Average, Ema, Swa, Weights},
    Result,
};
use rayon::{prelude::*, ThreadPoolBuilder};
use std::{cell::RefCell, hint::black_box};
use turns::{Bench, Target};

mod turns;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NETWORKS: usize = 20;
/// Number of values in one piece of work of the other side.
const PIECE: usize = 1 << 18;

/// The shapes of the 161 parameters of a ResNet-50 with 25.6 million values, or of a narrower one.
fn shapes(width: usize) -> Vec<Vec<usize>> {
    let mut shapes = vec![vec![width, 3, 7, 7], vec![width], vec![width]];
    let mut inputs = width;
    for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        let inner = width << stage;
        for block in 0..blocks {
            let outer = 4 * inner;
            let mut layers = vec![(inner, inputs, 1), (inner, inner, 3), (outer, inner, 1)];
            if block == 0 {
                layers.push((outer, inputs, 1));
            }
            for (o, i, k) in layers {
                shapes.extend([vec![o, i, k, k], vec![o], vec![o]]);
            }
            inputs = outer;
        }
    }
    shapes.extend([vec![1000, inputs], vec![1000]]);
    shapes
}

fn network(shapes: &[Vec<usize>], number: usize) -> Result<Weights> {
    let tensor = |(i, shape): (usize, &Vec<usize>)| {
        let numbers =
            (0..shape.iter().product()).map(|j: usize| ((j * 7919 + i + number) % 1000) as f32 * 1e-3);
        Ok((format!("{i:03}"), Tensor::from_vec(numbers.collect(), shape.as_slice(), &Device::Cpu)?))
    };
    shapes.iter().enumerate().map(tensor).collect()
}

/// Calls `work` with the values of each tensor.
fn each(network: &Weights, mut work: impl FnMut(usize, &[f32])) {
    for (i, tensor) in network.values().enumerate() {
        let (storage, _) = tensor.storage_and_layout();
        let Storage::Cpu(CpuStorage::F32(numbers)) = &*storage else {
            unreachable!("the tensors are f32 on the CPU")
        };
        work(i, numbers);
    }
}

/// The sum of all values, which are read once: the speed of memory.
fn sum(networks: &[&Weights]) -> f32 {
    let lanes = |piece: &[f32]| {
        let mut sums = [0f32; 64];
        for x in piece.chunks_exact(64) {
            sums.iter_mut().zip(x).for_each(|(s, x)| *s += x);
        }
        sums.iter().sum::<f32>()
    };
    let one = |network: &&Weights| {
        let mut total = 0.;
        each(network, |_, numbers| total += numbers.par_chunks(PIECE).map(lanes).sum::<f32>());
        total
    };
    networks.par_iter().map(one).sum()
}

/// Adds a network to sums in place.
fn add(sums: &mut [Vec<f32>], network: &Weights) {
    each(network, |i, numbers| {
        let pieces = sums[i].par_chunks_mut(PIECE).zip(numbers.par_chunks(PIECE));
        pieces.for_each(|(sums, x)| sums.iter_mut().zip(x).for_each(|(s, x)| *s += x));
    });
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let mut bench = Bench::new();
    let shapes = shapes(if Bench::measured() { 64 } else { 4 });
    let networks = (0..NETWORKS).map(|i| network(&shapes, i)).collect::<Result<Vec<_>>>()?;
    let networks: Vec<&Weights> = networks.iter().collect();
    let weights: Vec<f64> = (1..=NETWORKS).map(|i| i as f64).collect();
    // As many threads as the library uses.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let all = ThreadPoolBuilder::new().num_threads(cores).build().expect("threads");

    bench.pair(
        "merge/mean of 20 networks : reading them".into(),
        Target::AtMost(1. / 0.9),
        || drop(black_box(average(&networks, &weights).expect("compatible"))),
        Some(&|| _ = black_box(all.install(|| sum(&networks)))),
    );
    bench.pair(
        "merge/mean of 20 networks, one by one : reading them".into(),
        Target::Open,
        || {
            let mut mean = Average::new();
            networks.iter().for_each(|network| mean.push(*network, 1.).expect("compatible"));
            drop(black_box(mean.weights()));
        },
        Some(&|| _ = black_box(all.install(|| sum(&networks)))),
    );
    let sums = RefCell::new(shapes.iter().map(|s| vec![0f32; s.iter().product()]).collect::<Vec<_>>());
    let (swa, ema) = (RefCell::new(Swa::new()), RefCell::new(Ema::new(0.999)?));
    let next = |turn: &RefCell<usize>| {
        *turn.borrow_mut() += 1;
        networks[*turn.borrow() % NETWORKS]
    };
    let turn = RefCell::new(0);
    swa.borrow_mut().push(networks[0])?;
    ema.borrow_mut().push(networks[0])?;
    let (our_swa, our_ema) = (
        || swa.borrow_mut().push(next(&turn)).expect("compatible"),
        || ema.borrow_mut().push(next(&turn)).expect("compatible"),
    );
    let addition = || {
        let (sums, network): (&mut [_], _) = (&mut sums.borrow_mut(), next(&turn));
        all.install(|| add(sums, network));
    };
    for (name, ours) in [("SWA", &our_swa as &dyn Fn()), ("EMA", &our_ema)] {
        let name = format!("merge/{name} : adding in place");
        bench.pair(name, Target::AtMost(1.1), ours, Some(&addition));
    }
    bench.finish();
    Ok(())
}
