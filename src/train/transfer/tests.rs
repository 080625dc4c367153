use super::*;
use crate::{
    data::{Dataset, TensorDataset},
    nn::{self, seq, Dropout, Sequential},
    plan::{RunSpec, Settings},
    train::{train_alone, Averaging, Clip, Optimizer, ParameterGroup, Sgd, Trainer},
    weights::{fresh, Vars, Weights},
    Result, Seed,
};
use candle_core::{DType, Device, ModuleT, Result as CandleResult, Tensor};
use candle_nn::{batch_norm, linear, Activation, VarBuilder};

const CPU: Device = Device::Cpu;

fn data() -> TensorDataset {
    let value = |i: u32| ((i * 7919 % 1000) as f32) / 500. - 1.;
    let x = Tensor::from_iter((0..80).map(value), &CPU).unwrap().reshape((40, 2)).unwrap();
    let y = x.sqr().unwrap().sum(1).unwrap();
    TensorDataset::regression(x, &y).unwrap()
}

/// 2 → 5 → 5 → 1 with dropout and batch normalization.
fn network(vb: VarBuilder<'_>) -> CandleResult<Sequential> {
    let first = seq().add(linear(2, 5, vb.pp("a"))?).add(Dropout::new(0.2, vb.pp("dropout"))?);
    let second = first.add(linear(5, 5, vb.pp("b"))?).add(batch_norm(5, 1e-5, vb.pp("norm"))?);
    Ok(second.add(Activation::Relu).add(linear(5, 1, vb.pp("c"))?))
}

fn vars(seed: u64) -> Vars {
    let (vars, vb) = fresh(Seed::from(seed), Default::default(), DType::F32, &CPU);
    network(vb).unwrap();
    vars
}

