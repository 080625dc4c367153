//! Warm starts, frozen variables and greedy pretraining through sessions: every strategy, resumed runs, stores.
use crate::{
    common::{blobs, bytes, weights, CPU},
    resume::interrupt_everywhere_on,
};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::TensorDataset,
    evaluate::{combinations, Study},
    exec::{Sequential as OneByOne, Threads},
    nn::{self, seq, Dropout, Sequential},
    plan::{FastGeometric, Horizontal, Settings, Snapshot},
    store::{DirectoryStore, MemoryStore},
    strategy::{self, Bagging, MultiRun},
    train::{
        Averaging, Corruption, EarlyStopping, Freeze, GreedyPretraining, Optimizer, ParameterGroup,
        Pretraining, Retrain, Sgd, Trainer, Unfreeze, WarmStart,
    },
    weights::Weights,
    Checkpoints, Member, Result, Session,
};
use candle_nn::{batch_norm, linear, Activation, VarBuilder};

fn data() -> TensorDataset {
    blobs(3, 60, 3, 0.4)
}

/// Two hidden layers of 6 units on as many inputs as the run has.
fn greedy() -> GreedyPretraining {
    let learner =
        GreedyPretraining::new(|vb| linear(6, 3, vb)).hidden_reading(&["inputs"], |settings, vb| {
            let inputs = settings.count("inputs")?.unwrap_or(2);
            Ok(seq().add(linear(inputs, 6, vb)?).add(Activation::Relu))
        });
    let learner = learner.hidden(|vb| Ok(seq().add(linear(6, 6, vb)?).add(Activation::Relu)));
    learner.epochs_per_layer(3).optimizer(Optimizer::adam(0.02))
}

/// 2 → 6 → 6 → 3 with batch normalization and dropout.
fn network(vb: VarBuilder<'_>) -> candle_core::Result<Sequential> {
    let first = seq().add(linear(2, 6, vb.pp("a"))?).add(batch_norm(6, 1e-5, vb.pp("norm"))?);
    let second = first.add(Activation::Relu).add(Dropout::new(0.1, vb.pp("dropout"))?);
    Ok(second.add(linear(6, 6, vb.pp("b"))?).add(Activation::Relu).add(linear(6, 3, vb.pp("c"))?))
}

fn trainer() -> Trainer<Sequential> {
    Trainer::new(network).epochs(4).batch_size(16).optimizer(Sgd::new(0.05).momentum(0.9))
}

fn source() -> Weights {
    let (data, trainer) = (blobs(9, 60, 3, 0.3), trainer());
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1), 1).unwrap();
    pool.weights()[0].clone()
}

/// The names of the float variables that differ.
fn changed(a: &Weights, b: &Weights) -> Vec<String> {
    let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let floats = a.iter().filter(|(_, tensor)| tensor.dtype() == DType::F32);
    floats.filter(|(name, t)| numbers(t) != numbers(&b[*name])).map(|(name, _)| name.clone()).collect()
}

#[test]
fn greedy_pretraining_works_under_every_strategy() {
    let (data, x) = (data(), data().inputs().only().unwrap().clone());
    let autoencoder =
        Pretraining::Autoencoder { epochs: 2, corruption: Some(Corruption::Masking { share: 0.2 }) };
    for learner in [greedy(), greedy().pretraining(autoencoder)] {
        for text in [
            "multi-run:2",
            "bootstrap:3:validation=0.2",
            "k-fold:3:refit=true",
            "random-split:2:0.6",
            "random-subspace:2",
            "random-patches:2:0.6:0.5",
            "forward-chaining:2",
            "horizontal:2",
            "bootstrap:2+horizontal:3",
        ] {
            let builder = strategy::parse(text).unwrap();
            let pool = Session::new(&learner, &data).fit(&*builder, 5).unwrap();
            let predicted = pool.combine(&Mean).unwrap().predict_proba(&x).unwrap();
            assert_eq!(predicted.dims(), [60, 3], "{text}");
            let names: Vec<&str> = pool.weights()[0].keys().map(String::as_str).collect();
            let layers =
                ["hidden.0", "hidden.1", "output"].map(|l| [format!("{l}.bias"), format!("{l}.weight")]);
            assert_eq!(names, layers.concat(), "{text}");
        }
    }
    for text in ["snapshot:2", "fast-geometric:2:0.02:0.01:0", "horizontal:4", "k-fold:3+snapshot:2"] {
        let builder = strategy::parse(text).unwrap();
        let e = Session::new(&greedy(), &data).fit(&*builder, 5).map(drop).unwrap_err().to_string();
        assert!(e.contains("collect"), "{text}: {e}");
    }
}

