//! Every member is a plain network with weights of its own: those of the method, written out.
use super::*;
use crate::nn::{
    many::{BatchEnsemble, EfficientEnsemble, Heads, Independent, ScaleInit, TabM, TabMMini},
    testing::{assert_near, assert_slopes},
};
use crate::weights::members::has_entries;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn methods(members: usize) -> [EfficientEnsemble; 6] {
    let normal = ScaleInit::Normal { mean: 1., deviation: 0.5 };
    [
        BatchEnsemble::new(members).into(),
        BatchEnsemble::new(members).init(normal).into(),
        TabM::new(members).into(),
        TabMMini::new(members).into(),
        Heads::new(members).into(),
        Independent::new(members).into(),
    ]
}

/// The weights of the plain network that a member is. Gradients flow to the variables.
fn written_out(vars: &Vars, member: usize) -> Weights {
    let all: BTreeMap<String, Tensor> =
        vars.named().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
    let of = |name: &str| all.get(name).map(|x| x.get(member).unwrap());
    let mut plain: Weights = all
        .iter()
        .filter(|(name, _)| !has_entries(name))
        .map(|(name, x)| (name.clone(), x.clone()))
        .collect();
    // Entries that stand in place of the plain network's.
    for (name, x) in all.iter().filter(|(name, _)| has_entries(name)) {
        let plain_name = name.replace("members.", "");
        if !name.ends_with(".r") && !name.ends_with(".s") {
            plain.insert(plain_name, x.get(member).unwrap());
        }
    }
    // W ∘ s rᵀ, with each input channel of a group scaled by its own r.
    for (name, w) in &mut plain {
        let Some(layer) = name.strip_suffix("weight") else { continue };
        let others = vec![1; w.rank() - 2];
        if let Some(r) = of(&format!("{layer}members.r")) {
            let (outputs, inputs) = (w.dim(0).unwrap(), w.dim(1).unwrap());
            let groups = r.dim(0).unwrap() / inputs;
            let r = r.reshape((groups, 1, inputs)).unwrap();
            let r = r.broadcast_as((groups, outputs / groups, inputs)).unwrap();
            let dims = [&[outputs, inputs], others.as_slice()].concat();
            *w = w.broadcast_mul(&r.contiguous().unwrap().reshape(dims).unwrap()).unwrap();
        }
        if let Some(s) = of(&format!("{layer}members.s")) {
            let dims = [&[s.dim(0).unwrap(), 1], others.as_slice()].concat();
            *w = w.broadcast_mul(&s.reshape(dims).unwrap()).unwrap();
        }
    }
    plain
}

/// Compares outputs and gradients with a loop over the members.
fn compare(
    method: EfficientEnsemble,
    (plain, dims): (Plain, &[usize]),
    rows: usize,
    dtype: DType,
    seed: u64,
) {
    let what = format!("{method} {dims:?} {rows} {dtype:?}");
    let tolerance = if dtype == DType::F64 { 1e-12 } else { 3e-5 };
    let (vars, vb) = variables(seed, dtype);
    let network = method.convert(vb, plain).unwrap();
    perturb(&vars);
    let (x, members) = (inputs(rows, dims, dtype), network.members().count);
    let one_by_one = || {
        let of = |member| {
            let weights = written_out(&vars, member).into_iter().collect();
            let vb = VarBuilder::from_tensors(weights, dtype, &Device::Cpu);
            plain(vb).unwrap().forward(x.only().unwrap()).unwrap()
        };
        Tensor::cat(&(0..members).map(of).collect::<Vec<_>>(), 0).unwrap()
    };
    let (y, expected) = (network.run(&x, true).unwrap(), one_by_one());
    assert_near(&y, &expected, tolerance, &what);
    assert_eq!(bits(&network.run_members(&x).unwrap()), bits(&y), "{what}");
    let mean = expected.reshape([&[members, rows], &expected.dims()[1..]].concat()).unwrap().mean(0).unwrap();
    assert_near(&network.run(&x, false).unwrap(), &mean, tolerance, &what);
    let (got, expected) = (gradients(&vars, &y), gradients(&vars, &expected));
    assert_eq!(got.keys().collect::<Vec<_>>(), vars.snapshot().unwrap().keys().collect::<Vec<_>>(), "{what}");
    for (name, got) in &got {
        assert_near(got, &expected[name], 10. * tolerance, &format!("{what} {name}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn members_are_plain_networks_with_their_weights_written_out(
        members in 1usize..6,
        rows in 1usize..5,
        seed in any::<u64>(),
    ) {
        for method in methods(members) {
            for plain in PLAIN {
                compare(method, plain, rows, DType::F64, seed);
            }
        }
    }
}

#[test]
fn it_is_so_in_f32_and_in_parts() {
    for method in methods(3) {
        for plain in PLAIN {
            compare(method, plain, 4, DType::F32, 1);
            // candle's convolution has no gradient where the stride leaves other numbers at the two edges.
            let (net, dims) = plain;
            let square: Vec<usize> = if dims.len() == 3 { vec![2, 7, 7] } else { dims.to_vec() };
            crate::nn::in_parts(|| compare(method, (net, &square), 4, DType::F64, 1));
        }
    }
}

/// Central differences of the loss, with respect to every variable.
#[test]
fn gradients_are_those_of_finite_differences() {
    for method in methods(3) {
        for (plain, dims) in PLAIN {
            let (vars, vb) = variables(2, DType::F64);
            let network = method.convert(vb, plain).unwrap();
            perturb(&vars);
            let x = inputs(2, dims, DType::F64);
            let all = vars.all_vars();
            let y = || network.run(&x, true).unwrap();
            assert_slopes(&all.iter().collect::<Vec<_>>(), y, (1e-5, 1e-6), &method.to_string());
        }
    }
}

/// The gradient of the inputs, too.
#[test]
fn gradients_reach_the_inputs() {
    for method in methods(3) {
        for (plain, dims) in PLAIN {
            let (vars, vb) = variables(3, DType::F64);
            let network = method.convert(vb, plain).unwrap();
            perturb(&vars);
            let x = candle_core::Var::from_tensor(inputs(2, dims, DType::F64).only().unwrap()).unwrap();
            let y = || network.run(&x.as_tensor().into(), true).unwrap();
            assert_slopes(&[&x], y, (1e-5, 1e-6), &method.to_string());
        }
    }
}

/// Rows of several vectors: scales are along the last dimension.
#[test]
fn linear_layers_take_inputs_of_three_dimensions() {
    for method in methods(3) {
        compare(method, (mlp, &[4, 5]), 2, DType::F64, 1);
    }
}

#[test]
fn one_member_with_scales_of_one_is_the_plain_network() {
    for (plain, dims) in PLAIN {
        let method = BatchEnsemble::new(1).init(ScaleInit::Ones);
        let (vars, vb) = variables(5, DType::F32);
        let network = method.convert(vb, plain).unwrap();
        let x = inputs(3, dims, DType::F32);
        let weights = vars.snapshot().unwrap();
        let plain_weights: Weights = weights
            .iter()
            .filter(|(name, _)| !name.ends_with("members.r") && !name.ends_with("members.s"))
            .map(|(name, x)| match name.contains("members.") {
                true => (name.replace("members.", ""), x.get(0).unwrap()),
                false => (name.clone(), x.clone()),
            })
            .collect();
        let expected = plain(over(&plain_weights, DType::F32)).unwrap().forward(x.only().unwrap()).unwrap();
        assert_near(&network.run(&x, false).unwrap(), &expected, 1e-6, "one member");
        assert_eq!(network.run(&x, true).unwrap().dims(), expected.dims());
    }
}
