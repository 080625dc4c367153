//! Pools of networks that were trained elsewhere: where their weights come from, how they are matched, and what is held
//! out from them. The files of PyTorch in `tests/pretrained` are made by `tests/reference/torch_files.py` and, with PyTorch, by
//! `tests/reference/torch_saved.py`.
use crate::common::{bits, blobs, distance, CPU};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{EnsembleSelection, InverseError, Mean, SimplexLogLoss},
    data::{Dataset, TensorDataset},
    evaluate::Leaderboard,
    merge::{best_of, BestOf, MaxBarrier, MergeSpec},
    nn::{seq, Dropout, Sequential},
    plan::Settings,
    prune::Ordered,
    store::{DirectoryStore, Seen},
    strategy::{Bagging, KFold, MultiRun},
    train::{Optimizer, Pretrained, Trainer},
    weights::{RunWeights, StateDict, Weights},
    AnyNetwork, Ensemble, Error, LoadReport, Member, Pool, PoolBuilder, PretrainedMember, Result, Seed,
    Session,
};
use candle_nn::{batch_norm, linear, Activation, VarBuilder};
use rand::Rng;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

type Networks = Pretrained<Sequential>;

/// Two inputs, three hidden units, two classes.
fn network(vb: VarBuilder<'static>) -> CandleResult<Sequential> {
    Ok(seq().add(linear(2, 3, vb.pp("fc1"))?).add(Activation::Relu).add(linear(3, 2, vb.pp("fc2"))?))
}

fn torch_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pretrained").join(name)
}

fn tensor(rows: &[&[f32]]) -> Tensor {
    let flat: Vec<f32> = rows.concat();
    match rows {
        [one] => Tensor::new(*one, &CPU).unwrap(),
        _ => Tensor::from_vec(flat, (rows.len(), rows[0].len()), &CPU).unwrap(),
    }
}

/// The weights in `tests/pretrained/state_dict.pth`.
fn expected() -> Weights {
    let named = [
        ("fc1.weight", tensor(&[&[0.5, -1.], &[1.5, 2.], &[-0.25, 0.75]])),
        ("fc1.bias", tensor(&[&[0.125, -0.5, 0.]])),
        ("fc2.weight", tensor(&[&[1., 0.5, 2.], &[-1., -0.5, 0.25]])),
        ("fc2.bias", tensor(&[&[0.25, -0.75]])),
    ];
    named.map(|(name, tensor)| (name.to_string(), tensor)).into()
}

fn save(weights: &Weights, path: impl AsRef<Path>) {
    let tensors: HashMap<String, Tensor> = weights.clone().into_iter().collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn assert_same(weights: &Weights, expected: &Weights) {
    assert_eq!(weights.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, tensor) in weights {
        assert_eq!(tensor.dims(), expected[name].dims(), "{name}");
        assert_eq!((tensor.dtype(), bits(tensor)), (expected[name].dtype(), bits(&expected[name])), "{name}");
    }
}

/// Loads one network over `data`, strictly.
fn one<'a>(
    networks: &'a Networks,
    data: &'a dyn Dataset,
    weights: impl Into<StateDict>,
) -> Result<Pool<'a, Networks>> {
    let mut pool = PoolBuilder::new(networks, data);
    pool.add(PretrainedMember::new(weights, Seen::Nothing))?;
    pool.build()
}

fn why<T>(result: Result<T>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn every_source_gives_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let expected = expected();
    save(&expected, at("model.safetensors"));
    // Two shards with an index, in a folder, beside a file that is no checkpoint.
    let shards = at("shards");
    fs::create_dir(&shards).unwrap();
    let mut map = serde_json::Map::new();
    for (i, (name, tensor)) in expected.iter().enumerate() {
        let file = format!("model-{}.safetensors", i % 2);
        map.insert(name.clone(), file.into());
        let mut shard: Weights = Weights::from([(name.clone(), tensor.clone())]);
        if i >= 2 {
            shard.append(
                &mut StateDict::open(shards.join(format!("model-{}.safetensors", i % 2)))
                    .unwrap()
                    .to_weights()
                    .unwrap(),
            );
        }
        save(&shard, shards.join(format!("model-{}.safetensors", i % 2)));
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    fs::write(shards.join("model.safetensors.index.json"), index.to_string()).unwrap();
    // PyTorch's form of the same.
    let torch = at("torch");
    fs::create_dir(&torch).unwrap();
    fs::copy(torch_file("state_dict.pth"), torch.join("pytorch_model-1.bin")).unwrap();
    let map: HashMap<&String, &str> = expected.keys().map(|name| (name, "pytorch_model-1.bin")).collect();
    let index = serde_json::json!({ "weight_map": map });
    fs::write(torch.join("pytorch_model.bin.index.json"), index.to_string()).unwrap();

    let data = blobs(1, 12, 2, 0.5);
    let networks = Pretrained::new(network);
    let paths = [
        at("model.safetensors"),
        shards.join("model.safetensors.index.json"),
        shards,
        torch_file("state_dict.pth"),
        torch_file("old_form.pth"),
        torch.join("pytorch_model.bin.index.json"),
        torch,
    ];
    let x = tensor(&[&[1., 2.], &[0., 0.]]);
    for path in paths {
        let pool = one(&networks, &data, StateDict::open(&path).unwrap()).unwrap();
        assert_same(&pool.members()[0].weights, &expected);
        // By hand: relu(−1.375, 5, 1.25), and relu(0.125, −0.5, 0).
        let y = pool.network(0).unwrap().forward(&x).unwrap();
        assert_eq!(y.to_vec2::<f32>().unwrap(), [[5.25, -2.9375], [0.375, -0.875]], "{}", path.display());
    }

    // This library's own files: of an ensemble and of a store; and tensors in memory.
    let pool = one(&networks, &data, &expected).unwrap();
    assert_same(&pool.members()[0].weights, &expected);
    pool.combine(&Mean).unwrap().save(at("ensemble.safetensors")).unwrap();
    fs::write(at("member.safetensors"), pool.members()[0].to_bytes().unwrap()).unwrap();
    for name in ["ensemble.safetensors", "member.safetensors"] {
        let members = Member::read_all(at(name)).unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].record, pool.members()[0].record);
        assert_same(&members[0].weights, &expected);
    }
    // As any safetensors file, an ensemble's can be read by name.
    let by_name = StateDict::open(at("ensemble.safetensors")).unwrap();
    let by_name = by_name.map_names(|name| name.strip_prefix("00000/").map(Into::into)).unwrap();
    assert_same(&by_name.to_weights().unwrap(), &expected);
}

