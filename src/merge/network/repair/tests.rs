use crate::{
    merge::{align::trace::Trace, network::repair::*, testing::mlp, uniform_soup, Model},
    Seed,
};
use rand::Rng;

fn random(seed: u64) -> Weights {
    let mut rng = Seed::from(seed).rng();
    let dims: [(&str, &[usize]); 6] = [
        ("0.weight", &[8, 5]),
        ("0.bias", &[8]),
        ("1.weight", &[6, 8]),
        ("1.bias", &[6]),
        ("2.weight", &[3, 6]),
        ("2.bias", &[3]),
    ];
    let draw = |(name, dims): (&str, &[usize])| {
        let n: usize = dims.iter().product();
        let values: Vec<f32> = (0..n).map(|_| rng.random::<f32>() - 0.4).collect();
        (name.to_string(), Tensor::from_vec(values, dims, &Device::Cpu).unwrap())
    };
    dims.into_iter().map(draw).collect()
}

fn rows(n: usize) -> Tensor {
    let mut rng = Seed::from(77).rng();
    let values: Vec<f32> = (0..n * 5).map(|_| rng.random::<f32>() * 2. - 0.5).collect();
    Tensor::from_vec(values, (n, 5), &Device::Cpu).unwrap()
}

/// The pre-activations of the hidden layers.
fn pre_activations(weights: &Weights, xs: &Tensor) -> Vec<Tensor> {
    let layer = |xs: &Tensor, i: usize| {
        let w = weights[&format!("{i}.weight")].t().unwrap();
        xs.matmul(&w).unwrap().broadcast_add(&weights[&format!("{i}.bias")]).unwrap()
    };
    let first = layer(xs, 0);
    let second = layer(&first.relu().unwrap(), 1);
    vec![first, second]
}

/// Mean and population standard deviation of each column.
fn moments(table: &Tensor) -> Vec<(f64, f64)> {
    let columns = table.t().unwrap().to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
    let one = |c: Vec<f64>| {
        let n = c.len() as f64;
        let mean = c.iter().sum::<f64>() / n;
        (mean, (c.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
    };
    columns.into_iter().map(one).collect()
}

#[test]
fn each_hidden_unit_gets_the_mean_and_spread_of_its_parents() {
    let trainer = mlp(&[5, 8, 6, 3]);
    let xs = rows(101);
    for batch in [2, 16, 1000] {
        let model = Model::new(&trainer).unwrap().batch_rows(batch);
        let trace = Trace::new(&model, &xs).unwrap();
        let (a, b) = (random(1), random(2));
        let merged = uniform_soup(&[&a, &b]).unwrap();
        let found = repair(&trace, &[&a, &b], &[0.25, 0.75], &merged, &xs).unwrap();
        assert_eq!(found.layers, ["0.weight", "1.weight"]);
        let [ours, first, second] = [&found.weights, &a, &b].map(|w| pre_activations(w, &xs));
        let mut before = 0f64;
        for layer in 0..2 {
            let [ours, first, second, plain] =
                [&ours, &first, &second, &pre_activations(&merged, &xs)].map(|all| moments(&all[layer]));
            for (((ours, a), b), plain) in ours.iter().zip(&first).zip(&second).zip(&plain) {
                assert!((ours.0 - 0.25 * a.0 - 0.75 * b.0).abs() < 1e-4, "{ours:?} {a:?} {b:?}");
                assert!((ours.1 - 0.25 * a.1 - 0.75 * b.1).abs() < 1e-4, "{ours:?} {a:?} {b:?}");
                before = before.max((plain.1 - 0.25 * a.1 - 0.75 * b.1).abs());
            }
        }
        assert!(before > 0.05, "the plain average needs repair");
        for name in ["2.weight", "2.bias"] {
            let [now, was] =
                [&found.weights, &merged].map(|w| w[name].flatten_all().unwrap().to_vec1::<f32>().unwrap());
            assert_eq!(now, was, "the output layer is unchanged");
        }
    }
}

#[test]
fn the_average_of_equal_networks_is_unchanged() {
    let trainer = mlp(&[5, 8, 6, 3]);
    let xs = rows(40);
    let trace = Trace::new(&Model::new(&trainer).unwrap(), &xs).unwrap();
    let a = random(1);
    let found = repair(&trace, &[&a, &a], &[0.5, 0.5], &a, &xs).unwrap();
    for (name, was) in &a {
        let off = (&found.weights[name] - was).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(off.to_scalar::<f32>().unwrap() < 1e-5, "{name}");
    }
}

#[test]
fn a_constant_unit_is_only_shifted_and_bad_shares_are_refused() {
    let trainer = mlp(&[5, 8, 6, 3]);
    let xs = rows(40);
    let trace = Trace::new(&Model::new(&trainer).unwrap(), &xs).unwrap();
    let a = random(1);
    let mut constant = a.clone();
    constant.insert("0.weight".into(), a["0.weight"].zeros_like().unwrap());
    let found = repair(&trace, &[&a], &[1.], &constant, &xs).unwrap();
    let [ours, theirs] = [&found.weights, &a].map(|w| moments(&pre_activations(w, &xs)[0]));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours.0 - theirs.0).abs() < 1e-4 && ours.1 < 1e-6, "{ours:?} {theirs:?}");
    }
    for shares in [&[][..], &[0.5, 0.5], &[f64::NAN]] {
        assert!(repair(&trace, &[&a], shares, &a, &xs).is_err());
    }
    assert!(repair(&trace, &[], &[], &a, &xs).is_err());
}
