use super::*;
use crate::{
    data::TensorDataset,
    nn::{seq, Dropout, Sequential},
    observe::{Event, Flow, Observer, Silent},
    plan::{FastGeometric, Horizontal, Snapshot},
    store::{Checkpoints, EpochRecord, MemoryStore},
    train::{train_run, Averaging, OptimizerState, RunCheckpoints, RunParts, Sgd, Trainer},
    weights::{fresh, Weights},
    Seed,
};
use candle_core::{Device, Tensor, Var};
use candle_nn::{batch_norm, linear, linear_no_bias, Activation, Init};
use rand::seq::SliceRandom;
use std::sync::atomic::{AtomicUsize, Ordering};

const CPU: Device = Device::Cpu;

fn data() -> TensorDataset {
    let value = |i: u32| ((i * 7919 % 1000) as f32) / 500. - 1.;
    let x = Tensor::from_iter((0..80).map(value), &CPU).unwrap().reshape((40, 2)).unwrap();
    TensorDataset::regression(&x, &x.sqr().unwrap().sum(1).unwrap()).unwrap()
}

/// Trains on rows 0 to 29, with the others as validation rows.
fn spec() -> RunSpec {
    let mut run = RunSpec::new(0, "model", Seed::from(3), 0..30);
    run.valid = (30..40).into();
    run
}

fn trained<L: Learner>(learner: &L, spec: &RunSpec) -> (Weights, Vec<EpochRecord>) {
    let data = data();
    learner.check(spec, &data).unwrap();
    let parts = RunParts {
        data: &data,
        spec,
        device: &CPU,
        observer: &Silent,
        checkpoints: None,
        store_member: &|_, _| Ok(()),
        after_step: None,
    };
    let (vars, curve) = train_run(learner, parts).unwrap();
    (vars.snapshot().unwrap(), curve)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(weights: &Weights) -> Vec<(String, Vec<u64>)> {
    let of = |t: &Tensor| numbers(t).into_iter().map(f64::to_bits).collect();
    weights.iter().map(|(name, tensor)| (name.clone(), of(tensor))).collect()
}

/// The bits of the variables whose names begin with `prefix`.
fn part(weights: &Weights, prefix: &str) -> Vec<(String, Vec<u64>)> {
    bits(weights).into_iter().filter(|(name, _)| name.starts_with(prefix)).collect()
}

fn hidden(inputs: usize, vb: VarBuilder<'static>) -> CandleResult<Sequential> {
    Ok(seq().add(linear(inputs, 5, vb)?).add(Activation::Relu))
}

/// A learner of this many hidden layers of 5 units.
fn greedy(layers: usize) -> GreedyPretraining {
    let learner = GreedyPretraining::new(|vb| linear(5, 1, vb)).hidden(|vb| hidden(2, vb));
    let learner = learner.hidden_layers(layers - 1, |vb| hidden(5, vb));
    learner.epochs_per_layer(3).batch_size(8).optimizer(Sgd::new(0.05).momentum(0.9))
}

/// The same with batch normalization and dropout in each hidden layer.
fn elaborate(layers: usize) -> GreedyPretraining {
    let layer = |inputs: usize, vb: VarBuilder<'static>| {
        let first = seq().add(linear(inputs, 5, vb.pp("linear"))?).add(batch_norm(5, 1e-5, vb.pp("norm"))?);
        Ok(first.add(Activation::Relu).add(Dropout::new(0.2, vb.pp("dropout"))?))
    };
    let learner = GreedyPretraining::new(|vb| linear(5, 1, vb)).hidden(move |vb| layer(2, vb));
    let learner = learner.hidden_layers(layers - 1, move |vb| layer(5, vb));
    learner.epochs_per_layer(3).batch_size(8).optimizer(Sgd::new(0.05).momentum(0.9))
}

