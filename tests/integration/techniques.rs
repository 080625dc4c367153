//! What every technique of the trainer must do: work under every strategy, resume to the bit, change the training that
//! it is meant to change, and leave it alone where it is off.
use crate::{
    common::{normal, weights},
    resume::interrupt_everywhere_on,
};
use candle_core::Tensor;
use candle_ensemble::{
    data::{Batch, Scaling, TensorDataset},
    nn::{
        seq, ActivityRegularizer, AlphaDropout, BatchNorm, BatchNormConfig, DropConnect, Dropout,
        GaussianDropout, GaussianNoise, GroupNorm, LayerNorm, Sequential,
    },
    plan::{BatchSize, Schedule, Settings},
    strategy::{self, MultiRun},
    train::{
        Adversarial, Averaging, Clip, Constraint, EarlyStopping, Freeze, Loss, LossScale, Mixup, Monitor,
        Noises, Optimizer, ParameterGroup, ParameterGroups, ProjectedGradient, ReduceOnPlateau, Regularizer,
        Regularizers, Trainer, WarmStart,
    },
    weights::{InitScheme, WeightFilter},
    AnyNetwork, Checkpoints, Member, Result, Session,
};
use candle_nn::{linear, Activation, VarBuilder};
use rand::Rng;

type Make = fn() -> Trainer<AnyNetwork>;

/// A technique of the trainer.
struct Technique {
    name: &'static str,
    /// A trainer with the technique.
    trainer: Make,
    /// Whether the weights of the plain network are other ones than without it.
    changes: bool,
}

/// A network with a layer between its two linear ones.
macro_rules! with_layer {
    (|$vb:ident| $layer:expr) => {
        || {
            configured(Trainer::convertible(&[], |_, vb| {
                let $vb = vb.pp("layer");
                let hidden = seq().add(linear(4, 8, vb.pp(0))?).add(Activation::Relu).add($layer);
                Ok(hidden.add(linear(8, 1, vb.pp(1))?))
            }))
        }
    };
}