fn trained(trainer: &Trainer<Sequential>, data: &TensorDataset, settings: Settings) -> Result<Weights> {
    let mut run = RunSpec::new(0, "model", Seed::from(3), 0..data.rows() as u32);
    run.settings = settings;
    train_alone(trainer, data, &run, &CPU).map(|(weights, _)| weights)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The names of the tensors that differ.
fn changed(a: &Weights, b: &Weights) -> Vec<String> {
    let bits = |t: &Tensor| numbers(t).into_iter().map(f64::to_bits).collect::<Vec<_>>();
    a.iter().filter(|(name, t)| bits(t) != bits(&b[*name])).map(|(name, _)| name.clone()).collect()
}

#[test]
fn the_names_of_frozen_variables() {
    let vars = vars(1);
    let names = |freeze: Freeze| freeze.names(&vars).unwrap().into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(names(Freeze::None), "");
    assert_eq!(names(Freeze::FirstLayers(0)), "");
    assert_eq!(names(Freeze::FirstLayers(1)), "a.bias a.weight");
    // Dropout is no layer with weights, batch normalization is.
    assert_eq!(names(Freeze::FirstLayers(2)), "a.bias a.weight b.bias b.weight");
    let norm = "norm.bias norm.running_mean norm.running_var norm.weight";
    assert_eq!(names(Freeze::FirstLayers(3)), format!("a.bias a.weight b.bias b.weight {norm}"));
    assert_eq!(names(Freeze::names_like(["?.weight"])), "a.weight b.weight c.weight");
    assert_eq!(names(Freeze::names_like(["norm.*", "a.b*"])), format!("a.bias {norm}"));
    for (freeze, part) in [
        (Freeze::FirstLayers(4), "Freeze::FirstLayers must be a choice that leaves a variable to be trained"),
        (Freeze::FirstLayers(5), "Freeze::FirstLayers must be at most 4, the number of layers with weights"),
        (Freeze::names_like(["*"]), "Freeze::Names must be a choice that leaves"),
        (Freeze::names_like(["a.*", "x.*"]), "but is \"x.*\", which matches none"),
        (Freeze::names_like(["dropout.*"]), "which matches none"),
        (Freeze::Names(vec![]), "Freeze::Names must be at least one pattern"),
        (Freeze::names_like([""]), "an empty one"),
        (
            Freeze::names_like(["a[.*"]),
            "Freeze::Names must be glob patterns such as hidden.*, but is \"a[.*\"",
        ),
    ] {
        let e = freeze.names(&vars).unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
}

#[test]
fn texts_say_what_is_frozen() {
    for (text, freeze) in [
        ("2", Freeze::FirstLayers(2)),
        ("none", Freeze::None),
        ("first-layers:3", 3.into()),
        ("names:a.*|c.bias", Freeze::names_like(["a.*", "c.bias"])),
    ] {
        assert_eq!(Freeze::parse(text).unwrap(), freeze, "{text}");
    }
    assert!(Freeze::parse("nmaes:a").unwrap_err().to_string().contains("did you mean names"));
    assert!(Freeze::parse("names").is_err());
    let run = |settings: Settings| Freeze::of_run(&settings).unwrap();
    assert_eq!(run(Settings::new()), None);
    assert_eq!(run(Settings::new().with("freeze", 1)), Some(Freeze::FirstLayers(1)));
    assert_eq!(run(Settings::new().with("freeze", "names:a.*")), Some(Freeze::names_like(["a.*"])));
    assert!(Freeze::of_run(&Settings::new().with("freeze", -1)).is_err());
}

#[test]
fn a_warm_start_takes_what_matches_and_lists_what_does_not() {
    let (source, target) = (vars(1).snapshot().unwrap(), vars(2));
    let before = target.snapshot().unwrap();
    WarmStart::new(source.clone()).unwrap().load_into(&target).unwrap();
    // The seed of the masks stays the run's own.
    assert_eq!(changed(&target.snapshot().unwrap(), &source), ["dropout.seed"]);

    let mut other = source.clone();
    other.insert("b.weight".into(), Tensor::zeros((5, 6), DType::F32, &CPU).unwrap());
    other.insert("c.bias".into(), source["c.bias"].to_dtype(DType::F64).unwrap());
    other.insert("more".into(), Tensor::zeros(1, DType::F32, &CPU).unwrap());
    other.remove("a.bias");
    let start = WarmStart::new(other.clone()).unwrap();
    target.load(&before).unwrap();
    let e = start.load_into(&target).unwrap_err().to_string();
    for part in [
        "a.bias is missing",
        "b.weight is f32 [5, 6] in place of f32 [5, 5]",
        "c.bias is f64 [1] in place of f32 [1]",
        "more is not of this model",
    ] {
        assert!(e.contains(part), "{e}");
    }
    assert!(changed(&target.snapshot().unwrap(), &before).is_empty(), "nothing is changed by an error");

    assert_eq!(start.unmatched(&target).unwrap().len(), 4);
    start.clone().allow_unmatched(true).load_into(&target).unwrap();
    let now = target.snapshot().unwrap();
    assert_eq!(changed(&now, &before), ["a.weight", "b.bias", "c.weight"]);
    target.load(&before).unwrap();
    start.clone().allow_unmatched(true).cast(true).load_into(&target).unwrap();
    let now = target.snapshot().unwrap();
    assert_eq!(changed(&now, &before), ["a.weight", "b.bias", "c.bias", "c.weight"]);
    assert!(changed(&now, &source).iter().all(|name| !name.starts_with("c.")));

    target.load(&before).unwrap();
    start.clone().names(["?.weight"]).allow_unmatched(true).load_into(&target).unwrap();
    assert_eq!(changed(&target.snapshot().unwrap(), &before), ["a.weight", "c.weight"]);
    target.load(&before).unwrap();
    WarmStart::new(source).unwrap().first_layers(1).load_into(&target).unwrap();
    assert_eq!(changed(&target.snapshot().unwrap(), &before), ["a.bias", "a.weight"]);
}

#[test]
fn bad_warm_starts_are_errors() {
    let source = vars(1).snapshot().unwrap();
    assert!(WarmStart::new(Weights::new()).is_err());
    let start = WarmStart::new(source.clone()).unwrap();
    for (start, part) in [
        (start.clone().first_layers(9), "WarmStart::first_layers must be at most 4"),
        (start.clone().first_layers(0), "no variable is taken"),
        (start.clone().names(["x*"]), "WarmStart::names must be patterns"),
    ] {
        let e = start.load_into(&vars(2)).unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
    let mut bad = source.clone();
    bad.insert("c.bias".into(), Tensor::new(&[f32::NAN], &CPU).unwrap());
    let e = WarmStart::new(bad.clone()).unwrap().load_into(&vars(2)).unwrap_err().to_string();
    assert_eq!(e, "`c.bias`[0] of the warm start must be finite, as it is in the network, but is NaN");
    let other = |seed| WarmStart::new(vars(seed).snapshot().unwrap()).unwrap();
    assert_eq!(other(1), start);
    let tags = [start.clone(), other(2), start.clone().cast(true), start.clone().first_layers(1)];
    let tags: std::collections::BTreeSet<String> = tags.iter().map(WarmStart::tag).collect();
    assert_eq!(tags.len(), 4);
    let tag = |start: Option<WarmStart>| {
        let trainer = Trainer::new(network);
        crate::train::Learner::tag(&start.into_iter().fold(trainer, Trainer::warm_start))
    };
    assert_ne!(tag(None), tag(Some(start.clone())));
    assert_ne!(tag(Some(start)), tag(Some(other(2))));
}

#[test]
fn a_file_of_tensors_is_a_warm_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let source = vars(1).snapshot().unwrap();
    let all: std::collections::HashMap<_, _> = source.clone().into_iter().collect();
    candle_core::safetensors::save(&all, &path).unwrap();
    assert_eq!(WarmStart::from_file(&path).unwrap(), WarmStart::new(source).unwrap());
    std::fs::write(&path, "no tensors").unwrap();
    assert!(WarmStart::from_file(&path).unwrap_err().to_string().contains("w.safetensors"));
    let torch = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pretrained/state_dict.pth");
    let opened = WarmStart::new(crate::weights::StateDict::open(&torch).unwrap()).unwrap();
    assert_eq!(WarmStart::from_file(&torch).unwrap(), opened);
    let e = WarmStart::from_file(folder.path().join("x")).unwrap_err();
    assert!(matches!(e, crate::Error::Io { .. }), "{e}");
}

/// A prefix of all names and another type of floats are what checkpoints mostly differ in.
#[test]
fn a_warm_start_with_a_prefix_or_another_type_names_the_setter() {
    let (source, target) = (vars(1).snapshot().unwrap(), vars(2));
    let e = |start: WarmStart| start.load_into(&target).unwrap_err().to_string();
    let prefixed = crate::weights::StateDict::from(&source).add_prefix("module.");
    let e_prefix = e(WarmStart::new(prefixed.clone()).unwrap());
    assert!(
        e_prefix.ends_with("the names have a prefix: StateDict::strip_prefix(\"module.\")"),
        "{e_prefix}"
    );
    WarmStart::new(prefixed.strip_prefix("module.").unwrap()).unwrap().load_into(&target).unwrap();
    let half = crate::weights::StateDict::from(&source).to_dtype(DType::F16);
    let start = WarmStart::new(half).unwrap();
    let e_half = e(start.clone());
    assert!(e_half.ends_with("WarmStart::cast(true) converts floats"), "{e_half}");
    start.cast(true).load_into(&target).unwrap();
}

/// With weight decay, clipping, a moving average and batch normalization.
#[test]
fn frozen_variables_keep_their_bytes() {
    let data = data();
    let source = vars(9).snapshot().unwrap();
    for averaging in [None, Some(Averaging::ema(0.9)), Some(Averaging::swa(crate::plan::Span::Units(1)))] {
        let mut trainer = Trainer::new(network).epochs(3).batch_size(16).clip(Clip::Norm(0.5));
        trainer = trainer.optimizer(Optimizer::adamw(0.05, 0.1));
        trainer = trainer.warm_start(WarmStart::new(source.clone()).unwrap());
        if let Some(averaging) = averaging {
            trainer = trainer.averaging(averaging);
        }
        let free = trained(&trainer, &data, Settings::new()).unwrap();
        let floats = source.iter().filter(|(_, t)| t.dtype().is_float()).count();
        assert_eq!(changed(&free, &source).len(), floats + 2, "all change, and the state of dropout");
        let frozen = trained(&trainer.clone().freeze(3), &data, Settings::new()).unwrap();
        let state = ["dropout.seed", "dropout.step"];
        assert_eq!(changed(&frozen, &source), [&["c.bias", "c.weight"][..], &state[..]].concat());
        // As a setting of the run.
        let by_setting = trained(&trainer, &data, Settings::new().with("freeze", "first-layers:3")).unwrap();
        assert!(changed(&by_setting, &frozen).is_empty());
        let all = Settings::new().with("freeze", "names:*");
        assert!(trained(&trainer, &data, all).unwrap_err().to_string().contains("leaves a variable"));
    }
}

/// Clipping by the norm of the trained variables alone is part of the equality.
#[test]
fn training_on_features_equals_freezing() {
    let data = data();
    let whole = |vb: VarBuilder<'_>| {
        let hidden = seq().add(linear(2, 6, vb.pp("z"))?).add_fn(|x| x.tanh());
        Ok(hidden.add(linear(6, 4, vb.pp("b"))?).add_fn(|x| x.tanh()).add(linear(4, 1, vb.pp("a"))?))
    };
    let rest = |vb: VarBuilder<'_>| {
        Ok(seq().add(linear(6, 4, vb.pp("b"))?).add_fn(|x| x.tanh()).add(linear(4, 1, vb.pp("a"))?))
    };
    let set = |trainer: Trainer<Sequential>| {
        trainer.epochs(20).batch_size(7).optimizer(Optimizer::adamw(0.02, 0.01)).clip(Clip::Norm(0.2))
    };
    let frozen = trained(&set(Trainer::new(whole)).freeze(1), &data, Settings::new()).unwrap();
    let (_, vb) = fresh(Seed::from(3).child("init"), Default::default(), DType::F32, &CPU);
    let inputs = features(&whole(vb).unwrap(), 2, &data).unwrap();
    assert_eq!(inputs.inputs().only().unwrap().dims(), [40, 6]);
    let head = trained(&set(Trainer::new(rest)), &inputs, Settings::new()).unwrap();
    let free = trained(&set(Trainer::new(whole)), &data, Settings::new()).unwrap();
    let distance = |a: &Weights, b: &Weights| {
        let of = |name: &String| numbers(&a[name]).into_iter().zip(numbers(&b[name]));
        head.keys().flat_map(of).map(|(a, b)| (a - b).abs()).fold(0., f64::max)
    };
    assert!(distance(&frozen, &head) < 1e-5, "{}", distance(&frozen, &head));
    assert!(distance(&free, &head) > 1e-3);
}

