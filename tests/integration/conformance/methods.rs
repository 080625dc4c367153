//! What every merge method of the registry must do.
use super::CPU;
use candle_core::Tensor;
use candle_ensemble::{
    merge::{self, MergeInputs, Method},
    weights::Weights,
    Result,
};

/// A network of two tensors, with other numbers for each seed.
fn network(seed: u32) -> Weights {
    let numbers =
        |name: u32, count: u32| (0..count).map(move |i| ((seed * 31 + name * 7 + i) as f32 * 0.7).sin());
    let tensor = |name: u32, shape: (usize, usize)| {
        let count = (shape.0 * shape.1) as u32;
        Tensor::from_iter(numbers(name, count), &CPU).unwrap().reshape(shape).unwrap()
    };
    Weights::from([("in".into(), tensor(0, (3, 4))), ("out".into(), tensor(1, (4, 2)))])
}

fn methods() -> Vec<(&'static str, Box<dyn Method>)> {
    let weights = [("weights", "1,1".to_string())];
    let registry = merge::registry();
    registry.names().into_iter().map(|name| (name, registry.parse_with(name, &weights).unwrap())).collect()
}

/// The merged network, with a base and Fisher information where the method needs them.
fn merged(method: &dyn Method, networks: &[&Weights], base: &Weights) -> Result<Weights> {
    let ones = |of: &Weights| -> Weights {
        of.iter().map(|(name, tensor)| (name.clone(), tensor.ones_like().unwrap())).collect()
    };
    let fishers: Vec<Weights> = networks.iter().map(|network| ones(network)).collect();
    let fishers: Vec<&Weights> = fishers.iter().collect();
    let mut inputs = MergeInputs::new(networks);
    if method.needs().base {
        inputs = inputs.base(base);
    }
    if method.needs().fishers {
        inputs = inputs.fishers(&fishers);
    }
    inputs.merge(method)
}

fn numbers(weights: &Weights) -> Vec<f64> {
    weights.values().flat_map(super::flat).collect()
}

#[test]
fn a_network_merged_with_itself_is_itself() {
    let one = network(1);
    for (name, method) in methods() {
        let merged = merged(&*method, &[&one, &one], &one).unwrap();
        assert_eq!(merged.keys().collect::<Vec<_>>(), one.keys().collect::<Vec<_>>(), "{name}");
        for (got, expected) in numbers(&merged).iter().zip(numbers(&one)) {
            assert!((got - expected).abs() < 1e-6, "{name}: {got}, not {expected}");
        }
    }
}

#[test]
fn the_same_networks_give_the_same_bits_and_finite_numbers() {
    let (a, b, base) = (network(1), network(2), network(3));
    for (name, method) in methods() {
        let run = || numbers(&merged(&*method, &[&a, &b], &base).unwrap());
        assert_eq!(run(), run(), "{name}");
        assert!(run().iter().all(|x| x.is_finite()), "{name}");
    }
}

#[test]
fn no_networks_and_other_shapes_are_refused() {
    let (a, base) = (network(1), network(3));
    let other = Weights::from([("in".into(), a["in"].clone())]);
    for (name, method) in methods() {
        assert!(merged(&*method, &[], &base).is_err(), "{name}");
        assert!(merged(&*method, &[&a, &other], &base).is_err(), "{name}");
    }
}