fn techniques() -> Vec<Technique> {
    let technique = |name, trainer| Technique { name, trainer, changes: true };
    vec![
        technique("init", || trainer().init(InitScheme::parse("1.* => glorot-normal; he-uniform").unwrap())),
        technique("clip by norm", || trainer().clip(Clip::Norm(0.01))),
        technique("regularizer", || {
            let penalties = "l2:0.01,l1:0.001:1.*,orthogonal:0.01";
            trainer().regularizer(Regularizers::parse(penalties).unwrap())
        }),
        technique("constraint", || trainer().constraint(Constraint::max_norm(0.3))),
        technique("constraint of an average", || {
            trainer().constraint(Constraint::unit_norm()).averaging(Averaging::ema(0.5))
        }),
        technique("loss scale", || {
            trainer().loss_scale(LossScale::dynamic()).regularizer(Regularizer::l2(0.1))
        }),
        technique("optimizer", || trainer().optimizer(Optimizer::registry().parse("nadam:0.01").unwrap())),
        technique("schedule", || trainer().schedule(Schedule::parse("one-cycle").unwrap())),
        technique("batch size", || trainer().batch_size(BatchSize::parse("doubling:4:2:16").unwrap())),
        technique("reduce on plateau", || {
            let rule = "reduce-on-plateau:0.5:1:min-delta=10:watch=train-loss";
            trainer().reduce_on_plateau(ReduceOnPlateau::registry().parse(rule).unwrap())
        }),
        technique("warm start", || {
            let member = one(&trainer().epochs(1)).unwrap();
            trainer().warm_start(WarmStart::new(member.weights).unwrap())
        }),
        technique("loss", || trainer().loss(Loss::registry().parse("log-cosh").unwrap())),
        technique("custom loss", || {
            trainer().custom_loss("fourth powers", |outputs, batch| {
                (outputs - &batch.targets)?.squeeze(1)?.sqr()?.sqr()
            })
        }),
        technique("custom penalty", || {
            trainer().custom_penalty("outputs", |outputs, _, _| outputs.sqr()?.mean_all()? * 0.1)
        }),
        technique("noise", || {
            trainer().noise(Noises::parse("input:0.1,target:0.1,weight:0.01,gradient:0.1").unwrap())
        }),
        technique("accumulated gradients", || trainer().accumulate(2)),
        technique("mixup", || trainer().augment(Mixup::new(0.4))),
        technique("own transform", || {
            trainer().augment_with("brightness, 1", |batch, seed| {
                let factor = seed.rng().random_range(0.5..1.5);
                Ok(Batch { inputs: (batch.inputs.only()? * factor)?.into(), ..batch })
            })
        }),
        technique("scaling", || {
            trainer()
                .input_scaling(Scaling::Standardize)
                .target_scaling(Scaling::parse("min-max:0:2").unwrap())
        }),
        technique("freeze", || trainer().freeze(1)),
        technique("adversarial", || trainer().adversarial(Adversarial::fast_gradient_sign(0.05))),
        technique("projected gradient", || trainer().adversarial(ProjectedGradient::new(0.1).steps(2))),
        technique("unfreeze", || trainer().freeze(1).unfreeze(2)),
        technique("parameter groups", || {
            let groups = "group:1.*:0.1:weight-decay=0.5,group:0.weight:learning-rate=0.02";
            trainer()
                .optimizer(Optimizer::adamw(0.01, 0.1))
                .parameter_groups(ParameterGroups::parse(groups).unwrap())
        }),
        technique("layer-wise decay", || trainer().layer_decay(0.5)),
        technique("warm starts", || {
            let (first, data) = (trainer().epochs(1), data());
            let starts = (0..16).map(|seed| {
                let pool = Session::new(&first, &data).fit(&MultiRun::new(1), seed).unwrap();
                WarmStart::new(pool.members()[0].weights.clone()).unwrap()
            });
            trainer().warm_starts(starts)
        }),
        Technique {
            name: "monitor",
            trainer: || trainer().monitor(Monitor::default().every(2)),
            changes: false,
        },
        technique("dropout", with_layer!(|vb| Dropout::new(0.4, vb)?)),
        technique("Gaussian dropout", with_layer!(|vb| GaussianDropout::new(0.4, vb)?)),
        technique("alpha dropout", with_layer!(|vb| AlphaDropout::new(0.2, vb)?)),
        technique("Gaussian noise", with_layer!(|vb| GaussianNoise::new(0.1, vb)?)),
        technique("batch normalization", with_layer!(|vb| BatchNorm::new(8, BatchNormConfig::keras(), vb)?)),
        technique("layer normalization", with_layer!(|vb| LayerNorm::new(8, 1e-5, vb)?)),
        technique("group normalization", with_layer!(|vb| GroupNorm::new(2, 8, 1e-5, vb)?)),
        technique("activity penalty", with_layer!(|_vb| ActivityRegularizer::l1(0.01))),
        technique("DropConnect", || {
            configured(Trainer::convertible(&[], |_, vb| {
                let hidden = DropConnect::of(linear(4, 8, vb.pp(0))?, 0.3, vb.pp("layer"))?;
                Ok(seq().add(hidden).add(Activation::Relu).add(linear(8, 1, vb.pp(1))?))
            }))
        }),
    ]
}

fn data() -> TensorDataset {
    let x = normal(3, 48, 4);
    let y = (x.narrow(1, 0, 1).unwrap() * x.narrow(1, 1, 1).unwrap()).unwrap();
    TensorDataset::regression(&x, &y).unwrap()
}

fn mlp(vb: VarBuilder<'_>) -> candle_core::Result<Sequential> {
    let hidden = seq().add(linear(4, 8, vb.pp(0))?).add(Activation::Relu);
    Ok(hidden.add(linear(8, 1, vb.pp(1))?))
}

fn configured(trainer: Trainer<AnyNetwork>) -> Trainer<AnyNetwork> {
    trainer.epochs(4).batch_size(16).optimizer(Optimizer::adam(0.01))
}

fn trainer() -> Trainer<AnyNetwork> {
    configured(Trainer::convertible(&[], |_, vb| mlp(vb)))
}

fn one(trainer: &Trainer<AnyNetwork>) -> Result<Member> {
    let data = data();
    Ok(Session::new(trainer, &data).fit(&MultiRun::new(1), 3)?.members()[0].clone())
}

#[test]
fn a_technique_changes_the_weights_exactly_where_it_is_meant_to() {
    let plain = weights(&one(&trainer()).unwrap());
    for Technique { name, trainer, changes } in techniques() {
        let mut member = one(&trainer()).unwrap_or_else(|e| panic!("{name}: {e}"));
        member.weights.retain(|name, _| !name.starts_with("layer"));
        assert_eq!(weights(&member) != plain, changes, "{name}");
        let finite = |t: &Tensor| t.to_dtype(candle_core::DType::F64)?.sum_all()?.to_scalar::<f64>();
        assert!(member.weights.values().all(|t| finite(t).unwrap().is_finite()), "{name}");
    }
}