#[test]
fn features_keep_everything_but_the_inputs() {
    let x = Tensor::arange(0f32, 6000., &CPU).unwrap().affine(1e-3, -3.).unwrap().reshape((3000, 2)).unwrap();
    let y = Tensor::from_iter((0..3000u32).map(|i| i % 3), &CPU).unwrap();
    let groups: Vec<u32> = (0..3000).map(|i| i / 7).collect();
    let data = TensorDataset::classification(&x, &y).unwrap().with_classes(5).unwrap();
    let data = data.with_weights(vec![2.; 3000]).unwrap().with_groups(groups).unwrap();
    let (_, vb) = fresh(Seed::from(3), Default::default(), DType::F32, &CPU);
    let network = network(vb).unwrap();
    let made = features(&network, 5, &data).unwrap();
    let expected = &network.forward_all(&x).unwrap()[4];
    let difference = (made.inputs().only().unwrap() - expected).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() < 1e-5);
    assert_eq!((made.task(), made.groups(), made.strata()), (data.task(), data.groups(), data.strata()));
    assert_eq!(made.weights().unwrap().to_vec1::<f32>().unwrap(), vec![2.; 3000]);
    assert_ne!(made.fingerprint(), data.fingerprint());
    let same = features(&network, 0, &data).unwrap();
    assert_eq!(same.fingerprint(), data.fingerprint());
    let e = features(&network, 7, &data).unwrap_err().to_string();
    assert_eq!(e, "layers must be at most 6, the number of layers of the network, but is 7");
    assert!(data.with_inputs(x.narrow(0, 0, 9).unwrap()).is_err());
    assert!(network.forward_t(&x, false).is_ok());
}