#[test]
fn greedy_pretraining_does_not_depend_on_threads_and_is_loaded_from_a_store() {
    let (data, learner) = (data(), greedy());
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(folder.path()).unwrap();
    let session = Session::new(&learner, &data);
    let plan = session.plan(&Bagging::new(3), 1).unwrap();
    let one = session.clone().executor(&OneByOne).train(&plan).unwrap();
    let threads = Threads::new(3).unwrap();
    let stored = session.clone().executor(&threads).store(&store);
    assert_eq!(bytes(stored.train(&plan).unwrap().members()), bytes(one.members()));
    assert_eq!(bytes(stored.load(&plan).unwrap().members()), bytes(one.members()));
    // Another number of epochs is another learner.
    let other = greedy().epochs_per_layer(2);
    assert!(Session::new(&other, &data).store(&store).train(&plan).is_err());
}

#[test]
fn greedy_pretraining_resumes() {
    let corruption = Some(Corruption::Gaussian { std: 0.2 });
    for pretraining in [Pretraining::default(), Pretraining::Autoencoder { epochs: 2, corruption }] {
        let learner = greedy().pretraining(pretraining);
        let bagging = Bagging::new(2).validation(0.2);
        assert!(interrupt_everywhere_on(&data(), &learner, &bagging, Checkpoints::Epochs(2)) > 0);
        let window = Bagging::new(2).collect(Horizontal::last(2));
        assert!(interrupt_everywhere_on(&data(), &learner, &window, Checkpoints::Epochs(1)) > 0);
    }
}

/// A resumed run does not start from the weights again.
#[test]
fn warm_starts_and_frozen_layers_resume() {
    let start = WarmStart::new(source()).unwrap();
    for freeze in [Freeze::None, Freeze::FirstLayers(2)] {
        let trainer = trainer().warm_start(start.clone()).freeze(freeze);
        assert!(interrupt_everywhere_on(&data(), &trainer, &Bagging::new(2), Checkpoints::Epochs(1)) > 0);
        let cycles = MultiRun::new(1).collect(Snapshot::new(2));
        assert!(interrupt_everywhere_on(&data(), &trainer, &cycles, Checkpoints::Epochs(1)) > 0);
    }
}

/// The same with the library's batch normalization, which is in evaluation mode while it is frozen.
fn own_network(vb: VarBuilder<'_>) -> candle_core::Result<Sequential> {
    let first = seq().add(nn::linear(2, 6, vb.pp("a"))?).add(nn::batch_norm(6, 1e-5, vb.pp("norm"))?);
    let second = first.add(nn::Activation::Relu).add(Dropout::new(0.1, vb.pp("dropout"))?);
    Ok(second.add(nn::linear(6, 6, vb.pp("b"))?).add(nn::Activation::Relu).add(nn::linear(6, 3, vb.pp("c"))?))
}

fn trainers() -> [Trainer<Sequential>; 2] {
    let own = Trainer::new(own_network).epochs(4).batch_size(16).optimizer(Sgd::new(0.05).momentum(0.9));
    [trainer(), own]
}

#[test]
fn gradual_unfreezing_resumes() {
    let groups = ParameterGroup::names(["a.*", "norm.*"]).factor(0.3);
    for trainer in trainers() {
        let gradual = trainer.freeze(3).unfreeze(Unfreeze::Gradual(1)).parameter_groups(groups.clone());
        let gradual = gradual.optimizer(Optimizer::adamw(0.02, 0.1)).layer_decay(0.8);
        let resumed = |trainer: &Trainer<Sequential>, builder: &dyn strategy::EnsembleBuilder| {
            interrupt_everywhere_on(&data(), trainer, builder, Checkpoints::Epochs(1))
        };
        assert!(resumed(&gradual, &Bagging::new(2)) > 0);
        assert!(resumed(&gradual, &MultiRun::new(1).collect(Horizontal::last(3))) > 0);
        assert!(resumed(&gradual.clone().averaging(Averaging::ema(0.5)), &Bagging::new(2)) > 0);
        let rule = EarlyStopping { patience: 1, ..EarlyStopping::default() };
        for then in [Retrain::FromScratch, Retrain::Continue { epochs: 3 }] {
            let again = gradual.clone().early_stopping(EarlyStopping { then, ..rule.clone() });
            assert!(resumed(&again, &Bagging::new(2).validation(0.3)) > 0, "{then:?}");
        }
    }
}

/// The networks after each epoch: what is frozen stays, statistics too, and moves from its epoch on.
#[test]
fn statistics_stay_while_their_layer_is_frozen_and_move_afterwards() {
    let (data, source) = (data(), source());
    for trainer in trainers() {
        let start = WarmStart::new(source.clone()).unwrap();
        let trainer =
            trainer.warm_start(start).freeze(2).unfreeze(Unfreeze::names([("norm.*", 2), ("a.*", 3)]));
        let builder = MultiRun::new(1).collect(Horizontal::last(4));
        let pool = Session::new(&trainer, &data).fit(&builder, 3).unwrap();
        let norm = ["norm.bias", "norm.running_mean", "norm.running_var", "norm.weight"];
        let later = ["b.bias", "b.weight", "c.bias", "c.weight"];
        let expected: [Vec<&str>; 3] = [later.to_vec(), later.to_vec(), [&later[..], &norm].concat()];
        for (member, expected) in pool.members().iter().zip(expected) {
            assert_eq!(changed(&member.weights, &source), expected);
        }
        assert!(changed(&pool.members()[3].weights, &source).contains(&"a.weight".into()));
    }
}