#[test]
fn a_technique_resumes_to_the_bit() {
    for Technique { name, trainer, .. } in techniques() {
        let trainer = trainer();
        let resumed = interrupt_everywhere_on(&data(), &trainer, &MultiRun::new(2), Checkpoints::Epochs(1));
        assert!(resumed > 0, "{name}");
    }
}

/// The parts of errors by which a plan is refused before anything is trained: a schedule where snapshots set the rate, an
/// average where members are collected within a run, weights of a plain network for one of many members, and a layer that
/// cannot have many.
const REFUSALS: [&str; 4] = [
    "must be left unset with Snapshot",
    "averaging must be off where members are collected",
    "the weights of the warm start are incompatible",
    "each layer with variables in a network for tab-m:32 must be",
];

#[test]
fn a_technique_works_under_every_strategy_or_is_refused_when_planned() {
    let data = data();
    let texts = |name: &'static str| match name {
        "horizontal" => "horizontal:2",
        "snapshot" => "snapshot:2",
        "fast-geometric" => "fast-geometric:2:0.02:0.01:0",
        name => name,
    };
    let mut refused = std::collections::BTreeSet::new();
    for Technique { name, trainer, .. } in techniques() {
        let trainer = trainer();
        // The networks have four inputs, so they cannot be trained on fewer columns.
        let all = strategy::registry().names();
        for entry in all.into_iter().filter(|name| !["random-subspace", "random-patches"].contains(name)) {
            let builder = strategy::parse(texts(entry)).unwrap();
            match Session::new(&trainer, &data).fit(&*builder, 1) {
                Ok(pool) => assert!(!pool.members().is_empty(), "{name} with {entry}"),
                Err(e) => {
                    let known = REFUSALS.iter().any(|part| e.to_string().contains(part));
                    assert!(known, "{name} with {entry}: {e}");
                    refused.insert((name, entry));
                }
            }
        }
    }
    let expected = [
        ("constraint of an average", "fast-geometric"),
        ("constraint of an average", "horizontal"),
        ("constraint of an average", "snapshot"),
        ("schedule", "snapshot"),
        ("warm start", "efficient"),
        ("warm starts", "efficient"),
        ("DropConnect", "efficient"),
    ];
    assert_eq!(refused, expected.into());
}

#[test]
fn monitors_record_every_variable_and_every_layer() -> Result<()> {
    let member = one(&trainer().monitor(Monitor::default()))?;
    for epoch in &member.record.curve {
        let monitors = epoch.monitors.as_ref().unwrap();
        let names: Vec<&str> = monitors.variables.iter().map(|of| of.name.as_str()).collect();
        assert_eq!(names, ["0.bias", "0.weight", "1.bias", "1.weight"]);
        assert!(monitors.variables.iter().all(|of| of.gradient > 0. && of.weight > 0. && of.update > 0.));
        let layers: Vec<&str> = monitors.layers.iter().map(|of| of.layer.as_str()).collect();
        assert_eq!(layers, ["0", "1", "2"]);
        assert!((0. ..=1.).contains(&monitors.layers[1].dead) && monitors.layers[1].mean > 0.);
    }
    assert!(one(&trainer())?.record.curve.iter().all(|epoch| epoch.monitors.is_none()));
    Ok(())
}