/// 2 → 5 → 5 → 1 of the library's layers, with its batch normalization.
fn own_network(vb: VarBuilder<'_>) -> CandleResult<Sequential> {
    let first = seq().add(nn::linear(2, 5, vb.pp("a"))?).add(nn::batch_norm(5, 1e-5, vb.pp("norm"))?);
    let second = first.add(nn::Activation::Tanh).add(nn::linear(5, 5, vb.pp("b"))?);
    Ok(second.add(nn::Activation::Tanh).add(nn::linear(5, 1, vb.pp("c"))?))
}

/// A learning rate of 0 for the frozen variables: their gradients are computed, and not used.
#[test]
fn the_other_variables_have_the_bits_that_they_have_when_all_gradients_are_computed() {
    let data = data();
    let plain = |vb: VarBuilder<'_>| {
        let first = seq().add(linear(2, 5, vb.pp("a"))?).add(Activation::Relu).add(linear(5, 5, vb.pp("b"))?);
        Ok(first.add(Activation::Relu).add(linear(5, 1, vb.pp("c"))?))
    };
    let own = |vb: VarBuilder<'_>| {
        let first = seq().add(nn::linear(2, 5, vb.pp("a"))?).add(nn::Activation::Tanh);
        let second = first.add(nn::linear(5, 5, vb.pp("b"))?).add(Dropout::new(0.2, vb.pp("dropout"))?);
        Ok(second.add(nn::Activation::Tanh).add(nn::linear(5, 1, vb.pp("c"))?))
    };
    for trainer in [Trainer::new(plain), Trainer::new(own)] {
        for optimizer in [Sgd::new(0.05).momentum(0.9).into(), Optimizer::adam(0.02)] {
            for patterns in [&["a.*", "b.*"][..], &["a.*"], &["b.*"], &["*.weight"], &["c.*"]] {
                let trainer = trainer.clone().epochs(4).batch_size(16).optimizer(optimizer.clone());
                let freeze = Freeze::names_like(patterns.iter().copied());
                let frozen = trained(&trainer.clone().freeze(freeze), &data, Settings::new()).unwrap();
                let group = ParameterGroup::names(patterns.iter().copied()).factor(0.);
                let all = trained(&trainer.clone().parameter_groups(group), &data, Settings::new()).unwrap();
                assert!(changed(&frozen, &all).is_empty(), "{patterns:?}");
                let free = trained(&trainer, &data, Settings::new()).unwrap();
                assert!(!changed(&frozen, &free).is_empty(), "{patterns:?}");
            }
        }
    }
}

