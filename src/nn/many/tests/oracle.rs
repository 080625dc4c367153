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
            // candle's convolution has no gradient where the stride leaves other numbers at the two edges, and a wrong one
            // for sequences.
            let (net, dims) = plain;
            let square = match dims.len() {
                1 => dims.to_vec(),
                2 => continue,
                _ => vec![2, 7, 7],
            };
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

/// candle's own backward pass has the same gradients.
#[test]
fn both_backward_passes_have_the_same_gradients() {
    for method in methods(3) {
        for (plain, dims) in PLAIN {
            let (vars, vb) = variables(2, DType::F64);
            let network = method.convert(vb, plain).unwrap();
            perturb(&vars);
            let y = network.run(&inputs(2, dims, DType::F64), true).unwrap();
            let ours = gradients(&vars, &y);
            let loss = (&y * nn::testing::numbers(y.shape(), 9, y.dtype())).unwrap().sum_all().unwrap();
            let theirs = loss.backward().unwrap();
            for (name, var) in vars.named() {
                assert_near(&ours[&name], theirs.get(&var).unwrap(), 1e-12, &format!("{method} {name}"));
            }
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

/// A plain network with every kind of normalization, and one as its first layer.
fn normalized(vb: VarBuilder<'_>) -> Result<Sequential> {
    let first = seq().add(nn::Dropout::new(0., vb.pp("drop"))?).add(nn::layer_norm(5, 1e-5, vb.pp("in"))?);
    let first = first.add(nn::linear(5, 8, vb.pp(0))?);
    let second = first.add(nn::batch_norm(8, 1e-5, vb.pp("bn"))?).add(Activation::Relu);
    let third = second.add(nn::linear(8, 6, vb.pp(1))?).add(nn::rms_norm(6, 1e-5, vb.pp("rms"))?);
    Ok(third.add(nn::GroupNorm::new(2, 6, 1e-5, vb.pp("gn"))?).add(nn::linear(6, 3, vb.pp(2))?))
}

/// The same for images, with the layers of candle.
fn normalized_images(vb: VarBuilder<'_>) -> Result<Sequential> {
    let first = seq().add(candle_nn::batch_norm(2, 1e-5, vb.pp("in"))?);
    let second = first.add(candle_nn::conv2d(2, 4, 3, Default::default(), vb.pp("a"))?);
    let third = second.add(nn::GroupNorm::new(2, 4, 1e-5, vb.pp("gn"))?).add(Activation::Tanh);
    let last = third.add(nn::batch_norm(4, nn::BatchNormConfig::keras(), vb.pp("bn"))?);
    Ok(last.add_fn(|x| x.flatten_from(1)).add(nn::linear(4 * 4 * 2, 2, vb.pp("b"))?))
}

/// Batch normalization included, in training and in evaluation, with the running statistics that training leaves.
#[test]
fn independent_members_have_normalizations_of_their_own() {
    for (plain, dims) in [(normalized as Plain, &[5][..]), (normalized_images, &[2, 6, 4])] {
        let (vars, vb) = variables(7, DType::F64);
        let network = Independent::new(3).convert(vb, plain).unwrap();
        perturb(&vars);
        for (name, var) in vars.named().into_iter().filter(|(name, _)| name.ends_with("running_var")) {
            let positive = (var.as_detached_tensor().abs().unwrap() + 0.5).unwrap();
            var.set(&positive).unwrap_or_else(|e| panic!("{name} {e}"));
        }
        let x = inputs(6, dims, DType::F64);
        let weights = vars.snapshot().unwrap();
        let (trained, evaluated) = (network.run(&x, true).unwrap(), network.run_members(&x).unwrap());
        let after = vars.snapshot().unwrap();
        let mut names = 0;
        for number in 0..3 {
            let of = |weights: &Weights| -> Weights {
                let plain_name = |name: &String| name.replace("members.", "");
                let own = |name: &String, x: &Tensor| {
                    if has_entries(name) {
                        x.get(number).unwrap()
                    } else {
                        x.clone()
                    }
                };
                weights.iter().map(|(name, x)| (plain_name(name), own(name, x))).collect()
            };
            let (own, vb) = variables(1, DType::F64);
            let alone = plain(vb).unwrap();
            own.load(&of(&weights)).unwrap();
            let y = candle_core::ModuleT::forward_t(&alone, x.only().unwrap(), true).unwrap();
            assert_near(&member(&trained, number, 6), &y, 1e-11, "in training");
            let y = alone.forward(x.only().unwrap()).unwrap();
            assert_near(&member(&evaluated, number, 6), &y, 1e-11, "in evaluation");
            for (name, statistic) in own.snapshot().unwrap() {
                assert_near(&of(&after)[&name], &statistic, 1e-12, &name);
                names += 1;
            }
        }
        assert_eq!(names, 3 * weights.len());
        let trained = |name: &str| !name.contains("running") && has_entries(name);
        let all = vars.named().into_iter().filter(|(name, _)| trained(name)).map(|(_, var)| var);
        let all: Vec<_> = all.collect();
        let y = || network.run(&x, true).unwrap();
        assert_slopes(&all.iter().collect::<Vec<_>>(), y, (1e-5, 1e-6), "independent");
    }
}

#[test]
fn independent_members_have_tables_of_their_own() {
    let plain = |vb: VarBuilder<'_>| {
        let words = seq().add(nn::embedding(4, 3, vb.pp("words"))?).add_fn(|x| x.flatten_from(1));
        Ok(words.add(nn::linear(6, 2, vb.pp("out"))?))
    };
    let (vars, vb) = variables(1, DType::F64);
    let network = Independent::new(3).convert(vb, plain).unwrap();
    let x = Tensor::new(&[[0u32, 3], [2, 2], [1, 0]], &Device::Cpu).unwrap();
    let y = network.run(&(&x).into(), true).unwrap();
    let weights = vars.snapshot().unwrap();
    assert_eq!(weights["words.members.weight"].dims(), [3, 4, 3]);
    for number in 0..3 {
        let own: Weights =
            weights.iter().map(|(name, x)| (name.replace("members.", ""), x.get(number).unwrap())).collect();
        let alone = plain(over(&own, DType::F64)).unwrap().forward(&x).unwrap();
        assert_near(&member(&y, number, 3), &alone, 1e-12, "table");
    }
    let all = vars.all_vars();
    let y = || network.run(&(&x).into(), true).unwrap();
    assert_slopes(&all.iter().collect::<Vec<_>>(), y, (1e-5, 1e-6), "tables");
    let beyond = Tensor::new(&[[4u32, 0]], &Device::Cpu).unwrap();
    let e = network.run(&beyond.into(), true).unwrap_err().to_string();
    assert!(e.contains("a number that an embedding looks up must be from 0 to less than 4, but is 4"), "{e}");
}

/// Networks of many members that are trained side by side compute what each computes alone, to the bit.
#[test]
fn such_networks_can_be_stacked() {
    use crate::nn::stack::Stack;
    for method in methods(3) {
        for (plain, dims) in PLAIN {
            let networks: Vec<_> = (0..2)
                .map(|seed| {
                    let (vars, vb) = variables(seed, DType::F32);
                    let network = method.convert(vb, plain).unwrap();
                    perturb(&vars);
                    (vars, network)
                })
                .collect();
            let vars: Vec<&Vars> = networks.iter().map(|(vars, _)| vars).collect();
            let (stack, vb) = Stack::new(&vars, &Default::default(), DType::F32, &Device::Cpu);
            let together = method.convert(vb, plain).unwrap();
            let x = inputs(8, dims, DType::F32);
            let (y, left) = stack.pass(&[0, 1], || {
                let y = together.run(&x, true).unwrap();
                let loss = (&y * nn::testing::numbers(y.shape(), 9, DType::F32)).unwrap().sum_all().unwrap();
                (backward(&loss).unwrap(), y, together.run(&x, false).unwrap())
            });
            assert!(left.is_empty(), "{method} {left:?}");
            for (number, (vars, network)) in networks.iter().enumerate() {
                let own = x.narrow(number * 4, 4).unwrap();
                let alone = network.run(&own, true).unwrap();
                assert_eq!(bits(&y.1.narrow(0, number * 12, 12).unwrap()), bits(&alone), "{method}");
                let mean = network.run(&own, false).unwrap();
                assert_eq!(bits(&y.2.narrow(0, number * 4, 4).unwrap()), bits(&mean), "{method}");
                let upstream = nn::testing::numbers(y.1.shape(), 9, DType::F32);
                let upstream = upstream.narrow(0, number * 12, 12).unwrap();
                let gradients = backward(&(alone * upstream).unwrap().sum_all().unwrap()).unwrap();
                for (name, var) in vars.named() {
                    let (a, b) = (y.0.get(&var).unwrap(), gradients.get(&var).unwrap());
                    assert_eq!(bits(a), bits(b), "{method} {name}");
                }
            }
        }
    }
}