#[test]
fn members_are_read_from_damaged_and_foreign_files_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    assert!(matches!(Member::read_all(&path), Err(Error::Io { .. })));
    fs::write(&path, b"{}").unwrap();
    assert!(matches!(Member::read_all(&path), Err(Error::Foreign { .. })));
    let data = blobs(1, 12, 2, 0.5);
    let networks = Pretrained::new(network);
    let pool = one(&networks, &data, expected()).unwrap();
    for bytes in [pool.members()[0].to_bytes().unwrap(), pool.combine(&Mean).unwrap().to_bytes().unwrap()] {
        let mut bytes = bytes;
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Member::read_all(&path), Err(Error::Damaged { .. })));
    }
}

#[test]
fn names_are_mapped_and_types_converted() {
    let data = blobs(1, 12, 2, 0.5);
    let networks = Pretrained::new(network);
    let checkpoint = || StateDict::open_key(torch_file("checkpoint.pt"), "state_dict").unwrap();
    let own = ["fc1.", "fc2."];
    let only = |name: &str| own.iter().any(|own| name.starts_with(own)).then(|| name.to_string());

    let dict = checkpoint().strip_prefix("module.").unwrap().map_names(only).unwrap();
    let kinds: Vec<_> = dict.names().map(|name| dict.dtype(name).unwrap()).collect();
    assert_eq!(kinds, [DType::F32, DType::F16, DType::F32, DType::BF16]);
    let e = why(one(&networks, &data, dict.clone()));
    for part in [
        "fc1.weight is f16 [3, 2] in place of f32 [3, 2] (StateDict::to_dtype converts floats)",
        "fc2.weight is bf16 [2, 3] in place of f32 [2, 3]",
        "checkpoint.pt",
    ] {
        assert!(e.contains(part), "{e}");
    }
    assert!(!e.contains("bias"), "{e}");
    // All numbers of the file are exact in the short types.
    let pool = one(&networks, &data, dict.to_dtype(DType::F32)).unwrap();
    assert_same(&pool.members()[0].weights, &expected());

    // Other types: integers as they are, and one that candle lacks when it is read.
    let dict = checkpoint();
    let ints = |name: &str| dict.tensor(name).unwrap();
    assert_eq!(ints("module.bn.num_batches_tracked").to_scalar::<i64>().unwrap(), 1 << 40);
    assert_eq!(ints("module.ids").to_vec1::<i32>().unwrap(), [3, -4]);
    assert_eq!(ints("module.mask").to_vec1::<u8>().unwrap(), [1, 0]);
    assert_eq!(ints("module.double").to_vec1::<f64>().unwrap(), [0.1]);
    assert_eq!((dict.dtype("module.int8"), dict.shape("module.int8")), (None, Some(&[2][..])));
    let e = why(dict.tensor("module.int8"));
    assert!(e.contains(r#"its tensor "module.int8" is of type i8, which candle lacks"#), "{e}");
    assert!(!dict.names().any(|name| name.contains("note")), "texts are no tensors");
    let ema = StateDict::open_key(torch_file("checkpoint.pt"), "ema").unwrap();
    assert_eq!(ema.names().collect::<Vec<_>>(), ["fc1.weight"]);
}

#[test]
fn files_of_pytorch_that_cannot_be_read_are_refused_with_the_reason() {
    let opened = |name: &str| why(StateDict::open(torch_file(name)));
    for (name, reason) in [
        (
            "checkpoint.pt",
            r#"no tensors at its top; the keys whose dictionaries have some are: "state_dict", "ema""#,
        ),
        (
            "whole_model.pt",
            "an object of my_models.Net in place of a dictionary of tensors; save model.state_dict()",
        ),
        ("beyond.pt", r#"its tensor "w" lies beyond the end of its data"#),
        ("big_endian.pt", "big-endian"),
        ("compressed.pt", "is compressed, which torch.save does not do"),
    ] {
        let e = opened(name);
        assert!(e.contains(reason) && e.contains(name), "{e}");
    }
    let e = why(StateDict::open_key(torch_file("checkpoint.pt"), "model"));
    assert!(e.contains(r#"it has no dictionary "model"; those with tensors are:"#), "{e}");

    for (name, reason) in [
        ("expanded.pt", r#"its tensor "w" repeats elements of its data"#),
        ("sparse.pt", "a kind that is not read (_rebuild_sparse_tensor)"),
    ] {
        let e = why(StateDict::open(torch_file(name)).unwrap().tensor("w"));
        assert!(e.contains(reason) && e.contains(name), "{e}");
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pth");
    fs::write(&path, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.").unwrap();
    let e = StateDict::open(&path).unwrap_err();
    assert!(matches!(e, Error::Damaged { .. }) && e.to_string().contains("cut short"), "{e}");
    fs::write(&path, b"\x80\x02}q\x00.").unwrap();
    assert!(why(StateDict::open(&path)).contains("a Python pickle that torch.save did not write"));
    fs::write(&path, b"version https://git-lfs.github.com/spec/v1\n").unwrap();
    assert!(why(StateDict::open(&path)).contains("Git LFS pointer"));
    assert!(why(StateDict::open(folder.path().join("none"))).contains("none"));
    save(&expected(), &path);
    assert!(why(StateDict::open_key(&path, "state_dict")).contains("no PyTorch file, so it has no keys"));
    assert_eq!(StateDict::open(&path).unwrap().len(), 4, "the name of a file does not matter");
}

/// A checkpoint of a training program, written by PyTorch: what is no tensor is left, whatever it is, and tensors of kinds that
/// are not read do not keep the others from being read.
#[test]
fn what_pytorch_saves_beside_a_network_does_no_harm() {
    let saved = torch_file("saved.pt");
    let e = why(StateDict::open(&saved));
    let listed =
        r#"it has only 1 tensors at its top; the keys whose dictionaries have some are: "model.net", "odd""#;
    assert!(e.contains(listed), "{e}");
    assert_eq!(StateDict::open_key(&saved, "").unwrap().names().collect::<Vec<_>>(), ["generator"]);
    let e = why(StateDict::open_key(&saved, "model"));
    assert!(
        e.contains(r#"no tensors under this key"#) && e.contains(r#""model.net" (StateDict::open_key)"#),
        "{e}"
    );
    let e = why(StateDict::open_key(&saved, "model.ema"));
    assert!(
        e.contains(r#"it has no dictionary "model.ema"; those with tensors are: "model.net", "odd""#),
        "{e}"
    );
    let net = StateDict::open_key(&saved, "model.net").unwrap().strip_prefix("module.").unwrap();
    assert_same(&net.to_weights().unwrap(), &expected());

    let odd = StateDict::open_key(&saved, "odd").unwrap();
    assert_eq!(odd.tensor("good").unwrap().to_vec1::<f32>().unwrap(), [1., 1.]);
    assert_eq!(odd.tensor("u32").unwrap().to_vec1::<u32>().unwrap(), [1, u32::MAX]);
    for (name, reason) in [
        ("sparse", "of a kind that is not read (_rebuild_sparse_tensor)"),
        ("quantized", "of a kind that is not read (_rebuild_qtensor)"),
        ("meta", "of a kind that is not read (_rebuild_meta_tensor_no_storage)"),
        ("expanded", "repeats elements of its data (an expanded tensor)"),
        ("complex", "is of type c64, which candle lacks"),
        ("u16", "is of type u16, which candle lacks"),
        ("f8", "is of type f8_e5m2, which candle lacks"),
    ] {
        let e = why(odd.tensor(name));
        assert!(e.contains(&format!("its tensor {name:?} ")) && e.contains(reason), "{e}");
    }
    assert_eq!((odd.len(), odd.shape("expanded"), odd.dtype("u16")), (9, Some(&[4][..]), None));
    let kept = odd.map_names(|name| (name == "good").then(|| name.into())).unwrap();
    assert_eq!(kept.to_weights().unwrap().len(), 1);
}

/// Whatever happens to the bytes of a file, it is read or refused: no panic, no large allocation.
#[test]
fn damaged_files_of_pytorch_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let attempt = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        StateDict::open(&path).and_then(|dict| dict.to_weights())
    };
    for name in ["state_dict.pth", "old_form.pth"] {
        let whole = fs::read(torch_file(name)).unwrap();
        let mut rng = Seed::from(7).rng();
        assert_same(&attempt(&whole).unwrap(), &expected());
        for end in (0..whole.len()).step_by(7) {
            let e = attempt(&whole[..end]).unwrap_err();
            assert!(matches!(e, Error::Damaged { .. }) || end < 8, "{name} {end}: {e}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] = rng.random();
            _ = attempt(&bytes);
        }
    }
}

#[test]
fn what_does_not_match_is_listed_and_only_a_lenient_load_goes_on() {
    let data = blobs(1, 12, 2, 0.5);
    let networks = Pretrained::new(network);
    let mut weights = expected();
    weights.insert("old_head.weight".into(), weights["fc2.weight"].clone());
    weights.remove("fc2.weight");
    weights.remove("fc2.bias");

    let e = one(&networks, &data, &weights).err().unwrap();
    assert!(matches!(e, Error::Incompatible { .. }));
    let e = e.to_string();
    let listed = "fc2.bias is missing; fc2.weight is missing; old_head.weight is not of this network";
    assert!(
        e.contains(listed) && e.contains(r#"the network "model" and the weights of tensors in memory"#),
        "{e}"
    );

    let load = |seed: u64| {
        let mut pool = PoolBuilder::new(&networks, &data).seed(seed);
        let report = pool.add(PretrainedMember::new(&weights, Seen::Nothing).strict(false)).unwrap();
        let second = pool.add(PretrainedMember::new(&weights, Seen::Nothing).strict(false)).unwrap();
        assert_eq!(report, second);
        (report, pool.build().unwrap().members().iter().map(|m| m.weights.clone()).collect::<Vec<_>>())
    };
    let (report, loaded) = load(5);
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected_report =
        LoadReport { missing: own(&["fc2.bias", "fc2.weight"]), unexpected: own(&["old_head.weight"]) };
    assert_eq!((report.is_exact(), &report), (false, &expected_report));
    assert_eq!(report.to_string(), listed);
    assert_eq!(bits(&loaded[0]["fc1.weight"]), bits(&weights["fc1.weight"]));
    assert_ne!(bits(&loaded[0]["fc2.weight"]), bits(&loaded[1]["fc2.weight"]), "each draws its own");
    assert_same(&load(5).1[1], &loaded[1]);
    assert_ne!(bits(&load(6).1[1]["fc2.weight"]), bits(&loaded[1]["fc2.weight"]), "by the seed of the pool");

    // Shapes have to fit in both modes, and at least one name.
    weights.insert("fc1.weight".into(), tensor(&[&[1., 2., 3.], &[4., 5., 6.]]));
    for strict in [true, false] {
        let mut pool = PoolBuilder::new(&networks, &data);
        let e = why(pool.add(PretrainedMember::new(&weights, Seen::Nothing).strict(strict)));
        assert!(e.contains("fc1.weight is f32 [2, 3] in place of f32 [3, 2]"), "{e}");
        let other = StateDict::from(expected()).add_prefix("bert.");
        let e = why(pool.add(PretrainedMember::new(other, Seen::Nothing).strict(strict)));
        assert!(e.contains(r#"the names have a prefix: StateDict::strip_prefix("bert.")"#), "{e}");
        assert_eq!(why(pool.build()), "a pool must be of at least one member, but is empty");
    }
}

#[test]
fn networks_that_do_not_fit_are_refused_when_they_are_added() {
    let networks = Pretrained::new(network);
    let (two, three) = (blobs(1, 12, 2, 0.5), blobs(1, 12, 3, 0.5));
    let e = why(one(&networks, &three, expected()));
    assert!(
        e.contains("tensors in memory") && e.contains("[2, 3] for 3 classes") && e.contains("[2, 2]"),
        "{e}"
    );
    let mut weights = expected();
    weights.insert("fc1.bias".into(), tensor(&[&[0., f32::NAN, 0.]]));
    let e = why(one(&networks, &two, &weights));
    assert_eq!(e, "fc1.bias[1] of tensors in memory must be finite, but is NaN");
    let mut pool = PoolBuilder::new(&networks, &two);
    let e = why(pool.add(PretrainedMember::new(expected(), Seen::rows([3, 12]))));
    assert_eq!(
        e,
        "a row that a network has seen must be below 12, the number of rows of the data, but is 12"
    );
    let e = why(pool.add(PretrainedMember::new(expected(), Seen::Nothing).architecture("large")));
    assert_eq!(e, "the architecture must be one of model, but is \"large\"");
    for (columns, reason) in
        [(vec![0, 2], "below 2, the number of columns of the inputs"), (vec![], "below 2")]
    {
        let e = why(pool.add(PretrainedMember::new(expected(), Seen::Nothing).features(columns)));
        assert!(e.contains(reason), "{e}");
    }
    let x = Tensor::zeros((4, 1, 2), DType::F32, &CPU).unwrap();
    let pictures = TensorDataset::classification(x, &Tensor::new(&[0u32, 1, 0, 1], &CPU).unwrap()).unwrap();
    let mut pool = PoolBuilder::new(&networks, &pictures);
    let e = why(pool.add(PretrainedMember::new(expected(), Seen::Nothing).features([0])));
    assert!(e.contains("the inputs whose columns [0] are chosen must be (N, D), but are [2, 1, 2]"), "{e}");
}

#[test]
fn batch_norm_of_pytorch_and_seeded_dropout_load_strictly() {
    let new = |vb: VarBuilder<'static>| {
        let hidden = seq().add(linear(2, 3, vb.pp("fc1"))?).add(batch_norm(3, 1e-5, vb.pp("bn"))?);
        Ok(hidden.add(Dropout::new(0.5, vb.pp("dropout"))?).add(linear(3, 2, vb.pp("fc2"))?))
    };
    let networks = Pretrained::new(new);
    let data = blobs(1, 12, 2, 0.5);
    let mut weights = expected();
    for name in ["weight", "running_var", "bias", "running_mean"] {
        weights.insert(format!("bn.{name}"), tensor(&[&[1., 2., 3.]]));
    }
    weights.insert("bn.num_batches_tracked".into(), Tensor::new(9i64, &CPU).unwrap());
    let mut pool = PoolBuilder::new(&networks, &data);
    assert!(pool.add(PretrainedMember::new(&weights, Seen::Nothing)).unwrap().is_exact());
    let pool = pool.build().unwrap();
    let loaded = &pool.members()[0].weights;
    assert!(
        !loaded.contains_key("bn.num_batches_tracked")
            && loaded.keys().any(|name| name.starts_with("dropout"))
    );
    let once = pool.predictions(data.inputs()).unwrap();
    let again = pool.predictions(data.inputs()).unwrap();
    assert_eq!(bits(once.values()), bits(again.values()), "no dropout in prediction");
}

#[test]
fn architectures_settings_columns_and_slots_are_those_of_the_member() {
    let wide = |settings: &Settings, vb: VarBuilder<'static>| {
        let width = settings.count("width")?.unwrap_or(1);
        let hidden = seq().add(linear(1, width, vb.pp("a"))?).add(Activation::Relu);
        Ok(AnyNetwork::new(hidden.add(linear(width, 2, vb.pp("b"))?)))
    };
    let networks = Pretrained::new(|vb| Ok(AnyNetwork::new(network(vb)?))).architecture_reading("wide", wide);
    let data = blobs(1, 20, 2, 0.5);
    let weights = |width: usize| {
        let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &CPU).unwrap();
        let named = [
            ("a.weight", ones(&[width, 1])),
            ("a.bias", ones(&[width])),
            ("b.weight", ones(&[2, width])),
            ("b.bias", tensor(&[&[0., 1.]])),
        ];
        Weights::from(named.map(|(name, tensor)| (name.to_string(), tensor)))
    };
    let mut pool = PoolBuilder::new(&networks, &data);
    pool.add(PretrainedMember::new(expected(), Seen::rows(0..10)).slot(0)).unwrap();
    pool.add(PretrainedMember::new(expected(), Seen::rows(10..20)).slot(0)).unwrap();
    for width in [4, 7] {
        let member = PretrainedMember::new(weights(width), Seen::Nothing).architecture("wide").slot(width);
        pool.add(member.settings(Settings::new().with("width", width as i64)).features([1])).unwrap();
    }
    let pool = pool.build().unwrap();
    assert_eq!((pool.members().len(), pool.slots()), (4, 3));
    assert_eq!(pool.names(), ["model 0", "wide 2", "wide 3"]);
    // The networks of the first slot have seen different halves, so that it predicts every row.
    let held_out = pool.held_out().unwrap();
    assert_eq!(held_out.rows().len(), 20);
    assert!(held_out.complete_rows().unwrap().rows().len() == 20);
    let alone = one_member_predictions(&data);
    let own = held_out.predictions().values().get(0).unwrap();
    assert!(distance(&own, &alone) < 1e-6);
    let ensemble = pool.combine(&InverseError::new()).unwrap();
    assert_eq!(ensemble.predict(data.inputs()).unwrap().dims(), [20]);
    // Merging says what differs.
    let any = MaxBarrier::new(f64::INFINITY).rows(&[0, 1, 2]);
    let e = why(pool.merge(&MergeSpec::average(RunWeights::Uniform), &any));
    assert!(e.contains("their architectures are model and wide"), "{e}");
}

fn one_member_predictions(data: &TensorDataset) -> Tensor {
    let networks = Pretrained::new(network);
    let pool = one(&networks, data, expected()).unwrap();
    pool.predictions(data.inputs()).unwrap().values().get(0).unwrap()
}

/// Labels that have nothing to do with the inputs, and linear models that have learned those of the first half by
/// heart: their accuracy is 1 on it, and that of chance on all other rows.
struct ByHeart {
    data: TensorDataset,
    new_rows: TensorDataset,
    weights: Vec<Weights>,
    networks: Pretrained<candle_nn::Linear>,
}

const FEATURES: usize = 60;
const ROWS: u32 = 80;

fn by_heart() -> ByHeart {
    let random = |seed: u64| {
        let mut rng = Seed::from(seed).rng();
        let x: Vec<f32> = (0..ROWS as usize * FEATURES).map(|_| rng.random_range(-1. ..1.)).collect();
        let y: Vec<u32> = (0..ROWS).map(|_| rng.random_range(0..2)).collect();
        let x = Tensor::from_vec(x, (ROWS as usize, FEATURES), &CPU).unwrap();
        TensorDataset::classification(x, &Tensor::new(y, &CPU).unwrap()).unwrap()
    };
    let data = random(1);
    let half: Vec<u32> = (0..ROWS / 2).collect();
    let half = data.batch(&half, &CPU).unwrap();
    let half = TensorDataset::classification(half.inputs.only().unwrap(), &half.targets).unwrap();
    let new = |vb: VarBuilder<'static>| linear(FEATURES, 2, vb);
    let trainer = Trainer::new(new).optimizer(Optimizer::adam(0.05)).epochs(60);
    let trained = Session::new(&trainer, &half).fit(&MultiRun::new(3), 3).unwrap();
    let weights = trained.members().iter().map(|member| member.weights.clone()).collect();
    ByHeart { data, new_rows: random(2), weights, networks: Pretrained::new(new) }
}

impl ByHeart {
    fn pool(&self, seen: &Seen) -> Pool<'_, Pretrained<candle_nn::Linear>> {
        let mut pool = PoolBuilder::new(&self.networks, &self.data);
        for weights in &self.weights {
            pool.add(PretrainedMember::new(weights, seen.clone())).unwrap();
        }
        pool.build().unwrap()
    }
}

#[test]
fn held_out_rows_are_those_that_no_network_has_seen() {
    let by_heart = by_heart();
    // In any order, with repetitions.
    let pool = by_heart.pool(&Seen::rows((0..ROWS / 2).rev().chain([0, 3])));
    let clean: Vec<u32> = (ROWS / 2..ROWS).collect();
    assert_eq!(pool.unseen(), clean);
    let held_out = pool.held_out().unwrap();
    assert_eq!(held_out.rows(), clean);
    let accuracy = held_out.metrics(&Mean).unwrap().headline();
    assert!((0.25..0.75).contains(&accuracy), "{accuracy}: there is nothing to learn");
    // What those figures would be whose rows the networks have learned: the declaration decides.
    let wrong = by_heart.pool(&Seen::Nothing);
    let half: Vec<u32> = (0..ROWS / 2).collect();
    let learned = wrong.held_out().unwrap().select(&half).unwrap().metrics(&Mean).unwrap().headline();
    assert_eq!(learned, 1.);
    let report = pool.judge(&InverseError::new()).unwrap();
    assert!(report.score.metrics.headline() < 0.75, "{report}");
    // Rows 0 to 3 are of one person, and so on: whoever has seen one row of a person has seen the person.
    let people = by_heart.data.clone().with_groups((0..ROWS).map(|row| row / 4).collect()).unwrap();
    let mut pool = PoolBuilder::new(&by_heart.networks, &people);
    pool.add(PretrainedMember::new(&by_heart.weights[0], Seen::rows([2, 9]))).unwrap();
    let unseen: Vec<u32> = (4..8).chain(12..ROWS).collect();
    assert_eq!(pool.build().unwrap().unseen(), unseen);
}

#[test]
fn unknown_rows_refuse_everything_that_is_fitted_or_chosen_on_the_pools_rows() {
    let by_heart = by_heart();
    let pool = by_heart.pool(&Seen::Unknown);
    assert!(pool.unseen().is_empty());
    let rows: Vec<u32> = (0..ROWS).collect();
    let sets = candle_ensemble::conformal::ClassSets::new(0.1);
    let refused: [(&str, Error); 8] = [
        ("conformal", pool.conformal(&Mean, &sets).err().unwrap()),
        ("held_out", pool.held_out().err().unwrap()),
        ("judge", pool.judge(&Mean).err().unwrap()),
        ("combine", pool.combine(&SimplexLogLoss::new()).err().unwrap()),
        ("prune", pool.prune(&Ordered::reduce_error()).err().unwrap()),
        ("best_of", best_of(&pool, &BestOf::new()).err().unwrap()),
        ("best_of rows", best_of(&pool, &BestOf::new().rows(&rows)).err().unwrap()),
        (
            "merge",
            pool.merge(&MergeSpec::average(RunWeights::Uniform), &MaxBarrier::new(f64::INFINITY))
                .err()
                .unwrap(),
        ),
    ];
    for (what, e) in refused {
        assert!(matches!(e, Error::UnknownRows { .. }), "{what}: {e}");
        let e = e.to_string();
        for part in ["which rows shaped model 0, model 1, model 2", "Seen::Rows", "Pool::on_new_data"] {
            assert!(e.contains(part), "{what}: {e}");
        }
    }
    // A leaderboard has no held-out figures then, and says why a rule cannot be fitted.
    let board = Leaderboard::of(&pool).combinations("mean,inverse-error").unwrap().measure().unwrap();
    assert!(board.rows.iter().all(|row| row.held_out_score.is_none() && row.seen_rows.is_none()));
    let failed = board.rows.iter().find(|row| row.name == "inverse-error").unwrap();
    assert!(failed.failure.as_ref().unwrap().contains("Pool::on_new_data"), "{board}");
    assert!(board.to_string().contains("unknown"));

    // What needs no rows works, and the declaration is kept.
    let ensemble = pool.combine(&Mean).unwrap();
    let loaded =
        Ensemble::<_, Mean>::from_bytes(&ensemble.to_bytes().unwrap(), &by_heart.networks, &CPU).unwrap();
    assert!(loaded.members().iter().all(|member| member.record.seen_unknown));
    assert_eq!(Seen::of(&loaded.members()[0].record), Seen::Unknown);
    // One network of unknown origin among others is enough; without it all is well.
    let mut mixed = PoolBuilder::new(&by_heart.networks, &by_heart.data);
    for (weights, seen) in
        by_heart.weights.iter().zip([Seen::Nothing, Seen::Unknown, Seen::rows(0..ROWS / 2)])
    {
        mixed.add(PretrainedMember::new(weights, seen)).unwrap();
    }
    let mixed = mixed.build().unwrap();
    assert!(why(mixed.held_out()).contains("which rows shaped model 1, so"));
    assert_eq!(mixed.select_slots(&[0, 2]).unwrap().held_out().unwrap().rows().len(), ROWS as usize);
}

#[test]
fn on_new_data_every_row_is_held_out_from_every_network() {
    let by_heart = by_heart();
    for seen in [Seen::Unknown, Seen::rows(0..ROWS / 2), Seen::Nothing] {
        let own = by_heart.pool(&seen);
        let pool = own.on_new_data(&by_heart.new_rows).unwrap();
        let held_out = pool.held_out().unwrap();
        assert_eq!((held_out.rows().len(), pool.unseen().len()), (ROWS as usize, ROWS as usize));
        let predicted = own.predictions_on(&by_heart.new_rows).unwrap();
        assert!(distance(held_out.predictions().values(), predicted.values()) < 1e-6);
        let accuracy = held_out.metrics(&Mean).unwrap().headline();
        assert!((0.25..0.75).contains(&accuracy), "{accuracy}");
        // Everything that is fitted, judged or chosen.
        pool.judge(&InverseError::new()).unwrap();
        let pruned = pool.prune(&Ordered::reduce_error().members(2)).unwrap();
        assert_eq!((pruned.slots(), pruned.held_out().unwrap().rows().len()), (2, ROWS as usize));
        let best = best_of(&pool, &BestOf::new().align(false)).unwrap();
        assert_eq!(best.report.rows, ROWS as usize);
        assert!(!best.report.out_of_bag && best.report.candidates.iter().all(|c| c.failure.is_none()));
        let ensemble = pool.combine(&EnsembleSelection::new(10)).unwrap();
        // The ensemble keeps the records, which speak of the data of the training.
        assert!(ensemble.members().iter().all(|member| Seen::of(&member.record)
            == match &seen {
                Seen::Nothing => Seen::rows([]),
                seen => seen.clone(),
            }));
        let board = Leaderboard::of(&pool).combinations("inverse-error").unwrap().measure().unwrap();
        let rule = board.rows.iter().find(|row| !row.is_member).unwrap();
        let known = match seen {
            Seen::Unknown => None,
            Seen::Rows(_) => Some((ROWS / 2 + ROWS) as usize),
            Seen::Nothing => Some(ROWS as usize),
        };
        assert_eq!((rule.seen_rows, rule.held_out_rows), (known, ROWS as usize), "{board}");
    }
    let pool = by_heart.pool(&Seen::Unknown);
    assert!(why(pool.on_new_data(&by_heart.data.clone())).contains("another one than the pool's own"));
    let values = TensorDataset::regression(
        by_heart.data.inputs(),
        &Tensor::zeros(ROWS as usize, DType::F32, &CPU).unwrap(),
    );
    assert!(why(pool.on_new_data(&values.unwrap())).contains("the task of the new data"));
}

#[test]
fn a_pool_of_pretrained_networks_is_pruned_merged_compared_and_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (data, networks) = (blobs(4, 60, 2, 0.4), Pretrained::new(network));
    // Four networks that were fine-tuned from one, on the first forty rows.
    let first: Vec<u32> = (0..40).collect();
    let first = data.batch(&first, &CPU).unwrap();
    let first = TensorDataset::classification(first.inputs.only().unwrap(), &first.targets).unwrap();
    let trainer = Trainer::new(network).optimizer(Optimizer::adam(0.05)).epochs(4);
    let start =
        Session::new(&trainer, &first).fit(&MultiRun::new(1), 1).unwrap().members()[0].weights.clone();
    let start = candle_ensemble::train::WarmStart::new(start).unwrap();
    let trainer = Trainer::new(network).optimizer(Optimizer::adam(0.01)).epochs(2).warm_start(start);
    let tuned = Session::new(&trainer, &first).fit(&Bagging::new(4), 2).unwrap();
    let mut pool = PoolBuilder::new(&networks, &data).seed(9);
    for (i, member) in tuned.members().iter().enumerate() {
        let path = folder.path().join(format!("{i}.safetensors"));
        save(&member.weights, &path);
        pool.add(PretrainedMember::new(StateDict::open(&path).unwrap(), Seen::rows(0..40))).unwrap();
    }
    let pool = pool.build().unwrap();
    assert_eq!((pool.seed(), pool.unseen()), (Seed::from(9), (40..60).collect::<Vec<u32>>()));

    let pruned = pool.prune(&Ordered::reduce_error().members(2)).unwrap();
    assert_eq!(pruned.members().len(), 2);
    let any = MaxBarrier::new(f64::INFINITY);
    let merged = pool.merge(&MergeSpec::average(RunWeights::Uniform), &any).unwrap();
    assert_eq!(merged.rows, (20, 0));
    let record = &merged.pool.members()[0].record;
    assert_eq!((record.seen.len(), record.seen_unknown), (40, false));
    let mean = |name: &str| {
        let all: Vec<Tensor> = tuned.members().iter().map(|member| member.weights[name].clone()).collect();
        Tensor::stack(&all, 0).unwrap().mean(0).unwrap()
    };
    for (name, tensor) in merged.weights() {
        assert!(distance(tensor, &mean(name)) < 1e-6, "{name}");
    }
    let best = best_of(&pool, &BestOf::new()).unwrap();
    assert_eq!(best.report.rows, 20);
    assert!(best.report.candidates.iter().all(|candidate| candidate.failure.is_none()), "{}", best.report);

    let ensemble = pool.combine(&SimplexLogLoss::new()).unwrap();
    let path = folder.path().join("ensemble.safetensors");
    ensemble.save(&path).unwrap();
    let loaded = Ensemble::<_, <SimplexLogLoss as candle_ensemble::combine::Combiner>::Fitted>::load(
        &path, &networks, &CPU,
    );
    let [a, b] = [&ensemble, &loaded.unwrap()].map(|e| e.predict_proba(data.inputs()).unwrap());
    assert_eq!(bits(&a), bits(&b));

    // Of unknown rows: measured on rows that the caller sets, and what comes of it is of unknown origin too.
    let mut unknown = PoolBuilder::new(&networks, &data);
    for member in pool.members() {
        unknown.add(PretrainedMember::of_member(member, Seen::Unknown)).unwrap();
    }
    let unknown = unknown.build().unwrap();
    let rows: Vec<u32> = (40..60).collect();
    let on_rows = MaxBarrier::new(f64::INFINITY).rows(&rows);
    let merged = unknown.merge(&MergeSpec::average(RunWeights::Uniform), &on_rows).unwrap();
    assert_eq!(merged.rows, (20, 20), "any of them may have shaped the networks");
    assert!(merged.to_string().contains("20 of which may have shaped a network"), "{merged}");
    assert!(merged.pool.members()[0].record.seen_unknown && merged.pool.held_out().is_err());
    let other = blobs(5, 30, 2, 0.4);
    let rows: Vec<u32> = (0..30).collect();
    assert_eq!(best_of(&unknown, &BestOf::new().data(&other, &rows)).unwrap().report.rows, 30);
}

#[test]
fn batch_norm_networks_are_merged_with_statistics_of_rows_that_are_known_or_named() {
    let new = |vb: VarBuilder<'static>| {
        let hidden = seq().add(linear(2, 3, vb.pp("fc1"))?).add(batch_norm(3, 1e-5, vb.pp("bn"))?);
        Ok(hidden.add(linear(3, 2, vb.pp("fc2"))?))
    };
    let (networks, data) = (Pretrained::new(new), blobs(4, 60, 2, 0.4));
    let weights = |scale: f64| {
        let mut weights = expected();
        weights.insert("fc1.weight".into(), (&weights["fc1.weight"] * scale).unwrap());
        for name in ["weight", "running_var", "bias", "running_mean"] {
            weights.insert(format!("bn.{name}"), Tensor::ones(3, DType::F32, &CPU).unwrap());
        }
        weights
    };
    let pool = |seen: Seen| {
        let mut pool = PoolBuilder::new(&networks, &data);
        for scale in [1., 3.] {
            pool.add(PretrainedMember::new(weights(scale), seen.clone())).unwrap();
        }
        pool.build().unwrap()
    };
    let rows: Vec<u32> = (40..60).collect();
    let measured = MaxBarrier::new(f64::INFINITY).rows(&rows);
    let spec = MergeSpec::average(RunWeights::Uniform);
    let own: Vec<u32> = (0..40).collect();
    let known = pool(Seen::rows(0..40)).merge(&spec, &measured).unwrap();
    for seen in [Seen::Nothing, Seen::Unknown] {
        let e = why(pool(seen.clone()).merge(&spec, &measured));
        assert!(e.contains("MergeSpec::statistics_rows") && e.contains("but is 0"), "{e}");
        let named = spec.clone().statistics_rows(own.clone());
        let merged = pool(seen.clone()).merge(&named, &measured).unwrap();
        assert_same(merged.weights(), known.weights());
        // The rows count as seen by the result.
        assert_eq!(merged.pool.members()[0].record.seen, own);
        assert_eq!(merged.pool.members()[0].record.seen_unknown, seen == Seen::Unknown);
        let (pool, other) = (pool(seen.clone()), blobs(6, 30, 2, 0.4));
        let all: Vec<u32> = (0..30).collect();
        let options = BestOf::new().data(&other, &all).align(false);
        let soups = |options: &BestOf<'_>| {
            let candidates = best_of(&pool, options).unwrap().report.candidates.into_iter();
            candidates
                .filter(|candidate| candidate.name.ends_with("soup") && candidate.score.is_some())
                .count()
        };
        assert_eq!((soups(&options), soups(&options.statistics_rows(&own))), (0, 2));
    }
    // By hand: the mean of the hidden units over the forty rows.
    let x = data.batch(&own, &CPU).unwrap().inputs.only().unwrap().clone();
    let w = known.weights()["fc1.weight"].t().unwrap();
    let mean = x.matmul(&w).unwrap().mean(0).unwrap().add(&known.weights()["fc1.bias"]).unwrap();
    assert!(distance(&known.weights()["bn.running_mean"], &mean) < 1e-5);
    let other = blobs(5, 30, 2, 0.4);
    let on_new = pool(Seen::Unknown);
    let on_new = on_new.on_new_data(&other).unwrap();
    let e = why(on_new.merge(&spec.statistics_rows([0, 1, 2]), &MaxBarrier::new(f64::INFINITY)));
    assert!(e.contains("of the data that the networks were trained on"), "{e}");
}

#[test]
fn trained_and_pretrained_networks_stand_in_one_pool() {
    let folder = tempfile::tempdir().unwrap();
    let data = blobs(4, 60, 2, 0.4);
    let trainer = Trainer::new(network).optimizer(Optimizer::adam(0.05)).epochs(3);
    let store = DirectoryStore::new(folder.path()).unwrap();
    let trained = Session::new(&trainer, &data).store(&store).fit(&KFold::new(3), 1).unwrap();
    let mut pool = PoolBuilder::new(&trainer, &data);
    for member in trained.members() {
        let seen = Seen::of(&member.record);
        pool.add(PretrainedMember::of_member(member, seen).slot(member.record.slot)).unwrap();
    }
    pool.add(PretrainedMember::new(expected(), Seen::rows(0..30)).slot(1)).unwrap();
    let pool = pool.build().unwrap();
    assert_eq!((pool.members().len(), pool.slots()), (4, 2));
    for (ours, theirs) in pool.members().iter().zip(trained.members()) {
        assert_eq!((&ours.record.seen, &ours.record.curve), (&theirs.record.seen, &theirs.record.curve));
    }
    let (both, alone) = (pool.held_out().unwrap(), trained.held_out().unwrap());
    assert_eq!(both.rows(), alone.rows());
    let slot = |held_out: &candle_ensemble::HeldOut| held_out.predictions().values().get(0).unwrap();
    assert_eq!(bits(&slot(both)), bits(&slot(alone)));
    let own = both.select_slots(&[1]).unwrap();
    assert_eq!(own.rows(), (30..60).collect::<Vec<u32>>());
    // A file of the store is a source, too.
    let file = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let members = file.filter_map(|path| Member::read_all(path).ok()).flatten().count();
    assert_eq!(members, 3);
}

#[test]
fn f64_networks_load_and_a_session_refuses_a_learner_that_trains_nothing() {
    let x = blobs(1, 12, 2, 0.5).inputs().only().unwrap().to_dtype(DType::F64).unwrap();
    let data =
        TensorDataset::classification(x, &Tensor::new(&[0u32, 1].repeat(6)[..], &CPU).unwrap()).unwrap();
    let networks = Pretrained::new(network).dtype(DType::F64);
    let dict = StateDict::open(torch_file("state_dict.pth")).unwrap().to_dtype(DType::F64);
    let mut pool = PoolBuilder::new(&networks, &data).device(&Device::Cpu);
    pool.add(PretrainedMember::new(dict, Seen::Nothing)).unwrap();
    assert_eq!(pool.build().unwrap().members()[0].weights["fc1.bias"].dtype(), DType::F64);
    let e = why(Session::new(&networks, &data).fit(&MultiRun::new(2), 1));
    assert!(e.contains("give its networks to a PoolBuilder"), "{e}");
}
