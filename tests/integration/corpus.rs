//! Files that are difficult to read: each gives an error or a success, never a panic or a large allocation.
//!
//! `cargo test --test integration corpus -- --ignored` writes the handmade files. Files that fuzzing finds
//! (`fuzz/`) are added to them.
#[path = "../corpus/harness.rs"]
mod harness;

use candle_core::{Device, Tensor};
use candle_ensemble::{
    combine::{
        stack::{self, Stack},
        Mean,
    },
    data::TensorDataset,
    merge::{FileMerge, LinearMerge},
    plan::Settings,
    store::Manifest,
    strategy::MultiRun,
    train::{Learner, Trainer},
    Seed, Session,
};
use harness::opening;
use std::{fs, path::PathBuf};

type Target = (&'static str, fn(&[u8]));
const TARGETS: [Target; 4] = [
    ("manifest", harness::manifest),
    ("member", harness::member),
    ("ensemble", harness::ensemble),
    ("merge", harness::merge),
];

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target)
}

#[test]
fn every_file_gives_its_expected_result() {
    for (target, run) in TARGETS {
        let mut files: Vec<_> = fs::read_dir(folder(target)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 10, "{target}: {} files", files.len());
        for file in files {
            println!("{}", file.display());
            run(&fs::read(file).unwrap());
        }
    }
}

