//! Tests of networks that hold many members.
mod converting;
mod epinet;
mod layers;
mod members;
mod methods;
mod oracle;
mod reference;

use crate::{
    data::Inputs,
    nn::{self, backward, seq, testing::flat, Activation, Sequential},
    weights::{fresh, InitScheme, Vars, Weights},
    Network,
};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Conv1dConfig, Conv2dConfig, VarBuilder};

/// A plain network for rows of five numbers.
fn mlp(vb: VarBuilder<'_>) -> Result<Sequential> {
    let first = seq().add(nn::linear(5, 7, vb.pp(0))?).add(Activation::Relu);
    let second = first.add(nn::linear_no_bias(7, 6, vb.pp(1))?).add(Activation::Tanh);
    Ok(second.add(nn::linear(6, 3, vb.pp(2))?))
}

/// A plain network for images of two channels, seven by six, with groups, strides and an activation that is an operation of
/// its own.
fn conv_net(vb: VarBuilder<'_>) -> Result<Sequential> {
    let padded = Conv2dConfig { padding: 1, ..Default::default() };
    let grouped = Conv2dConfig { stride: 2, groups: 2, ..Default::default() };
    let first = seq().add(nn::conv2d(2, 4, 3, padded, vb.pp("a"))?).add(Activation::Gelu);
    let second =
        first.add(nn::conv2d_no_bias(4, 6, 2, grouped, vb.pp("b"))?).add(candle_nn::Activation::Relu);
    Ok(second.add_fn(|x| x.flatten_from(1)).add(nn::linear(6 * 3 * 3, 2, vb.pp("c"))?))
}

/// A plain network for sequences of three channels.
fn sequence_net(vb: VarBuilder<'_>) -> Result<Sequential> {
    let config = Conv1dConfig { padding: 1, stride: 2, ..Default::default() };
    let first = seq().add(nn::conv1d(3, 4, 3, config, vb.pp("a"))?).add(Activation::Sigmoid);
    Ok(first.add_fn(|x| x.mean(2)).add(nn::linear(4, 2, vb.pp("b"))?))
}

type Plain = fn(VarBuilder<'_>) -> Result<Sequential>;

/// The plain networks, and the shapes of their inputs without rows.
const PLAIN: [(Plain, &[usize]); 3] = [(mlp, &[5]), (conv_net, &[2, 7, 6]), (sequence_net, &[3, 9])];

fn variables(seed: u64, dtype: DType) -> (Vars, VarBuilder<'static>) {
    fresh(seed, InitScheme::AsDeclared, dtype, &Device::Cpu)
}

/// Moves every float variable away from where it began.
fn perturb(vars: &Vars) {
    for (i, (_, var)) in vars.named().into_iter().enumerate().filter(|(_, (_, var))| var.dtype().is_float()) {
        let noise = nn::testing::numbers(var.shape(), i as u64 + 50, var.dtype());
        var.set(&(var.as_detached_tensor() + (noise * 0.3).unwrap()).unwrap()).unwrap();
    }
}

/// `VarBuilder` over given weights.
fn over(weights: &Weights, dtype: DType) -> VarBuilder<'static> {
    crate::weights::strict::builder(weights, dtype, &Device::Cpu).0
}

/// The gradients of `Σ upstream · y`, by name.
fn gradients(vars: &Vars, y: &Tensor) -> std::collections::BTreeMap<String, Tensor> {
    let upstream = nn::testing::numbers(y.shape(), 9, y.dtype());
    let store = backward(&(y * upstream).unwrap().sum_all().unwrap()).unwrap();
    let found = vars.named().into_iter().filter_map(|(name, var)| Some((name, store.get(&var)?.clone())));
    found.collect()
}

fn bits(x: &Tensor) -> Vec<u64> {
    flat(x).into_iter().map(f64::to_bits).collect()
}

fn inputs(rows: usize, dims: &[usize], dtype: DType) -> Inputs {
    nn::testing::numbers([&[rows], dims].concat(), 4, dtype).into()
}

fn member(y: &Tensor, member: usize, rows: usize) -> Tensor {
    y.narrow(0, member * rows, rows).unwrap()
}

#[test]
fn networks_can_be_shared_between_threads() {
    fn check<N: Network + Send + Sync + 'static>() {}
    check::<crate::nn::many::EnsembleNetwork>();
}
