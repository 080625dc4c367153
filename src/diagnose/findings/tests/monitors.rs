//! Findings of monitors, from networks whose fault is known, and from healthy ones.
use super::super::{
    dead_units::DeadUnits, exploding_gradients::ExplodingGradients, saturated_units::SaturatedUnits,
    update_ratio::UpdateRatio, vanishing_gradients::VanishingGradients,
};
use crate::{
    data::{Task, TensorDataset},
    diagnose::{Finding, Label, Mark, Observations, Rule},
    nn::{seq, Activation, Sequential},
    observe::Silent,
    plan::RunSpec,
    store::{EpochRecord, Monitors, VariableRecord},
    train::{train_observed, Monitor, Optimizer, Trainer},
    weights::InitScheme,
    Seed,
};
use candle_core::{Device, Tensor};
use candle_nn::{linear, VarBuilder};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Two classes in 6 columns, of which two say something: the sign of their product.
fn classes(rows: usize, seed: u64) -> TensorDataset {
    let mut rng = Seed::from(seed).rng();
    let x: Vec<f32> = (0..6 * rows).map(|_| StandardNormal.sample(&mut rng)).collect();
    let y: Vec<u32> = x
        .chunks(6)
        .map(|x| if rng.random_bool(0.95) { u32::from(x[0] * x[1] > 0.) } else { rng.random_range(0..2) })
        .collect();
    let x = Tensor::from_vec(x, (rows, 6), &Device::Cpu).unwrap();
    TensorDataset::classification(&x, &Tensor::new(y, &Device::Cpu).unwrap()).unwrap()
}

/// A network with hidden layers of 16 units.
fn network(activation: Activation, layers: usize) -> Trainer<Sequential> {
    Trainer::new(move |vb: VarBuilder<'static>| {
        let mut network = seq();
        for layer in 0..layers {
            let inputs = if layer == 0 { 6 } else { 16 };
            network = network.add(linear(inputs, 16, vb.pp(format!("l{layer}")))?).add(activation);
        }
        Ok(network.add(linear(16, 2, vb.pp("out"))?))
    })
    .optimizer(Optimizer::adam(0.005))
    .epochs(8)
    .monitor(Monitor::default().every(2))
}

fn train(trainer: &Trainer<Sequential>, seed: u64) -> Vec<EpochRecord> {
    let data = classes(256, seed);
    let run = RunSpec::new(0, "model", Seed::from(seed), 0..256);
    train_observed(trainer, &data, &run, &Device::Cpu, &Silent).unwrap().1
}

fn findings(records: &[Vec<EpochRecord>]) -> Vec<Finding> {
    let seen =
        Observations { records: records.iter().map(Vec::as_slice).collect(), ..Observations::default() };
    let rules: [&dyn Rule; 5] =
        [&DeadUnits, &SaturatedUnits, &VanishingGradients, &ExplodingGradients, &UpdateRatio];
    rules.iter().flat_map(|rule| rule.detect(&seen).unwrap()).collect()
}

fn init(text: &str) -> InitScheme {
    InitScheme::parse(text).unwrap()
}

/// The first finding of three runs, which is the same for two seeds of the data.
fn first(trainer: &Trainer<Sequential>) -> Finding {
    let mut found: Vec<Finding> = (0..2)
        .map(|seed| {
            let records: Vec<_> = (0..3).map(|run| train(trainer, 10 * seed + run)).collect();
            findings(&records).into_iter().next().expect("a finding")
        })
        .collect();
    assert_eq!(found[0].name, found[1].name);
    found.remove(0)
}

/// 54 networks: a false alarm in 1 of 50 would be seen with a probability of 66 %, and in 1 of 20 with one of 94 %.
#[test]
fn healthy_networks_have_no_finding() {
    for activation in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
        for layers in [1, 2, 4] {
            for seed in 0..2 {
                let adam = network(activation, layers);
                let he = network(activation, layers).init(init("he-normal")).optimizer(Optimizer::adam(0.02));
                let sgd =
                    network(activation, layers).init(init("glorot-uniform")).optimizer(Optimizer::sgd(0.1));
                for trainer in [adam, he, sgd] {
                    let found = findings(&[train(&trainer, seed)]);
                    assert!(found.is_empty(), "{activation:?} {layers} {seed}: {found:?}");
                }
            }
        }
    }
}

