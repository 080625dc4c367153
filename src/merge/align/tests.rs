use crate::merge::{
    align::{trace::Trace, *},
    barrier_at_mean, re_estimate, repair,
    testing::{accuracy, digits, inputs, mlp, resnet, split, trained},
    uniform_soup, Model,
};
use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rand::Rng;

fn numbers(weights: &Weights) -> Vec<f64> {
    let flat = |t: &Tensor| t.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1::<f64>();
    weights.values().flat_map(|t| flat(t).unwrap()).collect()
}

/// A network `inputs-a-b-outputs` with random weights.
fn random(seed: u64, [inputs, a, b, outputs]: [usize; 4]) -> Weights {
    let dims: [(&str, &[usize]); 5] = [
        ("0.weight", &[a, inputs]),
        ("0.bias", &[a]),
        ("1.weight", &[b, a]),
        ("1.bias", &[b]),
        ("2.weight", &[outputs, b]),
    ];
    let mut rng = Seed::from(seed).rng();
    let mut draw = |dims: &[usize]| {
        let n: usize = dims.iter().product();
        let values: Vec<f32> = (0..n).map(|_| rng.random::<f32>() - 0.5).collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    };
    dims.into_iter().map(|(name, dims)| (name.to_string(), draw(dims))).collect()
}

fn spec(a: usize, b: usize) -> PermutationSpec {
    let spec = PermutationSpec::new().units("P0", a).axis("P0", "0.weight", 0).axis("P0", "0.bias", 0);
    let spec = spec.axis("P0", "1.weight", 1).units("P1", b).axis("P1", "1.weight", 0);
    spec.axis("P1", "1.bias", 0).axis("P1", "2.weight", 1)
}

fn orders(n: u32) -> Vec<Vec<u32>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = orders(n - 1);
    let with = |order: &Vec<u32>, at: usize| {
        let mut order = order.clone();
        order.insert(at, n - 1);
        order
    };
    shorter.iter().flat_map(|order| (0..n as usize).map(move |at| with(order, at))).collect()
}

fn cosine(a: &Weights, b: &Weights) -> f64 {
    let part = |name: &String| {
        let [x, y] = [a, b].map(|w| numbers(&Weights::from([(name.clone(), w[name].clone())])));
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        (dot(&x, &y), (dot(&x, &x) * dot(&y, &y)).sqrt())
    };
    let (dots, norms): (Vec<f64>, Vec<f64>) = a.keys().map(part).unzip();
    dots.iter().sum::<f64>() / norms.iter().sum::<f64>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_reordered_network_is_recovered_exactly(seed in 0u64..10_000) {
        let spec = spec(12, 9);
        let network = random(seed, [8, 12, 9, 5]);
        let drawn = spec.random(Seed::from(seed).child("order"));
        let other = spec.apply(&network, &drawn).unwrap();
        let found = align(&network, &other, &spec, &Matching::Weights, seed).unwrap();
        prop_assert_eq!(numbers(&found.weights), numbers(&network));
        prop_assert!((found.similarity - 1.).abs() < 1e-12 && found.similarity_before < 1.);
        for (name, order) in &found.permutations {
            prop_assert_eq!(order, &inverse(&drawn[name]));
        }
    }

    #[test]
    fn no_order_is_better_than_the_best_and_a_single_group_reaches_it(seed in 0u64..10_000) {
        let spec = spec(4, 3);
        let (a, b) = (random(seed, [2, 4, 3, 2]), random(seed + 1_000_000, [2, 4, 3, 2]));
        let found = align(&a, &b, &spec, &Matching::Weights, seed).unwrap();
        prop_assert!((cosine(&a, &found.weights) - found.similarity).abs() < 1e-6, "the reported similarity is that of the result");
        prop_assert!(found.similarity >= found.similarity_before);
        let mut best = f64::MIN;
        let mut best_first = f64::MIN;
        for first in orders(4) {
            for second in orders(3) {
                let moved = Permutations::from([("P0".into(), first.clone()), ("P1".into(), second.clone())]);
                let like = cosine(&a, &spec.apply(&b, &moved).unwrap());
                best = best.max(like);
                if second == [0, 1, 2] {
                    best_first = best_first.max(like);
                }
            }
        }
        prop_assert!(found.similarity <= best + 1e-9);
        // With one group, the order is a single assignment, which is the global optimum.
        let single = PermutationSpec::new().units("P0", 4).axis("P0", "0.weight", 0).axis("P0", "0.bias", 0);
        let single = single.axis("P0", "1.weight", 1);
        let found = align(&a, &b, &single, &Matching::Weights, seed).unwrap();
        prop_assert!((cosine(&a, &found.weights) - best_first).abs() < 1e-9);
        prop_assert!(found.sweeps <= 2);
    }
}

