//! What every technique of the trainer must do: work under every strategy, resume to the bit, change the training that
//! it is meant to change, and leave it alone where it is off.
use crate::{
    common::{normal, weights},
    resume::interrupt_everywhere_on,
};
use candle_core::Tensor;
use candle_ensemble::{
    data::TensorDataset,
    nn::{seq, Sequential},
    plan::Settings,
    strategy::{self, MultiRun},
    train::{Averaging, Clip, EarlyStopping, Monitor, Optimizer, Trainer},
    weights::InitScheme,
    Checkpoints, Member, Result, Session,
};
use candle_nn::{linear, Activation, VarBuilder};

type Change = fn(Trainer<Sequential>) -> Trainer<Sequential>;

/// A technique of the trainer.
struct Technique {
    name: &'static str,
    turn_on: Change,
    /// Whether the weights are other ones than without it.
    changes: bool,
}

fn techniques() -> Vec<Technique> {
    let technique = |name, turn_on| Technique { name, turn_on, changes: true };
    vec![
        technique("init", |t| t.init(InitScheme::parse("1.* => glorot-normal; he-uniform").unwrap())),
        technique("clip by norm", |t| t.clip(Clip::Norm(0.01))),
        Technique { name: "monitor", turn_on: |t| t.monitor(Monitor::default().every(2)), changes: false },
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

fn trainer() -> Trainer<Sequential> {
    Trainer::new(mlp).epochs(4).batch_size(16).optimizer(Optimizer::adam(0.01))
}

fn one(trainer: &Trainer<Sequential>) -> Result<Member> {
    let data = data();
    Ok(Session::new(trainer, &data).fit(&MultiRun::new(1), 3)?.members()[0].clone())
}

#[test]
fn a_technique_changes_the_weights_exactly_where_it_is_meant_to() {
    let plain = weights(&one(&trainer()).unwrap());
    for Technique { name, turn_on, changes } in techniques() {
        let member = one(&turn_on(trainer())).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(weights(&member) != plain, changes, "{name}");
        let finite = |t: &Tensor| t.to_dtype(candle_core::DType::F64)?.sum_all()?.to_scalar::<f64>();
        assert!(member.weights.values().all(|t| finite(t).unwrap().is_finite()), "{name}");
    }
}

#[test]
fn a_technique_resumes_to_the_bit() {
    for Technique { name, turn_on, .. } in techniques() {
        let trainer = turn_on(trainer());
        let resumed = interrupt_everywhere_on(&data(), &trainer, &MultiRun::new(2), Checkpoints::Epochs(1));
        assert!(resumed > 0, "{name}");
    }
}

#[test]
fn a_technique_works_under_every_strategy() {
    let data = data();
    for Technique { name, turn_on, .. } in techniques() {
        let trainer = turn_on(trainer());
        for entry in strategy::registry().names() {
            let builder = strategy::parse(entry).unwrap();
            let pool = Session::new(&trainer, &data).fit(&*builder, 1);
            let pool = pool.unwrap_or_else(|e| panic!("{name} with {entry}: {e}"));
            assert!(!pool.members().is_empty(), "{name} with {entry}");
        }
    }
}