#[test]
fn gradients_vanish_in_deep_networks_of_bounded_units() {
    for trainer in [
        network(Activation::Tanh, 8).init(init("normal:0.01")).optimizer(Optimizer::sgd(0.1)),
        network(Activation::Sigmoid, 8),
    ] {
        let finding = first(&trainer);
        assert_eq!((finding.name.as_str(), finding.kind), ("vanishing_gradients", Some(Label::UnderfitFlat)));
        assert!(finding.after.is_none() && finding.evidence[0].value.unwrap() < 1e-3, "{finding:?}");
    }
    // The layer next to the inputs is the weakest one.
    let text = first(&network(Activation::Sigmoid, 8)).evidence[0].text.clone();
    assert!(text.contains("the smallest first: l0 ("), "{text}");
}

#[test]
fn units_are_dead_and_stop_the_gradients() {
    for text in ["uniform:-1:0", "constant:0"] {
        let trainer = network(Activation::Relu, 2).init(init(text));
        let found = findings(&[train(&trainer, 1)]);
        let names: Vec<_> = found.iter().map(|finding| finding.name.as_str()).collect();
        assert_eq!(names, ["dead_units", "vanishing_gradients"]);
        assert_eq!(found[1].after.as_deref(), Some("dead_units"));
        assert!(found[0].evidence[1].text.contains("the initial weights"), "{found:?}");
    }
    let killed = first(&network(Activation::Relu, 2).optimizer(Optimizer::adam(1.5)));
    assert_eq!(killed.name, "dead_units");
}

#[test]
fn units_are_saturated_by_huge_weights() {
    for (activation, half) in [(Activation::Tanh, 5), (Activation::Sigmoid, 10)] {
        let finding = first(&network(activation, 2).init(init(&format!("uniform:-{half}:{half}"))));
        assert_eq!((finding.name.as_str(), finding.kind), ("saturated_units", Some(Label::UnderfitFlat)));
        assert!(finding.confidence > 0.7, "{finding:?}");
    }
}

#[test]
fn gradients_explode_with_huge_weights_and_in_bursts() {
    let trainer = network(Activation::Relu, 4).init(init("uniform:-5:5"));
    let records: Vec<_> = (0..2).map(|seed| train(&trainer, seed)).collect();
    let seen = |config, records: &'static [Vec<EpochRecord>]| Observations {
        records: records.iter().map(Vec::as_slice).collect(),
        config: Some(config),
        task: Some(Task::Classification { classes: 2 }),
        ..Observations::default()
    };
    let records: &'static [Vec<EpochRecord>] = records.leak();
    let found = ExplodingGradients.detect(&seen(trainer.config(), records)).unwrap();
    assert!(found.len() == 1 && found[0].confidence > 0.8, "{found:?}");
    assert_eq!(found[0].kind, Some(Label::UnstableLearning));
    // A burst in epoch 3: the gradient is 7000 times as large, and a step changes the weights by half of their norm.
    let epoch = |epoch: usize| {
        let (gradient, update) = if epoch == 3 { (7000., 1.) } else { (1., 0.01) };
        let variable = VariableRecord { name: "a.weight".into(), gradient, weight: 2., update };
        let monitors = Some(Monitors { variables: vec![variable], layers: vec![] });
        EpochRecord { epoch, train_loss: 1., monitors, ..EpochRecord::default() }
    };
    let run: Vec<EpochRecord> = (0..6).map(epoch).collect();
    let found = findings(&[run]);
    assert_eq!((found[0].name.as_str(), found[0].confidence), ("exploding_gradients", 0.95));
    assert_eq!(found[0].evidence[0].mark, Some(Mark::Epoch(3)));
}

#[test]
fn steps_are_out_of_proportion_with_a_wrong_learning_rate() {
    for optimizer in [Optimizer::adam(0.005 / 300.), Optimizer::sgd(0.1 / 300.)] {
        let small = first(&network(Activation::Relu, 2).optimizer(optimizer));
        assert_eq!((small.name.as_str(), small.kind), ("update_ratio", Some(Label::UnderfitFlat)));
    }
    let found = findings(&[train(&network(Activation::Tanh, 2).optimizer(Optimizer::adam(0.5)), 1)]);
    let large = found.iter().find(|finding| finding.name == "update_ratio").unwrap();
    assert!(
        large.kind == Some(Label::UnstableLearning) && large.evidence[0].value.unwrap() > 0.05,
        "{large:?}"
    );
}
