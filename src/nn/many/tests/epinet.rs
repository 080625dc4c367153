//! Epinet against its formulas, written out.
use super::{members::select, *};
use crate::{
    nn::{
        many::{
            epistemic::{index, numbers},
            EfficientEnsemble, Epinet,
        },
        random::{seed_of, Draws},
        testing::{assert_near, assert_slopes},
    },
    Seed,
};

const MEMBERS: usize = 3;
const ROWS: usize = 4;

fn epinet() -> Epinet {
    Epinet::new(MEMBERS).index(2).hidden(4).prior_scale(0.7)
}

/// The variables with their gradients.
fn all(vars: &Vars) -> std::collections::BTreeMap<String, Tensor> {
    vars.named().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect()
}

fn stacked(rows: &[Vec<f64>]) -> Tensor {
    Tensor::new(rows.to_vec(), &Device::Cpu).unwrap()
}

/// The indices in evaluation.
fn of_evaluation(vars: &Vars, size: usize) -> Tensor {
    let seeds = vars.snapshot().unwrap()["2.members.seeds"].to_vec2::<u32>().unwrap();
    stacked(&seeds.iter().map(|parts| index(parts, size)).collect::<Vec<_>>())
}

/// The indices of the next pass in training.
fn of_training(vars: &Vars, (members, size): (usize, usize)) -> Tensor {
    let weights = vars.snapshot().unwrap();
    let (own, vb) = variables(9, DType::F64);
    let draws = Draws::new(&vb).unwrap();
    let named = |name: &str| (name.to_string(), weights[&format!("2.epinet.index.{name}")].clone());
    own.load(&["seed", "step"].into_iter().map(named).collect()).unwrap();
    draws.normal(&Tensor::zeros((members, size), DType::F64, &Device::Cpu).unwrap(), 0., 1.).unwrap()
}

fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let y = x.matmul(&weight.t().unwrap()).unwrap();
    bias.map_or(y.clone(), |bias| y.broadcast_add(bias).unwrap())
}

/// The outputs of the perceptron of five inputs, seven, six and three features with the indices `z`, by candle's operations.
fn by_hand(vars: &Vars, epinet: Epinet, x: &Tensor, z: &Tensor) -> Tensor {
    let all = all(vars);
    let of = |layer: usize| (&all[&format!("{layer}.weight")], all.get(&format!("{layer}.bias")));
    let h = linear(x, of(0).0, of(0).1).relu().unwrap();
    let h = linear(&h, of(1).0, of(1).1).tanh().unwrap();
    let base = linear(&h, of(2).0, of(2).1);
    let seen = match epinet.inputs {
        true => Tensor::cat(&[&h.detach(), x], 1).unwrap(),
        false => h.detach(),
    };
    let widths: Vec<usize> = std::iter::once(seen.dim(1).unwrap() + epinet.index)
        .chain(std::iter::repeat_n(epinet.hidden, epinet.layers))
        .chain([3 * epinet.index])
        .collect();
    let seed = seed_of(&all["2.epinet.prior.seed"].to_vec1::<u32>().unwrap());
    let member = |z: Vec<f64>| {
        let rows = seen.dim(0).unwrap();
        let of_row = stacked(&vec![z.clone(); rows]);
        let (mut learned, mut fixed) = [0, 1].map(|_| Tensor::cat(&[&seen, &of_row], 1).unwrap()).into();
        for (number, pair) in widths.windows(2).enumerate() {
            if number > 0 {
                (learned, fixed) = (learned.relu().unwrap(), fixed.relu().unwrap());
            }
            let of = |kind: &str| &all[&format!("2.epinet.{number}.{kind}")];
            learned = linear(&learned, of("weight"), Some(of("bias")));
            let (weight, bias) = numbers(seed.nth("layer", number as u64), pair[0], pair[1]);
            let weight = Tensor::from_vec(weight, (pair[0], pair[1]), &Device::Cpu).unwrap().t().unwrap();
            fixed = linear(&fixed, &weight, Some(&Tensor::new(bias, &Device::Cpu).unwrap()));
        }
        let term = |y: &Tensor| {
            let y = y.reshape((rows * 3, epinet.index)).unwrap();
            let z = Tensor::from_vec(z.clone(), (epinet.index, 1), &Device::Cpu).unwrap();
            y.matmul(&z).unwrap().reshape((rows, 3)).unwrap()
        };
        let fixed = (term(&fixed) * epinet.prior_scale).unwrap();
        ((&base + term(&learned)).unwrap() + fixed).unwrap()
    };
    let members = z.to_vec2::<f64>().unwrap().into_iter().map(member);
    Tensor::cat(&members.collect::<Vec<_>>(), 0).unwrap()
}