/// The same with 1 GiB of address space, where allocating a wrong length would abort.
#[cfg(target_os = "linux")]
#[test]
fn no_file_allocates_much_memory() {
    let program = std::env::current_exe().unwrap();
    let child = std::process::Command::new("bash")
        .args(["-c", "ulimit -v 1048576; exec \"$@\"", "bash"])
        .arg(program)
        .args(["--exact", "corpus::every_file_gives_its_expected_result", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

/// Valid files are read, so that the others are refused for the fault that they were made for.
#[test]
fn valid_files_are_read() {
    let read = |target: &str, name: &str| fs::read(folder(target).join(name)).unwrap();
    let manifest = harness::sealed("plan", &good_manifest());
    assert_eq!(Manifest::from_bytes(&manifest).unwrap().plan.runs.len(), 2);
    let member = harness::rehashed("member", read("member", "good")).unwrap();
    assert_eq!(candle_ensemble::Member::from_bytes(&member).unwrap().weights.len(), 2);
    let hand_made = harness::rehashed("member", member_of(TWO_WEIGHTS, &[0; 24])).unwrap();
    assert_eq!(candle_ensemble::Member::from_bytes(&hand_made).unwrap().weights.len(), 2);
    let hand_made = harness::rehashed("ensemble", ensemble_of(ABOUT, ONE_MEMBER, &[0; 24])).unwrap();
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb));
    let ensemble = candle_ensemble::Ensemble::<_, Mean>::from_bytes(&hand_made, &trainer, &Device::Cpu);
    assert_eq!(ensemble.unwrap().members().len(), 1);
    let at = |name: &str| FileMerge::new([folder("merge").join(name)]);
    let out = tempfile::tempdir().unwrap();
    for (name, tensors) in [("good", 2), ("empty-shapes", 2), ("index.json", 2)] {
        let whole = out.path().join("shard");
        fs::write(whole, harness::SHARD).unwrap();
        fs::copy(folder("merge").join(name), out.path().join(name)).unwrap();
        let merge = if name == "index.json" { FileMerge::new([out.path().join(name)]) } else { at(name) };
        assert_eq!(merge.write(&LinearMerge::uniform(), out.path().join("out")).unwrap().tensors, tensors);
    }
    let e = at("no-tensors").write(&LinearMerge::uniform(), out.path().join("out")).unwrap_err().to_string();
    assert!(e.contains("the number of tensors in") && e.ends_with("must be at least 1, but is 0"), "{e}");
}

// ---- The handmade files.

const RECORD: &str =
    r#"{"run":0,"index":0,"slot":0,"architecture":"model","settings":{},"seen":[0,1],"curve":[],"key":"k"}"#;
const TWO_WEIGHTS: &str = r#""a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}"#;
const ABOUT: &str = r#"{"rule":"mean","task":{"Classification":{"classes":2}},"output":"Logits","dtype":"f32","batch_rows":512,"members":[RECORD]}"#;
const ONE_MEMBER: &str = r#""00000/weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"00000/bias":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},"rule":{"dtype":"U8","shape":[0],"data_offsets":[24,24]}"#;

/// A safetensors file of this library with this description and these tensors; the length of the header is
/// correct unless it is given.
fn file(kind: &str, about: &str, tensors: &str, length: Option<u64>, data: &[u8]) -> Vec<u8> {
    let about = serde_json::to_string(&format!(" {about}")).unwrap();
    let comma = if tensors.is_empty() { "" } else { "," };
    let header = format!("{}{}{}}}{comma}{tensors}}}", opening(kind), "0".repeat(64), &about[1..]);
    let length = length.unwrap_or(header.len() as u64);
    [&length.to_le_bytes(), header.as_bytes(), data].concat()
}

fn member_of(tensors: &str, data: &[u8]) -> Vec<u8> {
    file("member", RECORD, tensors, None, data)
}

fn ensemble_of(about: &str, tensors: &str, data: &[u8]) -> Vec<u8> {
    file("ensemble", &about.replace("RECORD", RECORD), tensors, None, data)
}

fn trained<T>(
    then: impl Fn(&Session<'_, Trainer<candle_nn::Linear>>, &TensorDataset, &Trainer<candle_nn::Linear>) -> T,
) -> T {
    let x = Tensor::arange(0f32, 80., &Device::Cpu)
        .unwrap()
        .affine(0.02, -0.8)
        .unwrap()
        .reshape((40, 2))
        .unwrap();
    let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu).unwrap();
    let data = TensorDataset::classification(x, &y).unwrap();
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(1);
    then(&Session::new(&trainer, &data), &data, &trainer)
}

/// The payload of a manifest.
fn good_manifest() -> Vec<u8> {
    trained(|session, _, trainer| {
        let settings = Settings::new().with("epochs", 2).with("learning_rate", 0.01);
        let mut plan = session.plan(&MultiRun::new(2), 1).unwrap();
        plan.runs[1].settings = settings;
        let bytes = Manifest::new(&plan, &trainer.tag(), &["model".into()]).to_bytes().unwrap();
        bytes.splitn(3, |b| *b == b'\n').nth(2).unwrap().to_vec()
    })
}

fn members() -> Vec<(&'static str, Vec<u8>)> {
    let good =
        trained(|session, _, _| session.fit(&MultiRun::new(1), 1).unwrap().members()[0].to_bytes().unwrap());
    let lying = |length| file("member", RECORD, TWO_WEIGHTS, Some(length), &[0; 24]);
    let record =
        |from: &str, to: &str| file("member", &RECORD.replace(from, to), TWO_WEIGHTS, None, &[0; 24]);
    let one = |info: &str, data: &[u8]| member_of(&format!("\"a\":{{{info}}}"), data);
    let giant = (1u64 << 61) - 1;
    let giants: Vec<_> = (0..8u64)
        .map(|i| {
            format!(
                r#""{i}":{{"dtype":"U8","shape":[{giant}],"data_offsets":[{},{}]}}"#,
                i * giant,
                (i + 1) * giant
            )
        })
        .collect();
    let mut not_utf8 = member_of(TWO_WEIGHTS, &[0; 24]);
    let name = not_utf8.len() - 24 - 10;
    not_utf8[name] = 0xff;
    vec![
        ("good", good.clone()),
        ("empty", vec![]),
        ("cut-in-the-length", good[..5].to_vec()),
        ("cut-in-the-hash", good[..100].to_vec()),
        ("cut-in-the-header", good[..300].to_vec()),
        ("length-of-all-ones", lying(u64::MAX)),
        ("length-2-63", lying(1 << 63)),
        ("length-one-more-than-the-file", lying(good.len() as u64)),
        ("length-0", lying(0)),
        ("length-into-the-data", lying(600)),
        ("offsets-that-overflow", member_of(&giants.join(","), &[])),
        (
            "empty-shape-that-overflows",
            one(
                r#""dtype":"F32","shape":[0,9223372036854775808,9223372036854775808],"data_offsets":[0,0]"#,
                &[],
            ),
        ),
        (
            "shape-that-overflows",
            one(r#""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]"#, &[]),
        ),
        (
            "shape-of-more-than-there-is",
            one(r#""dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]"#, &[0; 4]),
        ),
        ("offsets-out-of-order", one(r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#, &[0; 4])),
        ("offsets-with-a-gap", one(r#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#, &[0; 8])),
        ("bytes-left-over", one(r#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#, &[0; 8])),
        ("half-bytes", one(r#""dtype":"F4","shape":[2],"data_offsets":[0,1]"#, &[0; 1])),
        ("booleans", one(r#""dtype":"BOOL","shape":[1],"data_offsets":[0,1]"#, &[7])),
        ("sixteen-bits-unsigned", one(r#""dtype":"U16","shape":[1],"data_offsets":[0,2]"#, &[0; 2])),
        ("type-unheard-of", one(r#""dtype":"F31","shape":[1],"data_offsets":[0,4]"#, &[0; 4])),
        ("negative-shape", one(r#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#, &[0; 4])),
        ("brackets", one(&format!(r#""dtype":"F32","shape":{}"#, "[".repeat(5000)), &[])),
        (
            "many-dimensions",
            one(&format!(r#""dtype":"U8","shape":[{}1],"data_offsets":[0,1]"#, "1,".repeat(3000)), &[1]),
        ),
        ("overlap", member_of(&TWO_WEIGHTS.replace("[16,24]", "[8,16]"), &[0; 16])),
        ("a-name-twice", member_of(&format!("{TWO_WEIGHTS},{TWO_WEIGHTS}"), &[0; 24])),
        ("metadata-twice", member_of(r#""__metadata__":{"candle-ensemble, format 2, member":"x"}"#, &[])),
        ("a-name-that-is-a-path", member_of(&TWO_WEIGHTS.replace("\"a\"", "\"../../a\\u0000\""), &[0; 24])),
        ("name-not-utf-8", not_utf8),
        ("record-of-nothing", file("member", "", TWO_WEIGHTS, None, &[0; 24])),
        ("record-cut-in-a-letter", file("member", "ä", TWO_WEIGHTS, None, &[0; 24])),
        ("record-without-rows", record(r#""seen":[0,1],"#, "")),
        ("record-with-rows-out-of-order", record("[0,1]", "[1,0]")),
        ("record-with-a-row-too-large", record("[0,1]", "[0,4294967296]")),
        ("record-with-odd-figures", record("{}", r#"{"a":{"Real":"NaN"},"b":{"Real":1e999}}"#)),
        ("record-of-brackets", record("[0,1]", &"[".repeat(5000))),
        ("record-with-a-key-that-is-a-path", record("\"k\"", "\"../../k\"")),
    ]
}

fn manifests() -> Vec<(&'static str, Vec<u8>)> {
    let good = good_manifest();
    let put = |at: usize, bytes: &[u8]| [&good[..at], bytes, &good[at + 1..]].concat();
    let huge = |length: u64| [&[253], &length.to_le_bytes()[..]].concat();
    // A plan begins with the number of runs, a run with its number and its architecture's name.
    vec![
        ("good", good.clone()),
        ("empty", vec![]),
        ("a-whole-file", harness::sealed("plan", &good)),
        ("another-kind", harness::sealed("checkpoint of a", &good)),
        (
            "a-newer-format",
            harness::sealed("plan", &good).iter().map(|b| if *b == b'3' { b'4' } else { *b }).collect(),
        ),
        ("a-title-and-no-end", b"candle-ensemble, format 3, plan".to_vec()),
        ("cut-in-a-row", good[..good.len() / 2].to_vec()),
        ("bytes-left-over", [&good[..], &[0; 9]].concat()),
        ("runs-2-63", put(0, &huge(1 << 63))),
        ("runs-of-all-ones", put(0, &huge(u64::MAX))),
        ("runs-a-billion", put(0, &huge(1_000_000_000))),
        ("name-2-63", put(2, &huge(1 << 63))),
        ("name-of-900-million", put(2, &huge(900_000_000))),
        ("name-not-utf-8", put(3, &[0xff])),
        ("marker-unheard-of", put(0, &[255])),
        ("sixteen-bytes", put(0, &[[254].as_slice(), &[0xff; 16]].concat())),
        ("ones", vec![1; 5000]),
        ("zeros", vec![0; 5000]),
    ]
}

fn ensembles() -> Vec<(&'static str, Vec<u8>)> {
    let [mean, stack] = trained(|session, data, _| {
        let plan = session.plan(&MultiRun::new(2), 1).unwrap().reserve(0.5, data, Seed::from(1)).unwrap();
        let pool = || session.train(&plan).unwrap();
        [
            pool().combine(&Mean).unwrap().to_bytes().unwrap(),
            pool().combine(&Stack::new(stack::Linear)).unwrap().to_bytes().unwrap(),
        ]
    });
    let about = |from: &str, to: &str| ensemble_of(&ABOUT.replace(from, to), ONE_MEMBER, &[0; 24]);
    let tensors = |from: &str, to: &str| ensemble_of(ABOUT, &ONE_MEMBER.replace(from, to), &[0; 24]);
    let rule = |bytes: &[u8]| {
        let about = ABOUT.replace("\"mean\"", "\"linear-stack\"");
        let place = format!(r#""shape":[{}],"data_offsets":[24,{}]"#, bytes.len(), 24 + bytes.len());
        let tensors = ONE_MEMBER.replace(r#""shape":[0],"data_offsets":[24,24]"#, &place);
        ensemble_of(&about, &tensors, &[&[0; 24], bytes].concat())
    };
    vec![
        ("mean", mean),
        ("linear-stack", stack),
        ("hand-made", ensemble_of(ABOUT, ONE_MEMBER, &[0; 24])),
        ("no-rule", tensors("\"rule\"", "\"00000/other\"")),
        ("rule-of-floats", tensors(r#""dtype":"U8","shape":[0]"#, r#""dtype":"F32","shape":[0]"#)),
        ("rule-of-two-dimensions", tensors("[0],", "[0,3],")),
        ("rule-unheard-of", about("\"mean\"", "\"meen\"")),
        ("rule-with-bytes-too-many", rule(&[0, 0, 0])),
        ("rule-of-no-outputs", rule(&[0, 0])),
        ("rule-with-too-few-coefficients", rule(&[2, 0, 0, 0])),
        ("rule-with-lying-lengths", rule(&[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        (
            "no-members",
            ensemble_of(
                &ABOUT.replace("[RECORD]", "[]"),
                r#""rule":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#,
                &[],
            ),
        ),
        ("a-member-without-weights", about("[RECORD]", "[RECORD,RECORD]")),
        ("a-weight-of-no-member", tensors("00000/bias", "00001/bias")),
        ("a-member-beyond-all-numbers", tensors("00000/bias", "99999999999999999999999/bias")),
        ("a-number-with-a-sign", tensors("00000/bias", "+0000/bias")),
        ("a-number-in-short", tensors("00000/bias", "0/bias")),
        ("a-weight-without-a-number", tensors("00000/bias", "bias")),
        ("a-weight-with-no-name", tensors("00000/bias", "00000/")),
        ("weights-of-another-shape", tensors("[2,2]", "[4]")),
        ("no-classes", about(r#""classes":2"#, r#""classes":0"#)),
        ("classes-of-all-ones", about(r#""classes":2"#, r#""classes":18446744073709551615"#)),
        ("values", about(r#"{"Classification":{"classes":2}}"#, r#"{"Regression":{"outputs":2}}"#)),
        ("task-unheard-of", about("Classification", "Divination")),
        ("passes-of-no-rows", about("512", "0")),
        ("passes-of-all-rows", about("512", "18446744073709551615")),
        (
            "rows-out-of-order",
            ensemble_of(&ABOUT.replace("RECORD", &RECORD.replace("[0,1]", "[1,0]")), ONE_MEMBER, &[0; 24]),
        ),
        ("weights-that-are-not-numbers", ensemble_of(ABOUT, ONE_MEMBER, &[0xff; 24])),
    ]
}

fn merges() -> Vec<(&'static str, Vec<u8>)> {
    let of = |header: &str, data: &[u8]| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
    };
    let one = |info: &str, data: &[u8]| of(&format!("{{\"w\":{{{info}}}}}"), data);
    let lying = |length: u64| [&length.to_le_bytes(), &harness::SHARD[8..]].concat();
    let index = |map: &str| format!("{{\"metadata\":{{}},\"weight_map\":{{{map}}}}}").into_bytes();
    let giant = (1u64 << 61) - 1;
    let giants: Vec<_> = (0..8u64)
        .map(|i| {
            let (start, end) = (i * giant, (i + 1) * giant);
            format!(r#""{i}":{{"dtype":"U8","shape":[{giant}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    vec![
        ("good", harness::SHARD.to_vec()),
        ("cut-short", harness::SHARD[..harness::SHARD.len() - 1].to_vec()),
        ("bytes-left-over", [harness::SHARD, b"x"].concat()),
        ("no-tensors", of("{}", b"")),
        (
            "empty-shapes",
            of(
                r#"{"v":{"dtype":"BF16","shape":[0,3],"data_offsets":[0,0]},"w":{"dtype":"F16","shape":[3,0],"data_offsets":[0,0]}}"#,
                b"",
            ),
        ),
        ("length-of-all-ones", lying(u64::MAX)),
        ("length-of-a-hundred-million", lying(100_000_000)),
        ("length-0", lying(0)),
        ("offsets-that-overflow", of(&format!("{{{}}}", giants.join(",")), b"")),
        (
            "shape-that-overflows",
            one(
                r#""dtype":"F32","shape":[0,9223372036854775808,9223372036854775808],"data_offsets":[0,0]"#,
                b"",
            ),
        ),
        (
            "more-than-there-is",
            one(r#""dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]"#, &[0; 4]),
        ),
        ("offsets-out-of-order", one(r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#, &[0; 4])),
        ("offsets-with-a-gap", one(r#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#, &[0; 8])),
        ("half-bytes", one(r#""dtype":"F4","shape":[3],"data_offsets":[0,1]"#, &[0; 1])),
        ("packed-numbers", one(r#""dtype":"F8_E5M2","shape":[2],"data_offsets":[0,2]"#, &[0; 2])),
        (
            "numbers-out-of-line",
            of(
                r#"{"b":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"F64","shape":[1],"data_offsets":[1,9]}}"#,
                &[1; 9],
            ),
        ),
        ("not-finite", one(r#""dtype":"F16","shape":[2],"data_offsets":[0,4]"#, &[0xff; 4])),
        ("type-unheard-of", one(r#""dtype":"F31","shape":[1],"data_offsets":[0,4]"#, &[0; 4])),
        ("metadata-of-numbers", of(r#"{"__metadata__":{"format":1}}"#, b"")),
        (
            "a-name-twice",
            of(
                r#"{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#,
                b"",
            ),
        ),
        ("brackets", of(&"[".repeat(5000), b"")),
        ("index.json", index(r#""w":"shard","n":"shard""#)),
        ("index-of-nothing", index("")),
        ("index-to-a-path", index(r#""w":"../shard""#)),
        ("index-to-itself", index(r#""w":"a.json""#)),
        ("index-to-the-folder", index(r#""w":".""#)),
        ("index-to-no-tensor", index(r#""v":"shard""#)),
        ("index-to-no-file", index(r#""w":"shards""#)),
        ("index-with-a-nul", index(r#""w":"shard\u0000""#)),
    ]
}

#[test]
#[ignore = "writes the hand-made files"]
fn write_the_handmade_files() {
    let all =
        [("manifest", manifests()), ("member", members()), ("ensemble", ensembles()), ("merge", merges())];
    for (target, files) in all {
        fs::create_dir_all(folder(target)).unwrap();
        for (name, bytes) in files {
            fs::write(folder(target).join(name), bytes).unwrap();
        }
    }
}