#[test]
fn runs_start_from_weights_of_their_own_under_every_executor() {
    let (data, first) = (data(), trainer());
    let sources = Session::new(&first, &data).fit(&MultiRun::new(3), 1).unwrap();
    let starts = sources.weights().into_iter().map(|weights| WarmStart::new(weights.clone()).unwrap());
    let tuned = trainer().warm_starts(starts).freeze(2);
    for text in ["multi-run:3", "bootstrap:3:validation=0.2", "k-fold:3", "horizontal:2"] {
        let pool = Session::new(&tuned, &data).fit(&*strategy::parse(text).unwrap(), 5).unwrap();
        for member in pool.members() {
            let moved = changed(&member.weights, sources.weights()[member.record.run]);
            assert_eq!(moved, ["b.bias", "b.weight", "c.bias", "c.weight"], "{text}");
        }
    }
    assert!(interrupt_everywhere_on(&data, &tuned, &MultiRun::new(3), Checkpoints::Epochs(1)) > 0);
    let e = Session::new(&tuned, &data).fit(&MultiRun::new(4), 5).map(drop).unwrap_err().to_string();
    assert!(e.contains("the warm start of run 3 must be one of the 3 that the trainer has"), "{e}");
}

#[test]
fn frozen_layers_have_the_bytes_of_the_source_under_every_strategy() {
    let (data, source) = (data(), source());
    let trainer = trainer().warm_start(WarmStart::new(source.clone()).unwrap()).freeze(2);
    for text in [
        "multi-run:2",
        "bootstrap:2:validation=0.2",
        "k-fold:3",
        "random-split:2:0.6",
        "horizontal:2",
        "snapshot:2",
        "fast-geometric:2:0.02:0.01:0",
    ] {
        let pool = Session::new(&trainer, &data).fit(&*strategy::parse(text).unwrap(), 5).unwrap();
        for member in pool.members() {
            assert_eq!(
                changed(&member.weights, &source),
                ["b.bias", "b.weight", "c.bias", "c.weight"],
                "{text}"
            );
        }
    }
}

/// Runs differ in what they freeze, by a setting.
#[test]
fn the_number_of_frozen_layers_varies_between_runs() -> Result<()> {
    let (data, source) = (data(), source());
    let trainer = trainer().warm_start(WarmStart::new(source.clone())?);
    let settings = ["none", "1", "names:a.*|c.*"].map(|text| Settings::new().with("freeze", text));
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3).settings(settings), 2)?;
    // The bias before batch normalization has a gradient of 0 but for rounding.
    let moves = |name: &&String| *name != "a.bias";
    let names = |member: &Member| changed(&member.weights, &source).iter().filter(moves).count();
    // Nine other float variables: five of the linear layers, and four of batch normalization.
    assert_eq!(pool.members().iter().map(names).collect::<Vec<_>>(), [9, 8, 6]);
    let bad = MultiRun::new(1).settings([Settings::new().with("freeze", "4")]);
    let e = Session::new(&trainer, &data).fit(&bad, 2).map(drop).unwrap_err().to_string();
    assert!(e.contains("Freeze::FirstLayers"), "{e}");
    Ok(())
}

#[test]
fn a_store_tells_warm_starts_apart() {
    let (data, source) = (data(), source());
    let plain = Session::new(&trainer(), &data).plan(&MultiRun::new(1), 1).unwrap();
    let store = MemoryStore::new();
    let train = |trainer: &Trainer<Sequential>| {
        let pool = Session::new(trainer, &data).store(&store).train(&plain).unwrap();
        weights(&pool.members()[0])
    };
    let start = WarmStart::new(source).unwrap();
    let fresh = train(&trainer());
    let warm = train(&trainer().warm_start(start.clone()));
    let first = train(&trainer().warm_start(start.first_layers(1)));
    assert!(fresh != warm && warm != first && first != fresh);
    assert_eq!(train(&trainer()), fresh);
}

#[test]
fn a_study_compares_greedy_pretraining() {
    let (train, test, learner) = (data(), blobs(4, 40, 3, 0.4), greedy());
    let study = Study::new(Session::new(&learner, &train), &test).strategies("bootstrap:2").unwrap();
    let report = study.combinations("mean,hard-vote").unwrap().repeats(2).run(1).unwrap();
    assert_eq!(report.ensembles.len(), 2);
    assert!(combinations().names().contains(&"mean"));
    let features = test.inputs().only().unwrap();
    assert!(features.device().same_device(&CPU));
    let cycles = MultiRun::new(1).collect(FastGeometric::new(2, 0.02, 0.01));
    assert!(Session::new(&learner, &train).fit(&cycles, 1).is_err());
}
