//! The time of a forward and a backward pass of networks that hold many members, as ratios of times within one run.
//!
//! `cargo bench --bench many` compares TabM with 32 members with one plain network, with a plain network on 32 times the rows,
//! which has the same products of matrices and no members, and with 32 networks in one.
use candle_core::{Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    data::Inputs,
    nn::{
        backward,
        many::{BatchEnsemble, Independent, TabM, TabMMini},
    },
    threads,
    weights::{fresh, Vars},
    Network, Result,
};
use candle_nn::VarBuilder;
use noise::noise;
use perceptron::layers;
use std::hint::black_box;
use turns::{Bench, Target};

mod noise;
mod perceptron;
mod turns;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MEMBERS: usize = 32;
const WIDTHS: [usize; 5] = [8, 256, 256, 256, 1];
const ROWS: usize = 128;

/// A network and a batch.
struct Step<N> {
    network: N,
    vars: Vars,
    inputs: Inputs,
}

impl<N: Network> Step<N> {
    fn new(rows: usize, network: impl FnOnce(VarBuilder<'static>) -> CandleResult<N>) -> Result<Self> {
        let (vars, vb) = fresh(1, Default::default(), candle_core::DType::F32, &Device::Cpu);
        Ok(Self { network: network(vb)?, vars, inputs: noise(rows, WIDTHS[0])?.into() })
    }

    /// The gradients of the mean of the squared outputs.
    fn run(&self) {
        let loss = self.network.run(&self.inputs, true).and_then(|y| y.sqr()?.mean_all());
        let gradients = loss.and_then(|loss| backward(&loss)).expect("the passes work");
        let found: Vec<Option<&Tensor>> = self.vars.all_vars().iter().map(|var| gradients.get(var)).collect();
        black_box(found.len());
    }
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let plain = |vb: VarBuilder<'static>| layers(&WIDTHS, vb);
    let one = Step::new(ROWS, plain)?;
    let all_rows = Step::new(MEMBERS * ROWS, plain)?;
    let independent = Step::new(ROWS, |vb| Independent::new(MEMBERS).convert(vb, plain))?;
    let tab_m = Step::new(ROWS, |vb| TabM::new(MEMBERS).convert(vb, plain))?;
    let mini = Step::new(ROWS, |vb| TabMMini::new(MEMBERS).convert(vb, plain))?;
    let batch_ensemble = Step::new(ROWS, |vb| BatchEnsemble::new(MEMBERS).convert(vb, plain))?;
    let mut bench = Bench::new();
    let name = |what: &str| format!("passes/{what}");
    bench.pair(name("TabM-32 : one plain network"), Target::Open, || tab_m.run(), Some(&|| one.run()));
    bench.pair(
        name("TabM-32 : a plain network on 32 times the rows"),
        Target::AtMost(1.5),
        || tab_m.run(),
        Some(&|| all_rows.run()),
    );
    bench.pair(
        name("TabM-mini-32 : a plain network on 32 times the rows"),
        Target::AtMost(1.25),
        || mini.run(),
        Some(&|| all_rows.run()),
    );
    bench.pair(
        name("BatchEnsemble-32 : a plain network on 32 times the rows"),
        Target::AtMost(1.5),
        || batch_ensemble.run(),
        Some(&|| all_rows.run()),
    );
    bench.pair(
        name("TabM-32 : 32 networks in one"),
        Target::Open,
        || tab_m.run(),
        Some(&|| independent.run()),
    );
    bench.finish();
    Ok(())
}