#[test]
fn a_group_along_two_axes_of_one_weight_never_gets_worse() {
    // A recurrent weight: rows and columns are the same units.
    let spec = PermutationSpec::new().units("P", 5).axis("P", "w", 0).axis("P", "w", 1).axis("P", "b", 0);
    for seed in 0..20 {
        let network = |seed| {
            let all = random(seed, [5, 5, 5, 5]);
            Weights::from([
                ("w".to_string(), all["0.weight"].clone()),
                ("b".to_string(), all["0.bias"].clone()),
            ])
        };
        let found = align(&network(seed), &network(seed + 99), &spec, &Matching::Weights, 1).unwrap();
        assert!(found.similarity >= found.similarity_before, "{seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_order_and_differences_are_listed() {
    let (a, b) = (random(1, [6, 20, 20, 4]), random(2, [6, 20, 20, 4]));
    let once = |seed: u64| align(&a, &b, &spec(20, 20), &Matching::Weights, seed).unwrap();
    assert_eq!(once(3).permutations, once(3).permutations);
    assert!(once(3).similarity > once(3).similarity_before);
    let e = align(&a, &random(2, [6, 19, 20, 4]), &spec(20, 20), &Matching::Weights, 3).unwrap_err();
    assert!(e.to_string().contains("0.bias is f32 [19] in place of f32 [20]"), "{e}");
    let mut broken = b.clone();
    broken.insert("0.bias".into(), (b["0.bias"].clone() * f64::NAN).unwrap());
    assert!(align(&a, &broken, &spec(20, 20), &Matching::Weights, 3).is_err());
}

#[test]
fn reorderings_of_one_network_are_aligned_to_one_network() {
    let spec = spec(10, 8);
    let network = random(5, [7, 10, 8, 4]);
    let others: Vec<Weights> =
        (0..4).map(|i| spec.apply(&network, &spec.random(Seed::from(i))).unwrap()).collect();
    let all: Vec<&Weights> = others.iter().collect();
    for placed in
        [align_all(&all, &spec, &Matching::Weights, 1).unwrap(), align_to_mean(&all, &spec, 1).unwrap()]
    {
        assert_eq!(placed.len(), 4);
        assert!(placed.iter().all(|one| numbers(one) == numbers(&placed[0])));
    }
    assert!(align_to_mean(&all[..1], &spec, 1).is_err());
    assert!(align_all(&[], &spec, &Matching::Weights, 1).is_err());
}

#[test]
fn an_alignment_that_raises_the_barrier_is_rejected() {
    let (a, b) = (random(1, [6, 9, 9, 4]), random(2, [6, 9, 9, 4]));
    let found = align(&a, &b, &spec(9, 9), &Matching::Weights, 1).unwrap();
    let aligned = numbers(&found.weights);
    // A loss that is high on the path to the aligned network.
    let near = |w: &Weights, to: &[f64]| {
        (-numbers(w).iter().zip(to).map(|(x, y)| (x - y).powi(2)).sum::<f64>()).exp()
    };
    let middle = numbers(&uniform_soup(&[&a, &found.weights]).unwrap());
    let chosen = found.clone().unless_worse(&a, &b, 3, |w| Ok(near(w, &middle))).unwrap();
    assert!(!chosen.aligned);
    assert_eq!(numbers(&chosen.weights), numbers(&b));
    assert_eq!(chosen.after, chosen.before);
    let middle = numbers(&uniform_soup(&[&a, &b]).unwrap());
    let chosen = found.unless_worse(&a, &b, 3, |w| Ok(near(w, &middle))).unwrap();
    assert!(chosen.aligned && chosen.after.height < chosen.before.height);
    assert_eq!(numbers(&chosen.weights), aligned);
}

#[test]
fn alignment_lowers_the_barrier_of_two_trained_networks() {
    let data = digits(false);
    let (seen, held_out) = split();
    let trainer = mlp(&[64, 128, 64, 10]);
    let model = Model::new(&trainer).unwrap();
    let trace = Trace::new(&model, data.inputs()).unwrap();
    let spec = trace.permutations().unwrap();
    let sample = inputs(&data, &seen[..256]);
    let activations = |w: &Weights| trace.activations(&spec, w, &sample);
    let test = inputs(&data, &held_out);
    let right = |w: &Weights| accuracy(&model.output(w, &test).unwrap(), &data, &held_out);
    for seed in 0..3 {
        let networks = trained(mlp(&[64, 128, 64, 10]), 10, 2, seed, &data);
        let [a, b] = [&networks[0], &networks[1]];
        let loss = |w: &Weights| model.loss(w, &data, &held_out);
        for method in [Matching::Weights, Matching::Activations(&activations)] {
            let found = align(a, b, &spec, &method, seed).unwrap();
            assert!(found.similarity > found.similarity_before + 0.1, "{found:?}");
            let chosen = found.unless_worse(a, b, 5, loss).unwrap();
            let (before, after) = (&chosen.before, &chosen.after);
            assert!(chosen.aligned && before.height > 0.25, "{before}");
            assert!(after.height < 0.3 * before.height, "{seed} {method:?}: {before}, then {after}");
            assert!(before.clone().at_most(0.2).is_err() && after.clone().at_most(0.2).is_ok());
            let middle = uniform_soup(&[a, &chosen.weights]).unwrap();
            let ends = right(a).min(right(b));
            assert!(right(&uniform_soup(&[a, b]).unwrap()) < ends - 0.04 && right(&middle) > ends - 0.04);
            let repaired = repair(&trace, &[a, &chosen.weights], &[0.5, 0.5], &middle, &sample).unwrap();
            assert!(loss(&repaired.weights).unwrap() < after.middle(), "{seed} {method:?}");
        }
    }
}

#[test]
fn alignment_lowers_the_barrier_of_five_trained_networks() {
    let data = digits(false);
    let (_, held_out) = split();
    let trainer = mlp(&[64, 128, 64, 10]);
    let model = Model::new(&trainer).unwrap();
    let spec = Trace::new(&model, data.inputs()).unwrap().permutations().unwrap();
    let networks = trained(mlp(&[64, 128, 64, 10]), 10, 5, 7, &data);
    let all: Vec<&Weights> = networks.iter().collect();
    let at_mean = |all: &[&Weights]| barrier_at_mean(all, |w| model.loss(w, &data, &held_out)).unwrap();
    let before = at_mean(&all);
    assert!(before.height > 0.6, "{before}");
    for placed in
        [align_all(&all, &spec, &Matching::Weights, 1).unwrap(), align_to_mean(&all, &spec, 1).unwrap()]
    {
        let after = at_mean(&placed.iter().collect::<Vec<_>>());
        assert!(after.height < 0.4 * before.height, "{before}, then {after}");
    }
}

#[test]
fn residual_networks_are_aligned_and_re_estimated() {
    let data = digits(true);
    let (seen, held_out) = split();
    let trainer = resnet(&[(24, 1)]);
    let model = Model::new(&trainer).unwrap();
    let trace = Trace::new(&model, data.inputs()).unwrap();
    let spec = trace.permutations().unwrap();
    let networks = trained(resnet(&[(24, 1)]), 5, 2, 1, &data);
    let [a, b] = [&networks[0], &networks[1]];
    let sample = inputs(&data, &seen[..200]);
    let activations = |w: &Weights| trace.activations(&spec, w, &sample);
    let anew = |w: &Weights| re_estimate(&model, w, &data, &seen[..400]);
    let plain = |w: &Weights| model.loss(w, &data, &held_out);
    let measured = |w: &Weights| plain(&anew(w)?);
    let before = [barrier(a, b, 3, plain).unwrap(), barrier(a, b, 3, measured).unwrap()];
    for method in [Matching::Weights, Matching::Activations(&activations)] {
        let found = align(a, b, &spec, &method, 1).unwrap();
        let same = model.output(&found.weights, &sample).unwrap() - model.output(b, &sample).unwrap();
        assert!(same.unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-3);
        let after = barrier(a, &found.weights, 3, measured).unwrap();
        // 0.46 and 0.42 of the lower one (0.40 to 0.48 for most seeds). Without re-estimation it would be 0.85.
        assert!(before.iter().all(|before| after.height < 0.55 * before.height), "{before:?} {after}");
    }
}