#[test]
fn steps_follow_each_other() {
    let supervised = |freeze_earlier, fine_tuning| Pretraining::Supervised { freeze_earlier, fine_tuning };
    let of = |pretraining, layers| {
        let all = stages(pretraining, layers, 10).into_iter();
        all.map(|stage| (stage.step, stage.epochs)).collect::<Vec<_>>()
    };
    let step = |fixed, depth| Step::Supervised { fixed, depth };
    assert_eq!(of(supervised(true, 0), 3), [(step(0, 1), 0..10), (step(1, 2), 10..20), (step(2, 3), 20..30)]);
    assert_eq!(
        of(supervised(false, 4), 2),
        [(step(0, 1), 0..10), (step(0, 2), 10..20), (step(0, 2), 20..24)]
    );
    let reconstruct = |layer| Step::Reconstruct { layer };
    let expected = [(reconstruct(0), 0..7), (reconstruct(1), 7..14), (step(0, 2), 14..24)];
    assert_eq!(of(Pretraining::autoencoder(7), 2), expected);
    assert_eq!(greedy(4).epochs(&spec()), 12);
    let mut run = spec();
    run.settings = Settings::new().with("epochs", 5);
    assert_eq!(greedy(4).epochs(&run), 20);
}

#[test]
fn one_hidden_layer_is_the_trainer_to_the_bit() {
    let trainer = Trainer::new(|vb| {
        let hidden = seq().add(linear(2, 5, vb.pp("hidden.0"))?).add(Activation::Relu);
        Ok(hidden.add(linear(5, 1, vb.pp("output"))?))
    });
    let trainer = trainer.epochs(3).batch_size(8).optimizer(Sgd::new(0.05).momentum(0.9));
    let (plain, plain_curve) = trained(&trainer, &spec());
    let (weights, curve) = trained(&greedy(1), &spec());
    assert_eq!(bits(&weights), bits(&plain));
    assert_eq!(curve, plain_curve);
    let config = GreedyPretraining::new(|vb| linear(5, 1, vb)).hidden(|vb| hidden(2, vb));
    assert_eq!(bits(&trained(&config.config(trainer.config().clone()), &spec()).0), bits(&plain));
}