fn variants() -> [Epinet; 5] {
    let epinet = epinet();
    [epinet, epinet.inputs(false), epinet.layers(0), epinet.layers(1).index(3), epinet.prior_scale(0.)]
}

#[test]
fn outputs_and_gradients_are_those_of_the_formulas() {
    for epinet in variants() {
        let (vars, vb) = variables(1, DType::F64);
        let network = epinet.convert(vb, mlp).unwrap();
        perturb(&vars);
        let (inputs, what) = (inputs(ROWS, &[5], DType::F64), epinet.to_string());
        let x = inputs.only().unwrap();
        for _ in 0..2 {
            let z = of_training(&vars, (MEMBERS, epinet.index));
            let y = network.run(&inputs, true).unwrap();
            let expected = by_hand(&vars, epinet, x, &z);
            assert_near(&y, &expected, 1e-12, &what);
            let (got, expected) = (gradients(&vars, &y), gradients(&vars, &expected));
            let floats = all(&vars).into_iter().filter(|(_, x)| x.dtype().is_float()).map(|(name, _)| name);
            assert_eq!(got.keys().cloned().collect::<Vec<_>>(), floats.collect::<Vec<_>>(), "{what}");
            for (name, got) in &got {
                assert_near(got, &expected[name], 1e-11, &format!("{what} {name}"));
            }
        }
        let expected = by_hand(&vars, epinet, x, &of_evaluation(&vars, epinet.index));
        for _ in 0..2 {
            assert_near(&network.run_members(&inputs).unwrap(), &expected, 1e-12, &what);
        }
        let mean = expected.reshape((MEMBERS, ROWS, 3)).unwrap().mean(0).unwrap();
        assert_near(&network.run(&inputs, false).unwrap(), &mean, 1e-12, &what);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (vars, vb) = variables(2, DType::F64);
    let network = epinet().convert(vb, mlp).unwrap();
    perturb(&vars);
    let x = inputs(2, &[5], DType::F64);
    let own: Vec<_> = vars
        .named()
        .into_iter()
        .filter(|(name, _)| name.starts_with("2.") && !name.contains("seed"))
        .collect();
    let own: Vec<_> = own.iter().map(|(_, var)| var).filter(|var| var.dtype().is_float()).collect();
    assert_eq!(own.len(), 8);
    assert_slopes(&own, || network.run_members(&x).unwrap(), (1e-5, 1e-6), "epinet");
}

/// The gradient of the plain network is that of its outputs alone: the epinet does not change what the features are.
#[test]
fn no_gradient_of_the_epinet_reaches_the_network() {
    let (vars, vb) = variables(1, DType::F64);
    let network = epinet().convert(vb, mlp).unwrap();
    perturb(&vars);
    let inputs = inputs(ROWS, &[5], DType::F64);
    let got = gradients(&vars, &network.run(&inputs, true).unwrap());
    let weights =
        all(&vars).into_iter().filter(|(name, _)| !name.contains("epinet") && !name.contains("members"));
    let plain = mlp(VarBuilder::from_tensors(weights.collect(), DType::F64, &Device::Cpu)).unwrap();
    let y = plain.forward(inputs.only().unwrap()).unwrap();
    let expected = gradients(&vars, &Tensor::cat(&[&y, &y, &y], 0).unwrap());
    assert_eq!(expected.len(), 5);
    for (name, expected) in &expected {
        assert_near(&got[name], expected, 1e-12, name);
    }
}

/// Where the epinet does not know the index it is linear in it, and the members' mean is that of the plain network: within 5
/// standard deviations for 4000 members. The seed is fixed.
#[test]
fn a_linear_epinet_has_a_mean_of_zero() {
    const MANY: usize = 4000;
    let epinet = Epinet::new(MANY).index(3).hidden(4).layers(1).prior_scale(0.).inputs(false);
    let (vars, vb) = variables(1, DType::F64);
    let network = epinet.convert(vb, mlp).unwrap();
    perturb(&vars);
    let named: std::collections::BTreeMap<_, _> = vars.named().into_iter().collect();
    let first = &named["2.epinet.0.weight"];
    let of_features = first.as_detached_tensor().narrow(1, 0, 6).unwrap();
    let zeros = Tensor::zeros((4, 3), DType::F64, &Device::Cpu).unwrap();
    first.set(&Tensor::cat(&[of_features, zeros], 1).unwrap()).unwrap();
    let inputs = inputs(1, &[5], DType::F64);
    let plain = by_hand(&vars, epinet, inputs.only().unwrap(), &stacked(&[vec![0.; 3]]));
    let units = stacked(&[vec![1., 0., 0.], vec![0., 1., 0.], vec![0., 0., 1.]]);
    let slopes = by_hand(&vars, epinet, inputs.only().unwrap(), &units).broadcast_sub(&plain).unwrap();
    let variance = flat(&slopes.sqr().unwrap().sum(0).unwrap());
    let members = network.run_members(&inputs).unwrap().broadcast_sub(&plain).unwrap();
    let (mean, square) = (flat(&members.mean(0).unwrap()), flat(&members.sqr().unwrap().mean(0).unwrap()));
    for ((mean, square), variance) in mean.into_iter().zip(square).zip(variance) {
        assert!(variance > 0.01 && mean.abs() < 5. * (variance / MANY as f64).sqrt(), "{mean} {variance}");
        assert!((square / variance - 1.).abs() < 5. * (2. / MANY as f64).sqrt(), "{square} {variance}");
    }
}

#[test]
fn indices_and_priors_are_normal_numbers_of_their_seeds() {
    let moments = |numbers: &[f64]| {
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        (mean, numbers.iter().map(|x| x * x).sum::<f64>() / numbers.len() as f64)
    };
    let (n, parts) = (20_000, [1, 2, 3, 4]);
    let (mean, square) = moments(&index(&parts, n));
    assert!(mean.abs() < 5. / (n as f64).sqrt() && (square - 1.).abs() < 5. * (2. / n as f64).sqrt());
    assert_eq!(index(&parts, 5), index(&parts, 5));
    assert_ne!(index(&parts, 5), index(&[1, 2, 3, 5], 5));
    let (weight, bias) = numbers(Seed::from(3), 200, 100);
    let (mean, square) = moments(&weight);
    assert!(
        mean.abs() < 5. * (0.01 / n as f64).sqrt()
            && (square / 0.01 - 1.).abs() < 5. * (2. / n as f64).sqrt()
    );
    let bound = 1. / 200f64.sqrt();
    assert!(bias.iter().all(|b| b.abs() <= bound) && bias.iter().any(|b| b.abs() > 0.9 * bound));
}

/// Each batch has indices of its own, which follow from the seed of the run and the number of batches before it.
#[test]
fn batches_have_new_indices_and_continue_where_they_stopped() {
    let made = |seed| {
        let (vars, vb) = variables(seed, DType::F64);
        (epinet().convert(vb, mlp).unwrap(), vars)
    };
    let x = inputs(ROWS, &[5], DType::F64);
    let run = |network: &crate::nn::many::EnsembleNetwork| bits(&network.run(&x, true).unwrap());
    let ((network, vars), (same, _)) = (made(1), made(1));
    let first = run(&network);
    assert_eq!(run(&same), first);
    let stored = vars.snapshot().unwrap();
    let second = run(&network);
    assert_ne!(second, first);
    let (resumed, vars) = made(2);
    // The prior of another seed has been drawn already; it becomes that of the stored one.
    assert_ne!(run(&resumed), second);
    vars.load(&stored).unwrap();
    assert_eq!(run(&resumed), second);
}

#[test]
fn the_prior_is_scaled_and_no_variable() {
    let x = inputs(ROWS, &[5], DType::F64);
    let outputs = |scale: f64| {
        let (vars, vb) = variables(1, DType::F64);
        let network = epinet().prior_scale(scale).convert(vb, mlp).unwrap();
        let floats = all(&vars).into_iter().filter(|(_, x)| x.dtype().is_float()).count();
        assert_eq!(floats, 5 + 6);
        network.run_members(&x).unwrap()
    };
    let [none, one, two] = [0., 1., 2.].map(outputs);
    let of_one = (one - &none).unwrap();
    assert!(flat(&of_one).iter().any(|x| x.abs() > 0.1));
    assert_near(&(two - none).unwrap(), &(of_one * 2.).unwrap(), 1e-12, "prior");
}

/// Layers behind the last one with weights and nested ones, and rows with several vectors.
#[test]
fn plain_networks_of_other_forms() {
    let nested = |vb: VarBuilder<'_>| {
        let inner = seq().add(nn::linear_no_bias(7, 6, vb.pp(1))?).add(Activation::Tanh);
        let inner = inner.add(nn::linear(6, 3, vb.pp(2))?).add(Activation::Sigmoid);
        let first = seq().add(nn::linear(5, 7, vb.pp(0))?).add(Activation::Relu);
        Ok(first.add(inner).add_fn(|x| x * 2.).add(seq().add_fn(|x| x + 1.)))
    };
    let begun = |plain: &dyn Fn(VarBuilder<'static>) -> Result<Sequential>| {
        let (vars, vb) = variables(1, DType::F64);
        (epinet().convert(vb, plain).unwrap(), vars)
    };
    let ((network, vars), (flat_one, _)) = (begun(&nested), begun(&|vb| mlp(vb)));
    let x = inputs(ROWS, &[5], DType::F64);
    let expected = candle_nn::ops::sigmoid(&flat_one.run_members(&x).unwrap()).unwrap();
    assert_near(
        &network.run_members(&x).unwrap(),
        &((expected * 2.).unwrap() + 1.).unwrap(),
        1e-12,
        "nested",
    );
    let fewer = epinet().convert(over(&select(&vars.snapshot().unwrap(), &[2]), DType::F64), nested).unwrap();
    let all = network.run_members(&x).unwrap();
    assert_eq!(bits(&fewer.run_members(&x).unwrap()), bits(&member(&all, 2, ROWS)));
    // Each of two vectors of a row is as a row.
    let pairs = inputs(ROWS / 2, &[2, 5], DType::F64);
    let rows = pairs.only().unwrap().reshape((ROWS, 5)).unwrap();
    let of_pairs = flat_one.run_members(&pairs).unwrap();
    assert_eq!(of_pairs.dims(), [MEMBERS * ROWS / 2, 2, 3]);
    let of_rows = flat_one.run_members(&rows.into()).unwrap();
    assert_near(&of_pairs.reshape((MEMBERS * ROWS, 3)).unwrap(), &of_rows, 1e-12, "pairs");
    // Images, of which the epinet sees the features alone.
    let (vars, vb) = variables(1, DType::F32);
    let images = epinet().convert(vb, conv_net).unwrap();
    assert_eq!(vars.snapshot().unwrap()["c.epinet.0.weight"].dims(), [4, 6 * 3 * 3 + 2]);
    assert_eq!(images.run_members(&inputs(2, &[2, 7, 6], DType::F32)).unwrap().dims(), [MEMBERS * 2, 2]);
}

