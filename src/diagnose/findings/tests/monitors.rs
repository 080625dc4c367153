//! Findings of monitors, from networks whose fault is known, and from healthy ones.
use super::super::{
    dead_units::DeadUnits, exploding_gradients::ExplodingGradients, monitors,
    saturated_units::SaturatedUnits, update_ratio::UpdateRatio, vanishing_gradients::VanishingGradients,
};
use crate::{
    data::TensorDataset,
    diagnose::{Finding, Label, Observations, Rule},
    nn::{seq, Activation, Sequential},
    observe::Silent,
    plan::RunSpec,
    store::EpochRecord,
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
    let run = RunSpec::new(0, "model", Seed::from(seed), (0..256).collect());
    train_observed(trainer, &data, &run, &Device::Cpu, &Silent).unwrap().1
}

fn findings(records: &[Vec<EpochRecord>]) -> Vec<Finding> {
    let seen =
        Observations { records: records.iter().map(Vec::as_slice).collect(), ..Observations::default() };
    let rules: [&dyn Rule; 5] =
        [&DeadUnits, &SaturatedUnits, &VanishingGradients, &ExplodingGradients, &UpdateRatio];
    rules.iter().flat_map(|rule| rule.detect(&seen).unwrap()).collect()
}

fn show(name: &str, trainer: &Trainer<Sequential>) {
    for seed in 0..3 {
        let records = vec![train(trainer, seed)];
        let seen =
            Observations { records: records.iter().map(Vec::as_slice).collect(), ..Observations::default() };
        let g = monitors::gradients(&seen);
        let dead = monitors::outputs(&seen, |r| Some(r.dead), |e| e.last().copied());
        let sat =
            monitors::outputs(&seen, |r| r.saturated, |e| crate::diagnose::series::median(e.iter().copied()));
        let max = |v: &[monitors::LayerFigure]| v.iter().map(|l| l.figure).fold(0., f64::max);
        let runs = monitors::runs(&seen);
        let n = |m: &crate::store::Monitors, f: fn(&crate::store::VariableRecord) -> f64| {
            m.variables.iter().map(|v| f(v).powi(2)).sum::<f64>().sqrt()
        };
        let (r0, m0) = runs[0][0];
        let sens = n(m0, |v| v.gradient) * n(m0, |v| v.weight) / r0.train_loss;
        let growth =
            runs[0].iter().map(|(_, m)| n(m, |v| v.gradient)).fold(0., f64::max) / n(m0, |v| v.gradient);
        let ratios: Vec<f64> = monitors::update_ratios(&runs[0])
            .iter()
            .map(|v| crate::diagnose::series::median(v.iter().copied()).unwrap_or(0.))
            .collect();
        println!("{name} {seed}: loss {:.3}->{:.3} share {:.1e} dead {:.2} sat {:.2} sens {:.1e} growth {:.1e} ratio {:.1e} {:.1e} | {:?}",
            records[0][0].train_loss, records[0].last().unwrap().train_loss, g.first().map_or(9., |g| g.share), max(&dead), max(&sat), sens, growth, ratios[0], ratios.last().unwrap(),
            findings(&records).iter().map(|f| (f.name.clone(), (f.confidence * 100.) as i32)).collect::<Vec<_>>());
    }
}

#[test]
fn calibration() {
    for (name, activation) in
        [("relu", Activation::Relu), ("tanh", Activation::Tanh), ("sigmoid", Activation::Sigmoid)]
    {
        for layers in [1, 2, 4] {
            show(&format!("{name} {layers} adam"), &network(activation, layers));
            show(
                &format!("{name} {layers} he adam.02"),
                &network(activation, layers).init(InitScheme::he_normal()).optimizer(Optimizer::adam(0.02)),
            );
            show(
                &format!("{name} {layers} glorot sgd.1"),
                &network(activation, layers).init(InitScheme::GlorotUniform).optimizer(Optimizer::sgd(0.1)),
            );
        }
    }
    println!("-- broken");
    let p = |t: &str| InitScheme::parse(t).unwrap();
    show("8 tanh tiny", &network(Activation::Tanh, 8).init(p("normal:0.01")).optimizer(Optimizer::sgd(0.1)));
    show("8 tanh tiny adam", &network(Activation::Tanh, 8).init(p("normal:0.01")));
    show("8 sigmoid", &network(Activation::Sigmoid, 8).optimizer(Optimizer::sgd(0.1)));
    show("8 sigmoid adam", &network(Activation::Sigmoid, 8));
    show("6 sigmoid glorot adam", &network(Activation::Sigmoid, 6).init(InitScheme::GlorotUniform));
    show("zero relu", &network(Activation::Relu, 2).init(p("constant:0")));
    show("zero tanh", &network(Activation::Tanh, 2).init(p("constant:0")));
    show("relu -1..0", &network(Activation::Relu, 2).init(p("uniform:-1:0")));
    show("sigmoid huge", &network(Activation::Sigmoid, 2).init(p("uniform:-5:5")));
    show("tanh huge", &network(Activation::Tanh, 2).init(p("uniform:-5:5")));
    show("relu huge", &network(Activation::Relu, 2).init(p("uniform:-5:5")));
    show("relu huge 4", &network(Activation::Relu, 4).init(p("uniform:-5:5")));
    show("adam /300", &network(Activation::Relu, 2).optimizer(Optimizer::adam(0.005 / 300.)));
    show("adam *300", &network(Activation::Relu, 2).optimizer(Optimizer::adam(0.005 * 300.)));
    show("sgd /300", &network(Activation::Relu, 2).optimizer(Optimizer::sgd(0.1 / 300.)));
    show("sgd 10", &network(Activation::Relu, 2).optimizer(Optimizer::sgd(3.)));
}
