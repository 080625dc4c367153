//! The example `combine`, run as a program. `cargo test` builds it.
use crate::common::example;
use npyz::WriterBuilder;
use serde_json::Value;
use std::{
    fs::File,
    io::Write,
    path::Path,
    process::{Command, Output},
};
use zip::{write::SimpleFileOptions, ZipWriter};

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(example("combine")).current_dir(folder).args(args).output().unwrap()
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = run(folder, &[args, &["--quiet", "--json", "-"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The error message for invalid arguments or input: one line, with exit status 2.
fn fail(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    text
}

fn npy(shape: &[u64], values: &[f64]) -> Vec<u8> {
    let mut bytes = vec![];
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    bytes
}

fn archive(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// Two members, each right on one half of six rows.
fn classes() -> Vec<f64> {
    let say = |p: f64| [p, 1. - p];
    let one = [0.9, 0.8, 0.3, 0.2, 0.6, 0.4].map(say).concat();
    let other = [0.7, 0.6, 0.4, 0.1, 0.3, 0.2].map(say).concat();
    [one, other].concat()
}

fn labels() -> Vec<u8> {
    npy(&[6], &[0., 0., 1., 1., 0., 1.])
}

#[test]
fn a_fitted_combiner_is_saved_and_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/combine/sample.npz");
    let fitted = json(folder.path(), &["--input", sample, "--rule", "simplex-log-loss", "--save", "w.rule"]);
    let weights: Vec<f64> =
        fitted["weights"].as_array().unwrap().iter().map(|w| w.as_f64().unwrap()).collect();
    assert_eq!(weights.len(), 6);
    assert!((weights.iter().sum::<f64>() - 1.).abs() < 1e-9);
    assert!(fitted["fit"]["gap"].as_f64().unwrap() < 1e-6);
    assert!(fitted["fit"]["seconds"].as_f64().unwrap() > 0.);
    for of in [&fitted["score"], &fitted["baseline"]["best_single"], &fitted["baseline"]["mean"]] {
        assert!(["accuracy", "nll", "brier", "ece"].iter().all(|name| of[name].is_number()), "{of}");
    }
    let args = ["--input", sample, "--apply", "w.rule", "--score-rows", "odd", "--output", "predicted.npy"];
    let applied = json(folder.path(), &args);
    assert_eq!(applied["score"], fitted["score"]);
    let predicted = npyz::NpyFile::new(File::open(folder.path().join("predicted.npy")).unwrap()).unwrap();
    assert_eq!(predicted.shape(), [200, 3]);
}

#[test]
fn all_combiners_are_ranked() {
    let folder = tempfile::tempdir().unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/combine/sample.npz");
    let all = json(folder.path(), &["--input", sample, "--rule", "all", "--outputs"]);
    assert_eq!(all["failed"], serde_json::json!({}));
    let losses: Vec<f64> =
        all["rules"].as_array().unwrap().iter().map(|r| r["score"]["nll"].as_f64().unwrap()).collect();
    assert!(losses.len() > 35 && losses.is_sorted());
}

#[test]
fn arguments_follow_the_name_or_come_as_flags() {
    let folder = tempfile::tempdir().unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/combine/sample.npz");
    let json = |args: &[&str]| json(folder.path(), &[&["--input", sample], args].concat());
    let score = |found: &Value| found["score"].clone();
    let flags = json(&["--rule", "trimmed-mean", "--cut", "0.34"]);
    assert_eq!(score(&flags), score(&json(&["--rule", "trimmed-mean:0.34"])));
    assert_ne!(score(&flags), score(&json(&["--rule", "trimmed-mean"])));
    let short = json(&["--rule", "mean-log"]);
    assert_eq!(short["rule"], "geometric-mean");
    let some = json(&["--rule", "mean,weighted-mean:1,2,3,4,5,6,ridge:lambda=0.1"]);
    let mut names: Vec<_> =
        some["rules"].as_array().unwrap().iter().map(|r| r["rule"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["mean", "ridge:lambda=0.1", "weighted-mean:1,2,3,4,5,6"]);
}

#[test]
fn help_lists_every_combiner_and_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    let help = String::from_utf8(run(folder.path(), &["--help"]).stdout).unwrap();
    for entry in candle_ensemble::combine::registry().entries() {
        assert!(help.contains(&format!("\n{} ", entry.name())), "{}", entry.name());
        for argument in entry.arguments() {
            assert!(help.contains(&format!("--{}", argument.name())), "{}", argument.name());
        }
    }
}

#[test]
fn values_are_scored_with_metrics_of_regression() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("values.npz");
    let y: Vec<f64> = (0..20).map(f64::from).collect();
    let predicted: Vec<f64> = y.iter().map(|y| y + 1.).chain(y.iter().map(|y| y - 1.)).collect();
    archive(&path, &[("predictions", npy(&[2, 20, 1], &predicted)), ("targets", npy(&[20, 1], &y))]);
    let found = json(folder.path(), &["--input", "values.npz", "--rule", "simplex-squares"]);
    assert!(found["score"]["rmse"].as_f64().unwrap() < 1e-3, "{found}");
    assert!((found["baseline"]["best_single"]["rmse"].as_f64().unwrap() - 1.).abs() < 1e-9);
    assert!(["mae", "r2"].iter().all(|name| found["score"][name].is_number()));
}

#[test]
fn invalid_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, predictions: Vec<u8>, targets: Vec<u8>| {
        archive(&folder.path().join(name), &[("predictions", predictions), ("targets", targets)]);
    };
    let with = |at: usize, x: f64| {
        let mut all = classes();
        all[at] = x;
        npy(&[2, 6, 2], &all)
    };
    write("good.npz", npy(&[2, 6, 2], &classes()), labels());
    write("nan.npz", with(5, f64::NAN), labels());
    write("sum.npz", with(14, 0.9), labels());
    write("short.npz", npy(&[2, 6, 2], &classes()), npy(&[5], &[0., 1., 0., 1., 0.]));
    write("label.npz", npy(&[2, 6, 2], &classes()), npy(&[6], &[0., 0., 1., 1., 2., 1.]));
    write("flat.npz", npy(&[24], &classes()), labels());
    archive(&folder.path().join("none.npz"), &[("targets", labels())]);
    std::fs::write(folder.path().join("text.npz"), "no archive").unwrap();
    let fails_with = |args: &[&str], what: &str| {
        let text = fail(folder.path(), args);
        assert!(text.contains(what), "{args:?}: {text}");
    };
    fails_with(&["--input", "nan.npz"], "prediction of member 0, row 2, column 1 must be finite, but is NaN");
    fails_with(&["--input", "sum.npz"], "member 1, row 1 must sum to 1");
    fails_with(&["--input", "short.npz"], "targets must be one for each of 6 rows");
    fails_with(&["--input", "label.npz"], "target of row 4 must be a class below 2, but is 2");
    fails_with(&["--input", "flat.npz"], "predictions must be (M, N, C), but are (24,)");
    fails_with(&["--input", "none.npz"], "no array `predictions`");
    fails_with(&["--input", "text.npz"], "not a NumPy archive");
    fails_with(&["--input", "gone.npz"], "gone.npz: No such file");
    let good = |args: &[&'static str]| [&["--input", "good.npz"], args].concat();
    fails_with(&good(&["--fit-rows", "0..4", "--score-rows", "3..6"]), "no row in common, but have 1");
    fails_with(&good(&["--fit-rows", "0..9", "--score-rows", "3..6"]), "range of the rows 0..6, but is 0..9");
    fails_with(&good(&["--rule", "knora-e"]), "no array `inputs`");
    fails_with(&good(&["--rule", "weighted-mean"]), "the argument weights of weighted-mean must be given");
    fails_with(&good(&["--rule", "means"]), "the combiner must be one of mean, weighted-mean, ");
    fails_with(&good(&["--rule", "means"]), "did you mean mean?");
    fails_with(
        &good(&["--rule", "trimmed-mean:x"]),
        "the argument cut of trimmed-mean must be a number, but is x",
    );
    fails_with(&good(&["--rule", "trimmed-mean", "--cut", "0.7"]), "cut");
    fails_with(&good(&["--apply", "text.npz"]), "text.npz");
}