/// A layer of batch normalization that is frozen normalizes by its running statistics in training, so the layers behind it
/// are trained on what `features` returns.
#[test]
fn frozen_batch_normalization_is_in_evaluation_mode() {
    let data = data();
    let rest = |vb: VarBuilder<'_>| {
        let first = seq().add(nn::linear(5, 5, vb.pp("b"))?).add(nn::Activation::Tanh);
        Ok(first.add(nn::linear(5, 1, vb.pp("c"))?))
    };
    let set =
        |trainer: Trainer<Sequential>| trainer.epochs(15).batch_size(8).optimizer(Optimizer::adam(0.02));
    // Statistics that are not those of any batch.
    let source = trained(&set(Trainer::new(own_network)).epochs(2), &data, Settings::new()).unwrap();
    let (vars, vb) = fresh(Seed::from(3).child("init"), Default::default(), DType::F32, &CPU);
    let whole = own_network(vb).unwrap();
    let start = WarmStart::new(source).unwrap().names(["a.*", "norm.*"]);
    start.load_into(&vars).unwrap();
    let inputs = features(&whole, 3, &data).unwrap();
    let frozen =
        set(Trainer::new(own_network)).warm_start(start).freeze(Freeze::names_like(["a.*", "norm.*"]));
    for averaging in [None, Some(Averaging::swa(crate::plan::Span::Units(2)))] {
        let [mut whole, mut head] = [frozen.clone(), set(Trainer::new(rest))];
        if let Some(averaging) = averaging {
            [whole, head] = [whole.averaging(averaging), head.averaging(averaging)];
        }
        let whole = trained(&whole, &data, Settings::new()).unwrap();
        let head = trained(&head, &inputs, Settings::new()).unwrap();
        for (name, tensor) in &head {
            let distance = numbers(tensor).into_iter().zip(numbers(&whole[name]));
            let distance = distance.map(|(a, b)| (a - b).abs()).fold(0., f64::max);
            assert!(distance < 1e-5, "{name}: {distance}");
        }
    }
}

/// An average of networks is measured anew: the statistics behind a frozen layer are those of what it puts out in evaluation.
#[test]
fn statistics_behind_frozen_batch_normalization_are_measured_behind_its_running_statistics() {
    let data = data();
    let two = |vb: VarBuilder<'_>| {
        let first = seq().add(nn::linear(2, 5, vb.pp("a"))?).add(nn::batch_norm(5, 1e-5, vb.pp("norm"))?);
        let second = first.add(nn::linear(5, 4, vb.pp("b"))?).add(nn::batch_norm(4, 1e-5, vb.pp("later"))?);
        Ok(second.add(nn::linear(4, 1, vb.pp("c"))?))
    };
    let trainer = Trainer::new(two).epochs(4).batch_size(8).averaging(Averaging::ema(0.5));
    let weights =
        trained(&trainer.freeze(Freeze::names_like(["a.*", "norm.*"])), &data, Settings::new()).unwrap();
    let (vars, vb) = fresh(Seed::from(1), Default::default(), DType::F32, &CPU);
    let network = two(vb).unwrap();
    vars.load(&weights).unwrap();
    let seen = network.forward_first(3, data.inputs().only().unwrap()).unwrap();
    let mean = numbers(&seen.mean(0).unwrap());
    let measured = numbers(&weights["later.running_mean"]);
    assert!(mean.iter().zip(&measured).all(|(a, b)| (a - b).abs() < 1e-5), "{mean:?} {measured:?}");
}

