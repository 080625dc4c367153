//! Merging of checkpoints: the methods, compared with values of numpy (`tests/reference/merging.py`), and the
//! example `merge`, run as a program. `cargo test` builds it.
use crate::common::example;
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    merge::{
        diagonal_fisher, merge, Breadcrumbs, Dare, FileMerge, Fisher, LinearMerge, MergeInputs, Method,
        ModelStock, Slerp, TaskArithmetic, Ties,
    },
    weights::{self, Weights},
    Seed,
};
use proptest::prelude::*;
use rand::{Rng, RngCore};
use rand_distr::StandardNormal;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const CPU: Device = Device::Cpu;

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(example("merge")).current_dir(folder).args(args).output().unwrap()
}

fn succeed(folder: &Path, args: &[&str]) -> Vec<u8> {
    let output = run(folder, &[args, &["--quiet", "--out", "out.safetensors"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "--quiet: {output:?}");
    fs::read(folder.join("out.safetensors")).unwrap()
}

/// The error message of a call that ends with exit status 2: one line. Nothing in the folder changes.
fn fail(folder: &Path, args: &[&str]) -> String {
    let before = contents(folder);
    let output = run(folder, args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(text.starts_with("error: ") && text.ends_with('\n'), "{text}");
    assert!(output.stdout.is_empty());
    assert!(contents(folder) == before, "{args:?}: a file changed");
    text
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/merging").join(format!("{name}.safetensors"))
}

fn load(path: &Path) -> Weights {
    candle_core::safetensors::load(path, &CPU).unwrap().into_iter().collect()
}

fn read(bytes: &[u8]) -> Weights {
    candle_core::safetensors::load_buffer(bytes, &CPU).unwrap().into_iter().collect()
}

fn save(weights: &Weights, path: &Path) {
    let weights: HashMap<_, _> = weights.clone().into_iter().collect();
    candle_core::safetensors::save(&weights, path).unwrap();
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(weights: &Weights) -> Vec<(String, DType, Vec<usize>, Vec<u64>)> {
    let bits = |tensor: &Tensor| -> Vec<u64> {
        let wide = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
        wide.to_vec1::<f64>().unwrap().into_iter().map(f64::to_bits).collect()
    };
    weights.iter().map(|(name, t)| (name.clone(), t.dtype(), t.dims().to_vec(), bits(t))).collect()
}

fn vector(values: &[f32]) -> Weights {
    Weights::from([("w".to_string(), Tensor::new(values, &CPU).unwrap())])
}

fn normal(seed: u64, scale: f32, len: usize) -> Vec<f32> {
    let mut rng = Seed::from(seed).rng();
    (0..len).map(|_| rng.sample::<f32, _>(StandardNormal) * scale).collect()
}

/// The results of the reference, and the arguments that give them.
const METHODS: [(&str, &str); 17] = [
    ("uniform", "uniform"),
    ("linear", "linear"),
    ("exponential", "exponential --alpha 2"),
    ("weighted", "weighted --weights 0.5,2,1.5"),
    ("task-arithmetic", "task-arithmetic --base base --lambda 0.4"),
    ("task-arithmetic-weighted", "task-arithmetic --base base --weights 0.5,-1,2"),
    ("task-arithmetic-normalized", "task-arithmetic --base base --weights 0.5,-1,2 --normalize true"),
    ("ties", "ties --base base"),
    ("ties-weighted", "ties --base base --density 0.7 --weights 0.5,1,2 --lambda 0.8"),
    ("ties-added", "ties --base base --density 0.7 --weights 0.5,1,2 --lambda 0.8 --normalize false"),
    ("breadcrumbs", "breadcrumbs --base base --density 0.3 --gamma 0.05 --lambda 0.6"),
    ("breadcrumbs-ties", "breadcrumbs-ties --base base --density 0.9 --gamma 0.2"),
    ("breadcrumbs-ties-added", "breadcrumbs-ties --base base --density 0.9 --gamma 0.2 --normalize false"),
    ("slerp", "slerp --t 0.3"),
    ("model-stock", "model-stock --base base"),
    ("fisher", "fisher --fishers F --weights 1,2,0.5 --floor 1e-3"),
    ("fisher-favor-first", "fisher --fishers F --weights 1,2,0.5 --floor 1e-3 --favor-first=true"),
];

/// The arguments of a method in [`METHODS`] for files in one folder.
fn arguments(line: &str) -> Vec<String> {
    let mut args = vec!["--method".to_string()];
    args.extend(line.split(' ').map(|arg| match arg {
        "base" => "base.safetensors".to_string(),
        "F" => "fisher_a.safetensors,fisher_b.safetensors,fisher_c.safetensors".to_string(),
        _ => arg.to_string(),
    }));
    let networks = if line.starts_with("slerp") { &["a", "b"][..] } else { &["a", "b", "c"] };
    args.extend(networks.iter().map(|name| format!("{name}.safetensors")));
    args
}

/// A folder with the inputs of the reference.
fn inputs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["base", "a", "b", "c", "fisher_a", "fisher_b", "fisher_c"] {
        fs::copy(reference(name), folder.path().join(format!("{name}.safetensors"))).unwrap();
    }
    folder
}

#[test]
fn every_method_matches_numpy() {
    let (folder, expected) = (inputs(), load(&reference("expected")));
    for (label, line) in METHODS {
        let args = arguments(line);
        let merged = read(&succeed(folder.path(), &args.iter().map(String::as_str).collect::<Vec<_>>()));
        let mut compared = 0;
        for name in ["layer.weight", "layer.bias", "scale"] {
            let right = &expected[&format!("{label}/{name}")];
            assert_eq!((merged[name].dims(), merged[name].dtype()), (right.dims(), DType::F32));
            for (got, right) in numbers(&merged[name]).iter().zip(numbers(right)) {
                assert!((got - right).abs() <= 1e-6 * (1. + right.abs()), "{label} {name}: {got} {right}");
                compared += 1;
            }
        }
        assert_eq!(compared, 41 * 59 + 59 + 1);
        let from = if line.contains("--base") { "base" } else { "a" };
        assert_eq!(
            merged["steps"].to_scalar::<i64>().unwrap(),
            i64::from(from.as_bytes()[0]),
            "{label}: a counter"
        );
        assert_eq!(merged.len(), 4);
    }
}

#[test]
fn merging_in_memory_and_from_files_gives_the_same_values() {
    let folder = inputs();
    let all: Vec<Weights> = ["a", "b", "c", "base"].iter().map(|name| load(&reference(name))).collect();
    let fishers: Vec<Weights> =
        ["fisher_a", "fisher_b", "fisher_c"].iter().map(|n| load(&reference(n))).collect();
    let (networks, base) = ([&all[0], &all[1], &all[2]], Some(&all[3]));
    let file = |line: &str| {
        let args = arguments(line);
        read(&succeed(folder.path(), &args.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let cases: [(&str, Box<dyn Method>); 6] = [
        ("task-arithmetic --base base", Box::new(TaskArithmetic::new())),
        ("ties --base base --density 0.3", Box::new(Ties::new(0.3))),
        ("dare --base base --seed 7", Box::new(Dare::new(0.1, 7))),
        ("dare-ties --base base --density 0.5", Box::new(Dare::new(0.5, 42).elect_signs(true))),
        ("breadcrumbs --base base", Box::new(Breadcrumbs::new(0.1, 0.01))),
        ("model-stock --base base", Box::new(ModelStock::new())),
    ];
    for (line, method) in cases {
        assert_eq!(bits(&file(line)), bits(&merge(&*method, &networks, base).unwrap()), "{line}");
    }
    let average = merge(&LinearMerge::falling(), &networks, None).unwrap();
    assert_eq!(bits(&file("linear")), bits(&average));
    let slerp = merge(&Slerp::new(0.5), &networks[..2], None).unwrap();
    assert_eq!(bits(&file("slerp")), bits(&slerp));
    let fishers = [&fishers[0], &fishers[1], &fishers[2]];
    let fisher = MergeInputs::new(&networks).fishers(&fishers).merge(&Fisher::new()).unwrap();
    assert_eq!(bits(&file("fisher --fishers F")), bits(&fisher));
}

/// Networks of f64 whose changes to a base near 1 are a billionth of it, which f32 does not hold.
#[test]
fn every_method_matches_numpy_in_f64() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["base", "a", "b", "c", "fisher_a", "fisher_b", "fisher_c"] {
        fs::copy(reference(&format!("double_{name}")), folder.path().join(format!("{name}.safetensors")))
            .unwrap();
    }
    let expected = load(&reference("double_expected"));
    for (label, line) in METHODS {
        let args = arguments(line);
        let merged = read(&succeed(folder.path(), &args.iter().map(String::as_str).collect::<Vec<_>>()));
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let (got, right) = (flat(&merged["w"]), flat(&expected[&format!("{label}/w")]));
        assert_eq!((got.len(), right.len()), (63, 63));
        for (got, right) in got.iter().zip(right) {
            assert!((got - right).abs() <= 2e-15, "{label}: {got} {right}");
        }
    }
}

/// The numbers of a tensor of f64.
fn doubles(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn networks_of_f64_are_merged_in_f64_at_any_scale() {
    let named = |x: &[f64]| Weights::from([("w".to_string(), Tensor::new(x, &CPU).unwrap())]);
    for unit in [1e-300, 1e-9, 1., 1e300] {
        let scaled = |x: [f64; 4]| named(&x.map(|x| x * unit));
        let (a, b, base) = (scaled([1., 2., 3., -4.]), scaled([2., 2., -1., 4.]), scaled([1., 1., 1., 1.]));
        let close = |method: &dyn Method, base: Option<&Weights>, right: [f64; 4]| {
            let merged = doubles(&merge(method, &[&a, &b], base).unwrap()["w"]);
            for (got, right) in merged.iter().zip(right) {
                assert!((got / unit - right).abs() < 1e-13, "{method:?} at {unit}: {merged:?}");
            }
        };
        close(&LinearMerge::uniform(), None, [1.5, 2., 1., 0.]);
        close(&TaskArithmetic::new(), Some(&base), [2., 3., 1., -1.]);
        // Of the task vectors 0 1 2 −5 and 1 1 −2 3 the largest two of each; the first tie elects plus.
        close(&Ties::new(0.5), Some(&base), [1., 1., 3., -4.]);
        // cos Ω = −13/√(30·25), by hand; sin(Ω/2)/sin Ω = 1/(2 cos(Ω/2)).
        let half = 1. / (2. * ((-13. / 750f64.sqrt()).acos() / 2.).cos());
        close(&Slerp::new(0.5), None, [3., 4., 2., 0.].map(|x| x * half));
        // cos φ = −18/√(30·15); t = 2c/(1 + c).
        let c = -18. / 450f64.sqrt();
        let t = 2. * c / (1. + c);
        close(&ModelStock::new(), Some(&base), [1.5, 2., 1., 0.].map(|mean| t * mean + 1. - t));
    }
}

#[test]
fn networks_of_f64_averaged_with_themselves_are_themselves_to_the_bit() {
    let values: Vec<f64> =
        (0..5000).map(|i| (f64::from(i) * 0.7).sin() * 10f64.powi(i % 600 - 300)).collect();
    let one = Weights::from([("w".to_string(), Tensor::new(&*values, &CPU).unwrap())]);
    let bits = |weights: &Weights| doubles(&weights["w"]).into_iter().map(f64::to_bits).collect::<Vec<_>>();
    for n in [1, 2, 3, 5, 6, 7, 10, 49] {
        let networks = vec![&one; n];
        let falling: Vec<f64> = (1..=n).map(|i| 0.1 * i as f64).collect();
        for method in [LinearMerge::uniform(), LinearMerge::falling(), LinearMerge::weighted(&falling)] {
            assert!(bits(&merge(&method, &networks, None).unwrap()) == bits(&one), "{method:?} of {n}");
        }
        let fisher = Weights::from([("w".to_string(), (one["w"].sqr().unwrap() + 0.1).unwrap())]);
        let fishers = vec![&fisher; n];
        let merged = MergeInputs::new(&networks).fishers(&fishers).merge(&Fisher::new().weights(&falling));
        assert!(bits(&merged.unwrap()) == bits(&one), "Fisher of {n}");
        assert!(bits(&weights::average(&networks, &falling).unwrap()) == bits(&one), "average of {n}");
        let (mut average, mut swa) = (weights::Average::new(), weights::Swa::new());
        for weight in falling {
            average.push(&one, weight).unwrap();
            swa.push(&one).unwrap();
        }
        assert!(
            bits(&average.weights().unwrap()) == bits(&one) && bits(&swa.weights().unwrap()) == bits(&one)
        );
        if n >= 2 {
            assert!(bits(&merge(&ModelStock::new(), &networks, Some(&zeros(&one))).unwrap()) == bits(&one));
        }
    }
    assert!(bits(&merge(&Slerp::new(0.3), &[&one, &one], None).unwrap()) == bits(&one));
}

fn zeros(like: &Weights) -> Weights {
    like.iter().map(|(name, tensor)| (name.clone(), tensor.zeros_like().unwrap())).collect()
}

#[test]
fn dare_with_election_averages_or_adds() {
    // Nothing is dropped at a density of 1: at the first position both agree, at the second the larger wins.
    let (base, a, b) = (vector(&[1., 1.]), vector(&[2., 4.]), vector(&[4., 0.]));
    let method = Dare::new(1., 1).elect_signs(true);
    let merged = |method: &Dare| numbers(&merge(method, &[&a, &b], Some(&base)).unwrap()["w"]);
    assert_eq!(merged(&method), [3., 4.]);
    assert_eq!(merged(&method.clone().normalize(false)), [5., 4.]);
    assert_eq!(merged(&method.normalize(false).weights(&[1., 0.5])), [3.5, 4.]);
    let none = TaskArithmetic::new().weights(&[1., -1.]).normalize(true);
    let e = merge(&none, &[&a, &b], Some(&base)).unwrap_err().to_string();
    assert!(e.contains("the sum of the weights") && e.contains("other than 0"), "{e}");
}

#[test]
fn the_first_network_is_favored_where_no_information_is_above_the_floor() {
    let (a, b) = (vector(&[1., 1., 1.]), vector(&[3., 3., 3.]));
    let (of_a, of_b) = (vector(&[0., 0., 1.]), vector(&[0., 1e-7, 1.]));
    let inputs = [&a, &b];
    let merged = |method: &Fisher| {
        numbers(&MergeInputs::new(&inputs).fishers(&[&of_a, &of_b]).merge(method).unwrap()["w"])
    };
    assert_eq!(merged(&Fisher::new()), [2., 2., 2.]);
    let favored = merged(&Fisher::new().favor_first(true));
    // (1e-6·1 + 1e-7·3) / 1.1e-6 at the second position.
    assert_eq!((favored[0], favored[2]), (1., 2.));
    assert!((f64::from(favored[1]) - 1.3 / 1.1).abs() < 1e-6, "{favored:?}");
    let e = Fisher::new().favor_first(true).weights(&[0., 1.]).check(2).unwrap_err().to_string();
    assert!(e.contains("the weight of the first network"), "{e}");
}

/// Tensors of this type with odd lengths, longer than what several threads process at once.
fn large(folder: &Path, dtype: DType) {
    for (seed, name) in (0u64..).zip(["base", "a", "b", "c"]) {
        let tensor = |len: usize, salt: u64| {
            let shared = normal(100 + salt, 1., len);
            let own = normal(200 + salt + 10 * seed, 0.1, len);
            let sum: Vec<f32> = shared.iter().zip(own).map(|(a, b)| a + b).collect();
            Tensor::from_vec(sum, len, &CPU).unwrap().to_dtype(dtype).unwrap()
        };
        let weights = Weights::from([
            ("large".to_string(), tensor(1_100_003, 0)),
            ("middling".to_string(), tensor(140_001, 1)),
            ("small".to_string(), tensor(5, 2)),
            ("empty".to_string(), Tensor::zeros((0, 3), dtype, &CPU).unwrap()),
            ("steps".to_string(), Tensor::new(&[seed as u8], &CPU).unwrap()),
        ]);
        save(&weights, &folder.join(format!("{name}.safetensors")));
    }
}

#[test]
fn the_bytes_are_the_same_for_any_number_of_threads() {
    for dtype in [DType::F32, DType::BF16] {
        let folder = tempfile::tempdir().unwrap();
        large(folder.path(), dtype);
        for line in [
            "uniform",
            "ties --base base",
            "dare-linear --base base --density 0.5",
            "dare-ties --base base",
            "breadcrumbs --base base",
            "breadcrumbs-ties --base base",
            "slerp",
            "model-stock --base base",
        ] {
            let merged = |threads: &str| {
                let args = arguments(line);
                let args: Vec<&str> = args.iter().map(String::as_str).chain(["--threads", threads]).collect();
                succeed(folder.path(), &args)
            };
            let one = merged("1");
            assert_eq!(read(&one)["large"].dtype(), dtype);
            assert!(one == merged("2") && one == merged("3"), "{line} {dtype:?}");
        }
    }
}

#[test]
fn narrow_types_are_merged_in_f64_and_rounded_once() {
    let folder = tempfile::tempdir().unwrap();
    large(folder.path(), DType::BF16);
    let path = |name: &str| folder.path().join(format!("{name}.safetensors"));
    let wide = |name: &str| -> Weights {
        let cast = |(name, tensor): (String, Tensor)| {
            let wide =
                if tensor.dtype() == DType::BF16 { tensor.to_dtype(DType::F64).unwrap() } else { tensor };
            (name, wide)
        };
        load(&path(name)).into_iter().map(cast).collect()
    };
    let networks: Vec<Weights> = ["a", "b", "c"].map(wide).into();
    let networks: Vec<&Weights> = networks.iter().collect();
    let exact = merge(&Ties::new(0.2), &networks, Some(&wide("base"))).unwrap();
    let args = arguments("ties --base base");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    for (flag, dtype) in [
        ("", DType::BF16),
        ("f16", DType::F16),
        ("bf16", DType::BF16),
        ("f32", DType::F32),
        ("f64", DType::F64),
    ] {
        let flags = if flag.is_empty() { vec![] } else { vec!["--dtype", flag] };
        let merged = read(&succeed(folder.path(), &[&args[..], &flags].concat()));
        for (name, tensor) in &exact {
            let expected = if name == "steps" { tensor.clone() } else { tensor.to_dtype(dtype).unwrap() };
            assert_eq!(
                (merged[name].dtype(), numbers(&merged[name])),
                (expected.dtype(), numbers(&expected)),
                "{name}"
            );
        }
    }
    // The same in memory.
    let narrow: Vec<Weights> = ["a", "b", "c"].map(|name| load(&path(name))).into();
    let merged =
        merge(&Ties::new(0.2), &narrow.iter().collect::<Vec<_>>(), Some(&load(&path("base")))).unwrap();
    assert_eq!(bits(&merged), bits(&read(&succeed(folder.path(), &args))));
}

/// Divides a network into two shards with an index, in a folder of their own.
fn shard(folder: &Path, name: &str) {
    let weights = load(&folder.join(format!("{name}.safetensors")));
    let own = folder.join(name);
    fs::create_dir(&own).unwrap();
    let mut shards = [Weights::new(), Weights::new()];
    let mut map = serde_json::Map::new();
    for (i, (key, tensor)) in weights.into_iter().enumerate() {
        map.insert(key.clone(), format!("model-{:05}-of-00002.safetensors", i % 2 + 1).into());
        shards[i % 2].insert(key, tensor);
    }
    for (i, shard) in shards.iter().enumerate() {
        save(shard, &own.join(format!("model-{:05}-of-00002.safetensors", i + 1)));
    }
    let index = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    fs::write(own.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn sharded_checkpoints_are_read_by_their_index_or_folder() {
    let folder = inputs();
    for name in ["a", "b", "base"] {
        shard(folder.path(), name);
    }
    let whole = succeed(
        folder.path(),
        &["--method", "ties", "a.safetensors", "b.safetensors", "--base", "base.safetensors"],
    );
    let sharded = succeed(
        folder.path(),
        &["--method", "ties", "a/model.safetensors.index.json", "b", "--base", "base/"],
    );
    assert!(whole == sharded);
    // A folder with one file in it.
    fs::create_dir(folder.path().join("one")).unwrap();
    fs::copy(reference("a"), folder.path().join("one/weights.safetensors")).unwrap();
    let one = succeed(folder.path(), &["--method", "ties", "one", "b", "--base", "base"]);
    assert!(whole == one);

    let index = folder.path().join("a/model.safetensors.index.json");
    let text = fs::read_to_string(&index).unwrap();
    let merged = ["--method", "uniform", "a", "b", "--out", "new.safetensors"];
    for (from, to, message) in [
        ("model-00001", "../a", "is not a file in the same folder"),
        ("model-00001", "/a", "is not a file in the same folder"),
        ("model-00002", "model-00001", "is not in model-00001"),
        ("00002-of-00002", "00003-of-00002", "No such file"),
        ("\"layer.bias\"", "\"layer.bios\"", "\"layer.bios\" is not in"),
        ("}", "", "it is not the index of a sharded checkpoint: "),
    ] {
        fs::write(&index, text.replace(from, to)).unwrap();
        let text = fail(folder.path(), &merged);
        assert!(text.contains(message), "{to}: {text}");
    }
    fs::remove_file(&index).unwrap();
    assert!(fail(folder.path(), &merged).contains("must be 1, unless one is called"));
    fs::write(folder.path().join("a.json"), &text).unwrap();
    let out = ["--out", "b/model-00001-of-00002.safetensors"];
    let text = fail(folder.path(), &[&["--method", "uniform", "b", "c.safetensors"], &out[..]].concat());
    assert!(text.contains("a file other than the inputs"), "{text}");
}

#[test]
fn differences_between_checkpoints_are_listed() {
    let folder = inputs();
    let mut odd = load(&reference("b"));
    odd.remove("scale");
    odd.insert("extra".into(), Tensor::new(1f32, &CPU).unwrap());
    odd.insert("layer.bias".into(), Tensor::zeros((59, 1), DType::F32, &CPU).unwrap());
    odd.insert("layer.weight".into(), odd["layer.weight"].to_dtype(DType::F16).unwrap());
    save(&odd, &folder.path().join("odd.safetensors"));
    let new = ["--out", "new.safetensors"];
    let text = fail(
        folder.path(),
        &[&["--method", "uniform", "a.safetensors", "odd.safetensors"], &new[..]].concat(),
    );
    for part in [
        "odd.safetensors: scale is missing",
        "odd.safetensors: extra is not of this model",
        "odd.safetensors: layer.bias is f32 [59, 1] in place of f32 [59]",
        "odd.safetensors: layer.weight is f16 [41, 59] in place of f32 [41, 59]",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let base = ["--method", "ties", "a.safetensors", "--base", "odd.safetensors"];
    assert!(fail(folder.path(), &[&base, &new[..]].concat()).contains("odd.safetensors: scale is missing"));
    let fishers = ["--method", "fisher", "a.safetensors", "--fishers", "odd.safetensors"];
    let text = fail(folder.path(), &[&fishers, &new[..]].concat());
    assert!(text.contains("scale is missing") && !text.contains("layer.weight"), "{text}");
}

#[test]
fn invalid_arguments_give_a_message_of_one_line() {
    let folder = inputs();
    let good = fs::read(reference("a")).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    put("cut.safetensors", &good[..good.len() - 1]);
    put("cut_in_the_header.safetensors", &good[..100]);
    put("empty.safetensors", b"");
    put("text.safetensors", b"these are no weights at all");
    put("long.safetensors", &[&u64::MAX.to_le_bytes()[..], &good[8..]].concat());
    put("left_over.safetensors", &[&good[..], b"x"].concat());
    let mut nan = load(&reference("b"));
    nan.insert("layer.bias".into(), (nan["layer.bias"].clone() / 0.).unwrap());
    save(&nan, &folder.path().join("nan.safetensors"));
    let negative =
        load(&reference("fisher_a")).into_iter().map(|(name, x)| (name, (x - 1.).unwrap())).collect();
    save(&negative, &folder.path().join("negative.safetensors"));
    for (line, message) in [
        ("uniform cut", "cut.safetensors is damaged: it is cut short"),
        ("uniform cut_in_the_header", "is damaged: it is cut short: its header takes"),
        ("uniform empty", "empty.safetensors does not belong here: it is empty"),
        ("uniform text", "it is a text, not safetensors"),
        ("uniform long", "it is not a safetensors file"),
        ("uniform left_over", "are followed by other bytes"),
        ("uniform absent", "absent.safetensors: No such file"),
        ("uniform nan", "the tensor layer.bias of nan.safetensors must be finite, but is not finite at element 0"),
        ("ties --base nan b", "tensor layer.bias of nan.safetensors must be finite"),
        ("uniform --base base", "the base of uniform must be left out"),
        ("ties b", "the base of TIES must be given: the network that all others were fine-tuned from, but is missing"),
        ("ties --base base --density 0", "the density must be above 0"),
        ("ties --base base --density nan", "the density must be above 0"),
        ("ties --base base --weights -1", "a weight must be finite and at least 0"),
        ("ties --base base --lambda inf", "lambda must be finite"),
        ("weighted b", "the argument weights of weighted must be given"),
        ("weighted b --weights 1", "the number of weights must be 2"),
        ("weighted b --weights 0,0", "the weights' sum must be above 0"),
        ("uniform --t 0.5", "--t must be left out for uniform"),
        ("slerp b --density 0.5", "--density must be left out for slerp"),
        ("slerp b --t 1.5", "t must be from 0 to 1"),
        ("slerp b c", "must be exactly 2, but is 3"),
        ("slerp", "must be exactly 2, but is 1"),
        ("model-stock --base base", "must be at least 2"),
        ("exponential b --alpha 0", "alpha must be"),
        ("breadcrumbs --base base --gamma 1", "gamma must be"),
        ("fisher b --fishers fisher_a.safetensors", "the number of Fisher diagonals"),
        ("fisher --fishers negative.safetensors", "must be at least 0"),
        ("fisher --fishers fisher_a.safetensors --floor 0", "the floor must be"),
        (
            "task-arithmetic --base base --lambda 1e30 --dtype f16",
            "must be within the range of F16",
        ),
    ] {
        let words: Vec<String> = line
            .split(' ')
            .enumerate()
            .map(|(i, word)| match i > 0 && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_') {
                true if !["nan", "inf", "f16"].contains(&word) || line.starts_with("uniform nan") => {
                    format!("{word}.safetensors")
                }
                true if line.starts_with("ties --base nan") => format!("{word}.safetensors"),
                _ => word.to_string(),
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let args = [&["--out", "new.safetensors", "a.safetensors", "--method"], &words[..]].concat();
        let text = fail(folder.path(), &args);
        assert!(text.contains(message), "{line}: {text}");
    }
    for out in ["a.safetensors", "./a.safetensors", "b.safetensors"] {
        let args = ["--method", "uniform", "a.safetensors", "b.safetensors", "--out", out];
        assert!(fail(folder.path(), &args).contains("the output must be a file other than the inputs"));
    }
    let nowhere = ["--method", "uniform", "a.safetensors", "--out", "no/where.safetensors"];
    assert!(fail(folder.path(), &nowhere).contains("no/where.safetensors: No such file"));
}

#[cfg(unix)]
#[test]
fn a_link_to_an_input_is_refused_as_output() {
    let folder = inputs();
    std::os::unix::fs::symlink("a.safetensors", folder.path().join("link.safetensors")).unwrap();
    let args = ["--method", "uniform", "a.safetensors", "--out", "link.safetensors"];
    assert!(fail(folder.path(), &args).contains("a file other than the inputs"));
}

#[test]
fn an_older_output_stays_until_the_new_one_is_complete() {
    let folder = inputs();
    let out = folder.path().join("out.safetensors");
    fs::write(&out, b"old").unwrap();
    // It fails while values are written, not before.
    let too_much =
        ["--method", "task-arithmetic", "a.safetensors", "--base", "base.safetensors", "--lambda", "1e39"];
    let text = fail(folder.path(), &[&too_much[..], &["--out", "out.safetensors"]].concat());
    assert!(text.contains("the merged tensor"), "{text}");
    assert_eq!(fs::read(&out).unwrap(), b"old");
    assert_eq!(read(&succeed(folder.path(), &["--method", "uniform", "a.safetensors"])).len(), 4);
}

#[test]
fn the_program_prints_what_it_wrote_and_its_arguments() {
    let folder = inputs();
    let output = run(
        folder.path(),
        &["--method", "uniform", "a.safetensors", "b.safetensors", "--out", "m.safetensors"],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("m.safetensors: 4 tensors of 2 networks, 10.2 kB, ") && text.ends_with(" s\n"),
        "{text}"
    );
    let bytes = fs::read(folder.path().join("m.safetensors")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    let help = String::from_utf8(run(folder.path(), &["--help"]).stdout).unwrap();
    for part in [
        "uniform",
        "linear",
        "exponential",
        "weighted",
        "task-arithmetic",
        "ties",
        "dare-linear",
        "dare-ties",
        "slerp",
        "model-stock",
        "fisher",
        "breadcrumbs",
        "breadcrumbs-ties",
        "--base",
        "--weights",
        "--density",
        "--lambda",
        "--t",
        "--dtype",
        "--seed",
        "--threads",
        "--fishers",
        "--quiet",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

// ---- Identities, and properties beyond the reference.

#[test]
fn dare_draws_from_the_stream_of_its_seed() {
    let len = 5000;
    let (base, a, b) = (normal(1, 1., len), normal(2, 1., len), normal(3, 1., len));
    let density = 0.3;
    let drawn = |network: u64, tuned: &[f32]| -> Vec<f64> {
        let mut rng = Seed::from(9).child("w").nth("network", network).rng();
        let keep = |(x, base): (&f32, &f32)| match f64::from(rng.next_u32()) < density * 4_294_967_296. {
            true => f64::from(x - base) / density,
            false => 0.,
        };
        tuned.iter().zip(&base).map(keep).collect()
    };
    let (kept_a, kept_b) = (drawn(0, &a), drawn(1, &b));
    let networks = [&vector(&a), &vector(&b)];
    let merged = |method: &Dare| numbers(&merge(method, &networks, Some(&vector(&base))).unwrap()["w"]);
    let (sum, elected) = (merged(&Dare::new(density, 9)), merged(&Dare::new(density, 9).elect_signs(true)));
    for i in 0..len {
        let (x, y, base) = (kept_a[i], kept_b[i], f64::from(base[i]));
        assert!((f64::from(sum[i]) - (base + x + y)).abs() < 1e-5, "{i}");
        let plus = x + y >= 0.;
        let agree: Vec<f64> = [x, y].into_iter().filter(|v| *v != 0. && (*v > 0.) == plus).collect();
        let mean = if agree.is_empty() { 0. } else { agree.iter().sum::<f64>() / agree.len() as f64 };
        assert!((f64::from(elected[i]) - (base + mean)).abs() < 1e-5, "{i}");
    }
    // Standard deviation of the share is √(.3·.7/5000) = .0065; five of them.
    let share = kept_a.iter().filter(|x| **x != 0.).count() as f64 / len as f64;
    assert!((share - density).abs() < 0.033, "{share}");
    assert_ne!(merged(&Dare::new(density, 10)), sum);
}

#[test]
fn of_equal_magnitudes_the_first_are_kept_in_the_given_number() {
    // Long enough for several spans, with three magnitudes and alternating signs.
    let len = 600_001;
    let value = |i: usize| [1f32, 2., -1., 3., 1., -2.][i % 6];
    let tuned: Vec<f32> = (0..len).map(value).collect();
    let base = vector(&vec![0.; len]);
    for density in [0.1, 0.3, 0.5, 0.62, 0.9, 0.999_999, 1.] {
        let merged = numbers(&merge(&Ties::new(density), &[&vector(&tuned)], Some(&base)).unwrap()["w"]);
        let count = (density * len as f64) as usize;
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_by(|a, b| tuned[*b].abs().total_cmp(&tuned[*a].abs()).then(a.cmp(b)));
        let mut expected = vec![0.; len];
        order[..count].iter().for_each(|i| expected[*i] = tuned[*i]);
        assert!(merged == expected, "{density}");
    }
}

#[test]
fn masks_that_are_not_finite_pass_where_all_are_the_same() {
    let mask = |x: f32| Weights::from([("mask".into(), Tensor::new(&[x, f32::NEG_INFINITY], &CPU).unwrap())]);
    let (same, other) = (mask(0.), mask(1.));
    for base in [None, Some(&same)] {
        let method: &dyn Method = if base.is_some() { &Ties::new(0.5) } else { &LinearMerge::uniform() };
        let merged = merge(method, &[&same, &same], base).unwrap();
        assert_eq!(numbers(&merged["mask"]), [0., f32::NEG_INFINITY]);
        let e = merge(method, &[&same, &other], base).unwrap_err().to_string();
        assert!(
            e.contains("the tensor mask of network 0 must be finite, but is not finite at element 1"),
            "{e}"
        );
    }
}

#[test]
fn views_are_merged_like_copies() {
    let whole = Tensor::new(&[[1f32, 2., 3.], [4., 5., 6.]], &CPU).unwrap();
    let view = |t: Tensor| Weights::from([("w".to_string(), t)]);
    let (turned, narrowed) = (view(whole.t().unwrap()), view(whole.t().unwrap().contiguous().unwrap()));
    let merged = merge(&LinearMerge::uniform(), &[&turned, &narrowed], None).unwrap();
    assert_eq!(merged["w"].to_vec2::<f32>().unwrap(), [[1., 4.], [2., 5.], [3., 6.]]);
    let row = view(whole.narrow(0, 1, 1).unwrap());
    assert_eq!(numbers(&merge(&LinearMerge::uniform(), &[&row], None).unwrap()["w"]), [4., 5., 6.]);
}

#[test]
fn edge_cases_of_the_formulas() {
    let merged = |method: &dyn Method, networks: &[&[f32]], base: Option<&[f32]>| {
        let networks: Vec<Weights> = networks.iter().map(|x| vector(x)).collect();
        let base = base.map(vector);
        numbers(&merge(method, &networks.iter().collect::<Vec<_>>(), base.as_ref()).unwrap()["w"])
    };
    // Parallel, opposite and zero vectors: linear.
    assert_eq!(merged(&Slerp::new(0.25), &[&[1., 2.], &[2., 4.]], None), [1.25, 2.5]);
    assert_eq!(merged(&Slerp::new(0.25), &[&[1., 2.], &[-1., -2.]], None), [0.5, 1.]);
    assert_eq!(merged(&Slerp::new(0.25), &[&[0., 0.], &[4., 8.]], None), [1., 2.]);
    // Vectors that cancel, and zero vectors: the base.
    let base = Some(&[1f32, 1.][..]);
    assert_eq!(merged(&ModelStock::new(), &[&[2., 1.], &[0., 1.]], base), [1., 1.]);
    assert_eq!(merged(&ModelStock::new(), &[&[1., 1.], &[1., 1.]], base), [1., 1.]);
    // Orthogonal: cos θ = 0, the base. The same: the mean.
    assert_eq!(merged(&ModelStock::new(), &[&[2., 1.], &[1., 2.]], base), [1., 1.]);
    assert_eq!(merged(&ModelStock::new(), &[&[3., 2.], &[3., 2.]], base), [3., 2.]);
    // A tied vote elects plus; where all values are trimmed there is no vote.
    assert_eq!(merged(&Ties::new(1.), &[&[2., 1.], &[0., 1.]], base), [2., 1.]);
    // Less than one of two values: none.
    assert_eq!(merged(&Ties::new(0.4), &[&[9., 9.]], base), [1., 1.]);
}

#[test]
fn the_fisher_information_of_a_gaussian_is_one_over_its_variance() {
    // log p = −(x − μ)²/2σ²: over draws from it, the mean squared derivative by μ is 1/σ²; by an unused
    // variable, 0.
    let (sigma, rows) = (0.5, 4000);
    let draws = normal(5, sigma as f32, rows);
    let var = |x: f32| candle_core::Var::new(x, &CPU).unwrap();
    let (mean, unused) = (var(0.), var(3.));
    let variables = BTreeMap::from([("mean".to_string(), mean.clone()), ("unused".to_string(), unused)]);
    let fisher = diagonal_fisher(&variables, rows, |row| {
        Ok(((mean.as_tensor() - f64::from(draws[row]))?.sqr()? * (-0.5 / (sigma * sigma)))?)
    })
    .unwrap();
    // The estimate's standard deviation is 4·√(2/4000) = .09; five of them.
    assert!((fisher["mean"].to_scalar::<f32>().unwrap() - 4.).abs() < 0.45);
    let by_hand = draws.iter().map(|x| (x / 0.25).powi(2)).sum::<f32>() / rows as f32;
    assert!((fisher["mean"].to_scalar::<f32>().unwrap() / by_hand - 1.).abs() < 1e-4);
    assert_eq!(fisher["unused"].to_scalar::<f32>().unwrap(), 0.);
    assert!(diagonal_fisher(&variables, 0, |_| Ok(mean.as_tensor().clone())).is_err());
    assert!(diagonal_fisher(&BTreeMap::new(), 1, |_| Ok(mean.as_tensor().clone())).is_err());
    let nan = diagonal_fisher(&variables, 1, |_| Ok((mean.as_tensor() / 0.)?));
    assert!(nan.unwrap_err().to_string().contains("one finite number"));
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-6 * (1. + a.abs().max(b.abs())))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn methods_agree_in_their_limits(
        rows in prop::collection::vec(prop::array::uniform4(-4f32..4.), 1..3000),
        density in 0.05f64..1.,
    ) {
        let column = |i: usize| vector(&rows.iter().map(|row| row[i]).collect::<Vec<_>>());
        let (a, b, c, base) = (column(0), column(1), column(2), column(3));
        let networks = [&a, &b, &c];
        let with = |method: &dyn Method, networks: &[&Weights]| numbers(&merge(method, networks, Some(&base)).unwrap()["w"]);
        let plain = |method: &dyn Method, networks: &[&Weights]| numbers(&merge(method, networks, None).unwrap()["w"]);
        let mean = plain(&LinearMerge::uniform(), &networks);
        // One third of all task vectors is the mean; nothing dropped is plain task arithmetic.
        prop_assert!(close(&with(&TaskArithmetic::new().lambda(1. / 3.), &networks), &mean));
        let sum = with(&TaskArithmetic::new(), &networks);
        prop_assert_eq!(&with(&Dare::new(1., 3), &networks), &sum);
        prop_assert_eq!(&with(&Breadcrumbs::new(1., 0.), &networks), &sum);
        prop_assert_eq!(&with(&Breadcrumbs::new(1., 0.).elect_signs(true), &networks), &with(&Ties::new(1.), &networks));
        prop_assert_eq!(&with(&Dare::new(1., 3).elect_signs(true), &networks), &with(&Ties::new(1.), &networks));
        // No λ, no change; equal networks, the network.
        prop_assert_eq!(&with(&Ties::new(density).lambda(0.), &networks), &numbers(&base["w"]));
        prop_assert_eq!(&plain(&LinearMerge::uniform(), &[&a, &a, &a]), &numbers(&a["w"]));
        prop_assert!(close(&with(&Ties::new(1.), &[&a, &a]), &numbers(&a["w"])));
        prop_assert!(close(&with(&ModelStock::new(), &[&a, &a]), &numbers(&a["w"])));
        // The ends of the arc; the same information everywhere.
        prop_assert!(close(&plain(&Slerp::new(0.), &[&a, &b]), &numbers(&a["w"])));
        prop_assert!(close(&plain(&Slerp::new(1.), &[&a, &b]), &numbers(&b["w"])));
        let ones = Weights::from([("w".to_string(), a["w"].ones_like().unwrap())]);
        let fisher = MergeInputs::new(&networks).fishers(&[&ones, &ones, &ones]).merge(&Fisher::new()).unwrap();
        prop_assert!(close(&numbers(&fisher["w"]), &mean));
        // As many numbers change as were kept, at most.
        let kept = (density * rows.len() as f64) as usize;
        let one = with(&Ties::new(density), &[&a]);
        let changed = one.iter().zip(numbers(&base["w"])).filter(|(x, y)| *x != y).count();
        prop_assert!(changed <= kept);
    }
}

// ---- Memory.

#[cfg(target_os = "linux")]
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.
}

/// Not a test of its own, but the code of the processes that the test below starts, one for each peak.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "the child of another test"]
fn one_merge_and_its_peak() {
    let Some(folder) = std::env::var_os("MERGE_FOLDER").map(PathBuf::from) else { return };
    let of = |name: &str| std::env::var(name).unwrap();
    let networks = (0..of("MERGE_NETWORKS").parse().unwrap())
        .map(|i: usize| folder.join(format!("{}{i}", of("MERGE_SIZE"))));
    let merge = FileMerge::new(networks).threads(of("MERGE_THREADS").parse().unwrap());
    let base = folder.join(format!("{}0", of("MERGE_SIZE")));
    match of("MERGE_METHOD").as_str() {
        "TIES" => merge.base(base).write(&Ties::new(0.2), folder.join("out")),
        _ => merge.write(&LinearMerge::uniform(), folder.join("out")),
    }
    .unwrap();
    println!("peak {}", peak());
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_below_two_of_the_largest_tensors_for_each_thread() {
    const LARGEST: usize = 6_000_000; // 12 MB of bf16
    let folder = tempfile::tempdir().unwrap();
    for (size, len) in [("large", LARGEST), ("tiny", 10)] {
        let values = Tensor::from_vec(normal(1, 1., len), len, &CPU).unwrap().to_dtype(DType::BF16).unwrap();
        let weights = (0..2).map(|i| (format!("w{i}"), values.clone())).collect();
        save(&weights, &folder.path().join(format!("{size}0")));
        for i in 1..12 {
            fs::copy(folder.path().join(format!("{size}0")), folder.path().join(format!("{size}{i}")))
                .unwrap();
        }
    }
    let peak = |method: &str, networks: usize, threads: usize, size: &str| -> f64 {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "merging::one_merge_and_its_peak", "--ignored", "--nocapture"])
            .env("MERGE_FOLDER", folder.path())
            .env("MERGE_METHOD", method)
            .env("MERGE_NETWORKS", networks.to_string())
            .env("MERGE_THREADS", threads.to_string())
            .env("MERGE_SIZE", size)
            .output()
            .unwrap();
        let text = String::from_utf8(child.stdout).unwrap();
        let peak = text.lines().find_map(|line| line.split("peak ").nth(1));
        peak.unwrap_or_else(|| panic!("{text} {}", String::from_utf8_lossy(&child.stderr))).parse().unwrap()
    };
    let largest = (LARGEST * 2) as f64 / f64::from(1 << 20);
    for (method, networks, threads) in
        [("uniform", 2, 1), ("uniform", 12, 2), ("TIES", 2, 1), ("TIES", 12, 2)]
    {
        let more = peak(method, networks, threads, "large") - peak(method, networks, threads, "tiny");
        println!(
            "{method}, {networks} networks, {threads} threads: {more:.1} MiB; the largest: {largest:.1}"
        );
        assert!(more < 2. * largest * threads as f64, "{method} {networks} {threads}: {more} {largest}");
    }
}