/// A setting of a run does what the trainer's setter does.
#[test]
fn settings_turn_techniques_on() -> Result<()> {
    let data = data();
    let with = |name: &str, value: &str| -> Result<Member> {
        let runs = MultiRun::new(1).settings([Settings::new().with(name, value)]).validation(0.25);
        Ok(Session::new(&trainer(), &data).fit(&runs, 3)?.members()[0].clone())
    };
    let set = |trainer: Trainer<AnyNetwork>| -> Result<Member> {
        let runs = MultiRun::new(1).validation(0.25);
        Ok(Session::new(&trainer, &data).fit(&runs, 3)?.members()[0].clone())
    };
    let plain = weights(&set(trainer())?);
    let pairs: Vec<(&str, &str, Trainer<AnyNetwork>)> = vec![
        ("optimizer", "adagrad:0.1", trainer().optimizer(Optimizer::adagrad(0.1))),
        ("schedule", "linear:0.1", trainer().schedule(Schedule::Linear { to: 0.1 })),
        ("batch_size", "full", trainer().batch_size(BatchSize::Full)),
        ("loss", "mean-absolute", trainer().loss(Loss::MeanAbsolute)),
        ("init", "he-uniform", trainer().init(InitScheme::he_uniform())),
        ("clip", "norm:0.01", trainer().clip(Clip::Norm(0.01))),
        ("loss_scale", "static:3", trainer().loss_scale(LossScale::Static(3.))),
        ("regularizer", "l2:0.1", trainer().regularizer(Regularizer::l2(0.1))),
        ("constraint", "max-norm:0.3", trainer().constraint(Constraint::max_norm(0.3))),
        ("noise", "input:0.2", trainer().noise(Noises::parse("input:0.2")?)),
        ("augment", "mixup:0.4", trainer().augment(Mixup::new(0.4))),
        ("input_scaling", "min-max", trainer().input_scaling(Scaling::parse("min-max")?)),
        ("target_scaling", "standardize", trainer().target_scaling(Scaling::Standardize)),
        ("freeze", "names:0.*", trainer().freeze(Freeze::parse("names:0.*")?)),
        ("adversarial", "fgsm:0.1", trainer().adversarial(Adversarial::fast_gradient_sign(0.1))),
        ("adversarial", "pgd:0.1:3", trainer().adversarial(ProjectedGradient::new(0.1).steps(3))),
        (
            "parameter_groups",
            "group:1.*:0.1",
            trainer().parameter_groups(ParameterGroup::names(["1.*"]).factor(0.1)),
        ),
        ("layer_decay", "0.5", trainer().layer_decay(0.5)),
        ("averaging", "ema:0.5:false", trainer().averaging(Averaging::ema(0.5))),
        (
            "early_stopping",
            "patience:1:min-delta=5",
            trainer().early_stopping(EarlyStopping {
                patience: 1,
                min_delta: 5.,
                ..EarlyStopping::default()
            }),
        ),
        (
            "plateau",
            "reduce-on-plateau:0.1:1:min-delta=5",
            trainer().reduce_on_plateau(ReduceOnPlateau {
                patience: 1,
                min_delta: 5.,
                ..ReduceOnPlateau::default()
            }),
        ),
    ];
    for (name, value, trainer) in pairs {
        let (with, set) = (weights(&with(name, value)?), weights(&set(trainer)?));
        assert!(with == set, "{name}");
        assert!(with != plain, "{name}");
    }
    let e = with("optimizer", "adm").unwrap_err().to_string();
    assert!(e.contains("did you mean"), "{e}");
    Ok(())
}

#[test]
fn bad_values_are_refused_before_anything_is_trained() {
    let refused: Vec<(Trainer<AnyNetwork>, &str)> = vec![
        (trainer().regularizer(Regularizer::l2(-1.)), "L2::rate"),
        (trainer().constraint(Constraint::max_norm(0.)), "MaxNorm::max"),
        (trainer().noise(Noises::parse("input:0.1").unwrap()).loss_scale(LossScale::Static(0.)), "LossScale"),
        (trainer().clip(Clip::Adaptive { ratio: -1., floor: 1e-3 }), "Clip::Adaptive::ratio"),
        (trainer().monitor(Monitor::default().every(0)), "Monitor::every"),
        (trainer().init(InitScheme::Uniform { low: 1., high: 0. }), "InitScheme::Uniform"),
        (trainer().input_scaling(Scaling::Robust { low: 0.9, high: 0.1 }), "Scaling::Robust"),
        (trainer().loss(Loss::CrossEntropy { smoothing: 0. }), "the loss"),
        (trainer().regularizer(Regularizer::l2(0.1).on(WeightFilter::names(["0.wieght"]))), "0.wieght"),
        (trainer().freeze(9), "9"),
        (trainer().adversarial(Adversarial::fast_gradient_sign(-1.)), "FastGradientSign::epsilon"),
        (trainer().adversarial(ProjectedGradient::new(0.1).steps(0)), "ProjectedGradient::steps"),
        (trainer().augment(Mixup::new(-1.)), "Mixup::alpha"),
        (trainer().accumulate(0), "accumulated must be at least 1"),
        (trainer().freeze(1).unfreeze(4), "Unfreeze::At must be an epoch below 4"),
        (trainer().parameter_groups(ParameterGroup::names(["2.*"])), "2.*"),
        (trainer().warm_starts([]), "the warm start of run 0"),
    ];
    for (trainer, part) in refused {
        let e = one(&trainer).unwrap_err().to_string();
        assert!(e.contains(part), "{part}: {e}");
    }
}