#[test]
fn the_epochs_of_unfrozen_variables() {
    let vars = vars(1);
    let epochs = |freeze: Freeze, unfreeze: Unfreeze| {
        let frozen = freeze.names(&vars).unwrap();
        let all = unfreeze.epochs(&frozen, &vars).unwrap();
        all.into_iter().map(|(name, epoch)| format!("{name}@{epoch}")).collect::<Vec<_>>().join(" ")
    };
    let norm = |epoch| {
        let names = ["norm.bias", "norm.running_mean", "norm.running_var", "norm.weight"];
        names.map(|name| format!("{name}@{epoch}")).join(" ")
    };
    assert_eq!(epochs(Freeze::None, Unfreeze::At(2)), "");
    assert_eq!(epochs(Freeze::FirstLayers(1), Unfreeze::Never), "");
    assert_eq!(epochs(Freeze::FirstLayers(1), Unfreeze::At(2)), "a.bias@2 a.weight@2");
    // The last layer first; dropout is none.
    let gradual = epochs(Freeze::FirstLayers(3), Unfreeze::Gradual(2));
    assert_eq!(gradual, format!("a.bias@6 a.weight@6 b.bias@4 b.weight@4 {}", norm(2)));
    let names = Unfreeze::names([("norm.*", 3), ("*.weight", 1)]);
    assert_eq!(epochs(Freeze::FirstLayers(3), names), format!("a.weight@1 b.weight@1 {}", norm(3)));
    let frozen = Freeze::FirstLayers(1).names(&vars).unwrap();
    let e = Unfreeze::names([("c.*", 1)]).epochs(&frozen, &vars).unwrap_err().to_string();
    assert!(e.contains("\"c.*\", which matches none"), "{e}");
    for (text, unfreeze) in [
        ("3", Unfreeze::At(3)),
        ("never", Unfreeze::Never),
        ("at:2", Unfreeze::At(2)),
        ("gradual", Unfreeze::Gradual(1)),
        ("gradual:2", Unfreeze::Gradual(2)),
        ("names:b.*@1|a.*@2", Unfreeze::names([("b.*", 1), ("a.*", 2)])),
    ] {
        assert_eq!(Unfreeze::parse(text).unwrap(), unfreeze, "{text}");
        let run = Settings::new().with("unfreeze", text);
        assert_eq!(Unfreeze::of_run(&run).unwrap(), Some(unfreeze), "{text}");
    }
    assert_eq!(Unfreeze::of_run(&Settings::new().with("unfreeze", 1)).unwrap(), Some(Unfreeze::At(1)));
    for text in ["names:a.*", "names:a.*@x", "gradualy"] {
        assert!(Unfreeze::parse(text).is_err(), "{text}");
    }
    for (unfreeze, part) in [
        (Unfreeze::At(0), "Unfreeze::At must be an epoch from 1 on"),
        (Unfreeze::At(5), "Unfreeze::At must be an epoch below 5, the number of epochs"),
        (Unfreeze::Gradual(0), "Unfreeze::Gradual must be at least 1 epoch"),
        (Unfreeze::Names(vec![]), "Unfreeze::Names must be at least one pattern"),
        (Unfreeze::names([("a[", 1)]), "Unfreeze::Names must be glob patterns"),
        (Unfreeze::names([("a.*", 7)]), "an epoch below 5"),
    ] {
        let e = unfreeze.check(5).unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
}

#[test]
fn a_warm_start_leaves_the_head_fresh() {
    let (source, target) = (vars(1).snapshot().unwrap(), vars(2));
    let before = target.snapshot().unwrap();
    let mut other = source.clone();
    other.insert("c.weight".into(), Tensor::zeros((7, 5), DType::F32, &CPU).unwrap());
    other.insert("c.bias".into(), Tensor::zeros(7, DType::F32, &CPU).unwrap());
    other.insert("old_head.bias".into(), Tensor::zeros(7, DType::F32, &CPU).unwrap());
    let start = WarmStart::new(other.clone()).unwrap();
    let e = start.load_into(&target).unwrap_err().to_string();
    assert!(e.contains("c.weight is f32 [7, 5] in place of f32 [1, 5]"), "{e}");
    assert!(e.contains("leave them fresh with WarmStart::except([\"c.*\"])"), "{e}");
    let e = start.clone().except(["c.*"]).load_into(&target).unwrap_err().to_string();
    assert!(e.contains("old_head.bias is not of this model"), "{e}");
    assert!(changed(&target.snapshot().unwrap(), &before).is_empty());
    start.clone().except(["c.*", "old_head.*"]).load_into(&target).unwrap();
    let kept = ["c.bias", "c.weight", "dropout.seed", "dropout.step"];
    let moved = changed(&target.snapshot().unwrap(), &before);
    assert!(!moved.is_empty() && moved.iter().all(|name| !kept.contains(&name.as_str())), "{moved:?}");
    let like_source = changed(&target.snapshot().unwrap(), &source);
    assert!(like_source.iter().all(|name| kept.contains(&name.as_str())), "{like_source:?}");
    // A head of the same shape stays fresh, too.
    target.load(&before).unwrap();
    WarmStart::new(source.clone()).unwrap().except(["c.*"]).load_into(&target).unwrap();
    assert_eq!(changed(&target.snapshot().unwrap(), &source), ["c.bias", "c.weight", "dropout.seed"]);
    // Everything else has to be there.
    other.remove("a.bias");
    let e =
        WarmStart::new(other).unwrap().except(["c.*", "old*"]).load_into(&target).unwrap_err().to_string();
    assert!(e.contains("a.bias is missing"), "{e}");
    let e = start.clone().except(["d.*"]).load_into(&target).unwrap_err().to_string();
    assert!(e.contains("WarmStart::except") && e.contains("\"d.*\", which matches none"), "{e}");
    assert_ne!(start.clone().except(["c.*"]), start.names(["c.*"]));
}

#[test]
fn each_run_has_a_warm_start_of_its_own() {
    let data = data();
    let sources = [1, 2].map(|seed| vars(seed).snapshot().unwrap());
    let starts = sources.clone().map(|weights| WarmStart::new(weights).unwrap());
    // The first layers are frozen, so they show where a run has started from.
    let each = Trainer::new(network).epochs(1).warm_starts(starts.clone()).freeze(2);
    let from = |id: usize, settings: Settings| -> Result<usize> {
        let mut run = RunSpec::new(id, "model", Seed::from(3), 0..data.rows() as u32);
        run.settings = settings;
        let (weights, _) = train_alone(&each, &data, &run, &CPU)?;
        let place =
            sources.iter().position(|source| numbers(&source["a.weight"]) == numbers(&weights["a.weight"]));
        Ok(place.unwrap())
    };
    assert_eq!((from(0, Settings::new()).unwrap(), from(1, Settings::new()).unwrap()), (0, 1));
    let chosen = |start: i32| Settings::new().with("warm_start", start);
    assert_eq!((from(0, chosen(1)).unwrap(), from(7, chosen(0)).unwrap()), (1, 0));
    for (outcome, part) in [
        (from(2, Settings::new()), "the warm start of run 2 must be one of the 2 that the trainer has"),
        (from(0, chosen(2)), "the warm start of run 0 must be one of the 2"),
    ] {
        let e = outcome.unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
    for trainer in [Trainer::new(network), Trainer::new(network).warm_start(starts[0].clone())] {
        let e = trained(&trainer, &data, chosen(0)).unwrap_err().to_string();
        assert!(e.contains("left unset without Trainer::warm_starts"), "{e}");
    }
    let [a, b] = starts;
    let tag = |starts: Vec<WarmStart>| crate::train::Learner::tag(&Trainer::new(network).warm_starts(starts));
    let tags = [tag(vec![a.clone(), b.clone()]), tag(vec![b.clone(), a.clone()]), tag(vec![a.clone()])];
    assert!(tags.iter().all(|one| tags.iter().filter(|other| *other == one).count() == 1));
    assert_ne!(tag(vec![a.clone()]), crate::train::Learner::tag(&Trainer::new(network).warm_start(a)));
}