#[test]
fn what_does_not_fit_is_named() {
    let error = |epinet: Epinet, plain: Plain| {
        let (_, vb) = variables(1, DType::F32);
        epinet.convert(vb, plain).unwrap_err().to_string()
    };
    for (epinet, expected) in [
        (Epinet::new(0), "the members of Epinet must be at least 1, but is 0"),
        (Epinet::new(2).index(0), "Epinet::index must be at least 1"),
        (Epinet::new(2).hidden(0), "Epinet::hidden must be at least 1"),
        (Epinet::new(2).prior_scale(-1.), "Epinet::prior_scale must be"),
    ] {
        let e = error(epinet, mlp);
        assert!(e.contains(expected), "{e}");
    }
    let e = error(epinet(), |vb| Ok(seq().add(nn::conv2d(2, 4, 3, Default::default(), vb)?)));
    assert!(e.contains("the last one with weights of a network for Epinet, must be a linear layer"), "{e}");
    let words: Plain = |vb| {
        let words = seq().add(nn::embedding(4, 3, vb.pp("words"))?).add_fn(|x| x.flatten_from(1));
        Ok(words.add(nn::linear(6, 5, vb.pp(0))?).add(Activation::Relu).add(nn::linear(5, 2, vb.pp(1))?))
    };
    let run = |epinet: Epinet| {
        let (_, vb) = variables(1, DType::F32);
        let x = Tensor::new(&[[0u32, 3], [2, 2]], &Device::Cpu).unwrap();
        epinet.convert(vb, words).unwrap().run_members(&x.into())
    };
    let e = run(epinet()).unwrap_err().to_string();
    assert!(e.contains("the inputs of a network for Epinet must be 6 numbers for each of 2 rows"), "{e}");
    assert_eq!(run(epinet().inputs(false)).unwrap().dims(), [MEMBERS * 2, 2]);
    for text in ["epinet:16:8:50:2:1", "epinet:4:3:10:0:0.5", "epinet:4:3:10:1:0.5:false"] {
        let made = EfficientEnsemble::registry().parse(text).unwrap();
        assert_eq!(made.to_string(), text);
        let json = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<EfficientEnsemble>(&json).unwrap(), made);
    }
    assert_eq!(EfficientEnsemble::registry().parse("epinet").unwrap(), Epinet::new(16).into());
}