/// Two hidden layers, step by step in a loop of its own.
#[test]
fn two_hidden_layers_are_trained_as_by_hand() {
    for freeze in [true, false] {
        let spec = spec();
        let (vars, vb) = fresh(spec.seed.child("init"), Default::default(), DType::F32, &CPU);
        let layers = [linear(2, 5, vb.pp("hidden.0")), linear(5, 5, vb.pp("hidden.1"))].map(Result::unwrap);
        let output = linear(5, 1, vb.pp("output")).unwrap();
        let data = data();
        for step in 0..2 {
            let is_used = |(name, _): &(String, Var)| match name.as_str() {
                "hidden.0.weight" | "hidden.0.bias" => step == 0 || !freeze,
                "hidden.1.weight" | "hidden.1.bias" => step == 1,
                _ => true,
            };
            let used = vars.named().into_iter().filter(is_used).collect();
            let mut optimizer = OptimizerState::new(&Sgd::new(0.05).momentum(0.9).into(), used).unwrap();
            for epoch in 3 * step..3 * step + 3 {
                let mut rows = spec.train.to_vec().unwrap();
                rows.shuffle(&mut spec.seed.nth("epoch", epoch as u64).rng());
                for rows in rows.chunks(8) {
                    let batch = data.batch(rows, &CPU).unwrap();
                    let mut x = batch.inputs.only().unwrap().clone();
                    for layer in &layers[..=step] {
                        x = x.apply(layer).unwrap().relu().unwrap();
                    }
                    let y = x.apply(&output).unwrap();
                    let loss = Loss::MeanSquared.mean(&y, &batch.targets, None).unwrap();
                    optimizer.step(&loss.backward().unwrap(), 0.05, &crate::train::Clip::None).unwrap();
                }
            }
        }
        let (weights, curve) = trained(&greedy(2).freeze_earlier(freeze), &spec);
        assert_eq!(bits(&weights), bits(&vars.snapshot().unwrap()), "{freeze}");
        assert_eq!(curve.iter().map(|record| record.epoch).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn earlier_layers_are_frozen_or_not() {
    let run = |learner: GreedyPretraining| trained(&learner, &spec()).0;
    for make in [greedy, elaborate] {
        let [one, two, three] = [1, 2, 3].map(|layers| run(make(layers)));
        // The layers of earlier steps end as they were after their own step, running statistics included.
        let floats = |weights: &Weights, prefix: &str| {
            let all = part(weights, prefix).into_iter();
            all.filter(|(name, _)| !name.contains("dropout")).collect::<Vec<_>>()
        };
        assert_eq!(floats(&two, "hidden.0."), floats(&one, "hidden.0."));
        assert_eq!(floats(&three, "hidden.0."), floats(&one, "hidden.0."));
        assert_eq!(floats(&three, "hidden.1."), floats(&two, "hidden.1."));
        assert_ne!(floats(&two, "output."), floats(&one, "output."));
        assert_ne!(floats(&three, "output."), floats(&two, "output."));
        let free = run(make(2).freeze_earlier(false));
        assert_ne!(floats(&free, "hidden.0."), floats(&one, "hidden.0."));
        let tuned = Pretraining::Supervised { freeze_earlier: true, fine_tuning: 2 };
        let tuned = run(make(2).pretraining(tuned));
        assert_ne!(floats(&tuned, "hidden.0."), floats(&two, "hidden.0."));
    }
}

/// Stops a run after a number of epochs.
struct Power(AtomicUsize);

impl Observer for Power {
    fn notify(&self, event: &Event<'_>) -> Flow {
        let Event::EpochEnded { .. } = event else { return Flow::Continue };
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if left.is_ok() {
            Flow::Continue
        } else {
            Flow::Stop
        }
    }
}

#[test]
fn a_resumed_run_gives_the_bytes_of_an_uninterrupted_one() {
    let corruption = Some(Corruption::Gaussian { std: 0.1 });
    let stopping = EarlyStopping { patience: 1, ..EarlyStopping::default() };
    for (learner, every) in [
        (greedy(3), 1),
        (elaborate(2), 2),
        (elaborate(2).pretraining(Pretraining::Autoencoder { epochs: 3, corruption }), 1),
        (greedy(2).pretraining(Pretraining::autoencoder(2)).optimizer(Optimizer::adam(0.01)), 1),
        (greedy(2).pretraining(Pretraining::Supervised { freeze_earlier: false, fine_tuning: 2 }), 1),
        (greedy(2).epochs_per_layer(6).early_stopping(stopping), 1),
        (greedy(2).config(TrainConfig { averaging: Some(Averaging::ema(0.9)), ..TrainConfig::default() }), 7),
    ] {
        let (spec, data) = (spec(), data());
        learner.check(&spec, &data).unwrap();
        let (whole, curve) = trained(&learner, &spec);
        let mut resumed = 0;
        for stop in (0..curve.len()).step_by(if curve.len() > 20 { 9 } else { 1 }) {
            let store = MemoryStore::new();
            let run = |power: usize| {
                let observer = Power(AtomicUsize::new(power));
                let checkpoints = RunCheckpoints::new(&store, "key".into(), Checkpoints::Epochs(every));
                train_run(
                    &learner,
                    RunParts {
                        data: &data,
                        spec: &spec,
                        device: &CPU,
                        observer: &observer,
                        checkpoints: Some(checkpoints),
                        store_member: &|_, _| Ok(()),
                        after_step: None,
                    },
                )
            };
            assert!(matches!(run(stop), Err(Error::Cancelled { .. })), "{stop}");
            resumed += usize::from(crate::store::Store::checkpoint(&store, "key").unwrap().is_some());
            let (vars, again) = run(usize::MAX).unwrap();
            assert_eq!(again, curve, "{learner:?} after {stop} epochs");
            assert_eq!(bits(&vars.snapshot().unwrap()), bits(&whole), "{learner:?} after {stop} epochs");
        }
        assert!(resumed > 0, "{learner:?}");
    }
}

#[test]
fn early_stopping_ends_a_step_and_the_next_one_begins() {
    let stopping = EarlyStopping { patience: 1, ..EarlyStopping::default() };
    let learner = greedy(3).epochs_per_layer(50).optimizer(Sgd::new(0.2)).early_stopping(stopping);
    let (_, curve) = trained(&learner, &spec());
    let epochs: Vec<usize> = curve.iter().map(|record| record.epoch).collect();
    assert!([0, 50, 100].iter().all(|begin| epochs.contains(begin)), "{epochs:?}");
    assert!(curve.len() < 150, "{epochs:?}");
}

/// Rows `a·u + b·v` with `a = ±3` and `b = ±½`, for the orthonormal `u = (0.6, 0.8)` and `v = (−0.8, 0.6)`:
/// their first principal axis is `u`, and the best reconstruction from one number leaves `b²/2 = 1/8`. The
/// targets and the output layer are 0, so that training them together changes nothing.
#[test]
fn a_linear_autoencoder_finds_the_principal_axis() {
    let x: Vec<f64> = [(3., 0.5), (3., -0.5), (-3., 0.5), (-3., -0.5)]
        .iter()
        .flat_map(|(a, b): &(f64, f64)| [0.6 * a - 0.8 * b, 0.8 * a + 0.6 * b])
        .collect();
    let x = Tensor::from_vec(x, (4, 2), &CPU).unwrap();
    let data = TensorDataset::regression(x, &Tensor::zeros(4, DType::F64, &CPU).unwrap()).unwrap();
    let zero = |vb: VarBuilder<'static>| {
        Ok(candle_nn::Linear::new(vb.get_with_hints((1, 1), "weight", Init::Const(0.))?, None))
    };
    let learner = GreedyPretraining::new(zero).hidden(|vb| linear_no_bias(2, 1, vb)).dtype(DType::F64);
    let learner = learner.pretraining(Pretraining::autoencoder(2000)).epochs_per_layer(1);
    let learner = learner.optimizer(Optimizer::adam(0.02));
    let spec = RunSpec::new(0, "model", Seed::from(1), vec![0, 1, 2, 3]);
    let parts = RunParts {
        data: &data,
        spec: &spec,
        device: &CPU,
        observer: &Silent,
        checkpoints: None,
        store_member: &|_, _| Ok(()),
        after_step: None,
    };
    let (vars, curve) = train_run(&learner, parts).unwrap();
    let w = numbers(&vars.snapshot().unwrap()["hidden.0.weight"]);
    let length = w[0].hypot(w[1]);
    let along = (w[0] * 0.6 + w[1] * 0.8).abs() / length;
    assert!((along - 1.).abs() < 1e-6, "{w:?}");
    assert!((curve[1999].train_loss - 0.125).abs() < 1e-6, "{}", curve[1999].train_loss);
    assert!(curve[0].train_loss > 1.);
    assert_eq!(curve[1999].train_metric, curve[1999].train_loss.sqrt());
}

#[test]
fn autoencoders_lower_the_reconstruction_error() {
    for corruption in [None, Some(Corruption::Masking { share: 0.1 })] {
        let learner = elaborate(2).pretraining(Pretraining::Autoencoder { epochs: 20, corruption });
        let (weights, curve) = trained(&learner.clone().optimizer(Optimizer::adam(0.02)), &spec());
        assert_eq!(curve.len(), 43);
        for first in [0, 20] {
            let valid = |epoch: usize| curve[epoch].valid_loss.unwrap();
            assert!(valid(first + 19) < 0.8 * valid(first), "{} {}", valid(first), valid(first + 19));
        }
        assert!(weights.keys().all(|name| name.starts_with("hidden.") || name.starts_with("output.")));
        let again = trained(&learner.optimizer(Optimizer::adam(0.02)), &spec()).0;
        assert_eq!(bits(&again), bits(&weights));
    }
}

/// The layer that is pretrained changes, and no other.
#[test]
fn one_layer_at_a_time_learns_to_reconstruct() {
    let weights = |layers: usize, epochs: usize| {
        let learner = greedy(layers).pretraining(Pretraining::autoencoder(epochs));
        // Without a step of the last training.
        trained(&learner.epochs_per_layer(1).optimizer(Optimizer::sgd(0.01)), &spec())
    };
    // The reconstruction of the first layer is the same whether another one follows.
    let ((_, one), (_, two)) = (weights(1, 4), weights(2, 4));
    assert_eq!(one[..4], two[..4]);
    assert_ne!(two[4].train_loss, two[3].train_loss);
}

#[test]
fn noise_has_its_size_and_its_seed() {
    let xs = Tensor::ones((400, 25), DType::F32, &CPU).unwrap();
    let of = |corruption: Corruption, seed: u64| numbers(&corruption.apply(&xs, Seed::from(seed)).unwrap());
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let masked = of(Corruption::Masking { share: 0.3 }, 1);
    assert!(masked.iter().all(|x| *x == 0. || *x == 1.));
    // Four standard errors of 10 000 draws.
    assert!((mean(&masked) - 0.7).abs() < 4. * (0.21f64 / 1e4).sqrt(), "{}", mean(&masked));
    let noisy = of(Corruption::Gaussian { std: 0.5 }, 1);
    let squares: Vec<f64> = noisy.iter().map(|x| (x - 1.).powi(2)).collect();
    assert!(
        (mean(&noisy) - 1.).abs() < 0.02 && (mean(&squares) - 0.25).abs() < 0.25 * 4. * (2f64 / 1e4).sqrt()
    );
    assert_eq!(noisy, of(Corruption::Gaussian { std: 0.5 }, 1));
    assert_ne!(noisy, of(Corruption::Gaussian { std: 0.5 }, 2));
    let integers = Tensor::ones((2, 2), DType::U32, &CPU).unwrap();
    let masked = Corruption::Masking { share: 0. }.apply(&integers, Seed::from(1)).unwrap();
    assert_eq!(masked.to_vec2::<f32>().unwrap(), [[1.; 2]; 2]);
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_step() {
    let check = |learner: GreedyPretraining, change: &dyn Fn(&mut RunSpec)| {
        let mut run = spec();
        change(&mut run);
        learner.check(&run, &data())
    };
    let same = |_: &mut RunSpec| {};
    let no_layers = GreedyPretraining::new(|vb| linear(5, 1, vb));
    let frozen = TrainConfig { freeze: Freeze::FirstLayers(1), ..TrainConfig::default() };
    let again = EarlyStopping { then: Retrain::FromScratch, ..EarlyStopping::default() };
    let masking = |share| {
        let corruption = Some(Corruption::Masking { share });
        greedy(1).pretraining(Pretraining::Autoencoder { epochs: 1, corruption })
    };
    type Change<'a> = &'a dyn Fn(&mut RunSpec);
    let bad: Vec<(GreedyPretraining, Change<'_>, &str)> = vec![
        (no_layers, &same, "GreedyPretraining::hidden must be at least one"),
        (greedy(2).config(frozen), &same, "TrainConfig::freeze must be Freeze::None"),
        (greedy(2).early_stopping(again), &same, "EarlyStopping::then must be Retrain::No"),
        (greedy(2).epochs_per_layer(0), &same, "epochs must be at least 1"),
        (greedy(2).pretraining(Pretraining::autoencoder(0)), &same, "Pretraining::Autoencoder::epochs"),
        (masking(1.), &same, "Corruption::Masking::share"),
        (greedy(2), &|run| run.collect = Snapshot::new(2).into(), "the rule for collecting members"),
        (greedy(3), &|run| run.collect = FastGeometric::new(2, 0.1, 0.01).into(), "the rule for collecting"),
        (greedy(3), &|run| run.collect = Horizontal::last(4).into(), "from epoch 6 on, in the last step"),
        (
            greedy(2),
            &|run| run.settings = Settings::new().with("width", 3),
            "a setting for GreedyPretraining",
        ),
        (
            greedy(2),
            &|run| run.settings = Settings::new().with("freeze", 1),
            "a setting for GreedyPretraining",
        ),
        (greedy(2), &|run| run.architecture = "mlp".into(), "the architecture"),
    ];
    for (learner, change, part) in bad {
        let e = check(learner, change).unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
    assert!(check(greedy(3), &|run| run.collect = Horizontal::last(3).into()).is_ok());
    let reads = GreedyPretraining::new(|vb| linear(5, 1, vb));
    let reads =
        reads.hidden_reading(&["inputs"], |settings, vb| hidden(settings.count("inputs")?.unwrap_or(2), vb));
    assert!(check(reads, &|run| run.settings = Settings::new().with("inputs", 1)).is_ok());

    // The second hidden layer has 4 units, and the output layer takes 5.
    let narrow = greedy(1).hidden(|vb| linear(5, 4, vb));
    let data = data();
    let parts = RunParts {
        data: &data,
        spec: &spec(),
        device: &CPU,
        observer: &Silent,
        checkpoints: None,
        store_member: &|_, _| Ok(()),
        after_step: None,
    };
    let e = train_run(&narrow, parts).unwrap_err().to_string();
    assert!(
        e.starts_with("the width of hidden layer 1 must be the width that the output layer takes"),
        "{e}"
    );
    let tags: BTreeSet<String> = [
        greedy(2),
        greedy(3),
        greedy(2).freeze_earlier(false),
        greedy(2).batch_size(9),
        greedy(2).version("2"),
    ]
    .iter()
    .map(Learner::tag)
    .collect();
    assert_eq!(tags.len(), 5);
}
