//! The example `diagnose`, run as a program: its files, and its error messages. `cargo test` builds it.
use crate::common::example;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::Path,
    process::{Command, Output},
};

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(example("diagnose")).current_dir(folder).args(args).output().unwrap()
}

/// The entries of the JSON file.
fn succeed(folder: &Path, args: &[&str]) -> Vec<Value> {
    let output = run(folder, &[args, &["--quiet", "--json", "out.json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "--quiet: {output:?}");
    serde_json::from_str(&fs::read_to_string(folder.join("out.json")).unwrap()).unwrap()
}

/// The error message: one line, with exit status 2, and no file is written.
fn fail(folder: &Path, args: &[&str]) -> String {
    let before = fs::read_dir(folder).unwrap().count();
    let output = run(folder, args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(text.starts_with("error: ") && output.stdout.is_empty(), "{text}");
    assert_eq!(fs::read_dir(folder).unwrap().count(), before, "{args:?}: no file is left behind");
    text
}

/// The training and the validation loss after an epoch. If the network overfits, the validation loss turns at
/// epoch 10 while the training loss goes on to fall; otherwise both converge, close to each other.
fn losses(epoch: usize, run: usize, overfits: bool) -> (f64, f64) {
    let (e, noise) = (epoch as f64, 0.002 * ((epoch * 7 + run * 3) as f64).sin());
    match overfits {
        true => (
            0.02 + 2.28 * 0.8f64.powf(e),
            0.1 + 2.2 * 0.8f64.powf(e) + 0.05 * (e - 10.).max(0.) + noise.abs(),
        ),
        false => (0.15 + 2.15 * 0.85f64.powf(e) + noise, 0.16 + 2.15 * 0.85f64.powf(e) - noise),
    }
}

/// Curves of runs as a CSV file.
fn csv(runs: std::ops::Range<usize>, overfits: bool) -> String {
    let mut text = String::from("run,epoch,train_loss,valid_loss,train_accuracy,valid_accuracy\n");
    for run in runs {
        for epoch in 0..60 {
            let (train, valid) = losses(epoch, run, overfits);
            let accuracy = |loss: f64| 1. - 0.38 * loss.min(2.3);
            let (of_train, of_valid) = (accuracy(train), accuracy(valid.min(0.4)));
            writeln!(text, "{run},{epoch},{train:.5},{valid:.5},{of_train:.4},{of_valid:.4}").unwrap();
        }
    }
    text
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    put("overfit.csv", csv(0..5, true));
    put("healthy.csv", csv(0..5, false));
    let one = |run: usize| csv(run..run + 1, true);
    put("first.csv", one(0));
    put("second.csv", one(1));
    put("empty.csv", String::new());
    put("header.csv", "epoch,train_loss\n".into());
    put("words.csv", "epoch,train_loss\n0,high\n".into());
    folder
}

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn each_file_has_an_entry_with_findings_evidence_and_remedies() {
    let folder = folder();
    let entries = succeed(folder.path(), &["--curves", "overfit.csv", "healthy.csv", "--train-rows", "400"]);
    let files: Vec<&str> = entries.iter().map(|entry| entry["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["overfit.csv", "healthy.csv"]);
    for entry in &entries {
        assert_eq!(names(entry), BTreeSet::from(["features", "file", "findings", "labels"]));
        let findings = entry["findings"].as_array().unwrap();
        assert!(!findings.is_empty());
        for finding in findings {
            let keys = ["name", "kind", "problem", "confidence", "evidence", "remedies"];
            assert_eq!(names(finding), BTreeSet::from(keys));
            assert!((0. ..=1.).contains(&finding["confidence"].as_f64().unwrap()), "{finding}");
            for evidence in finding["evidence"].as_array().unwrap() {
                assert!(!evidence["text"].as_str().unwrap().is_empty());
            }
            for remedy in finding["remedies"].as_array().unwrap() {
                let keys = ["name", "why", "change", "code", "cost", "effect", "source"];
                assert_eq!(names(remedy), BTreeSet::from(keys));
            }
        }
        let confidences: Vec<f64> = findings.iter().map(|f| f["confidence"].as_f64().unwrap()).collect();
        assert!(confidences.is_sorted_by(|a, b| a >= b), "{confidences:?}");
    }
    let first = |entry: usize| &entries[entry]["findings"][0];
    assert_eq!((&first(0)["kind"], &first(0)["problem"]), (&"overfit".into(), &"generalization".into()));
    assert!(!first(0)["remedies"].as_array().unwrap().is_empty());
    assert_eq!((&first(1)["name"], &first(1)["problem"]), (&"good_fit".into(), &"none".into()));
}

#[test]
fn the_same_curves_give_the_same_files() {
    let folder = folder();
    let files = ["chart.svg", "page.html", "out.json"];
    let args = ["--curves", "overfit.csv", "--chart", files[0], "--html", files[1]];
    let written = || {
        succeed(folder.path(), &args);
        files.map(|name| fs::read(folder.path().join(name)).unwrap())
    };
    let [chart, page, json] = written();
    assert_eq!([chart.clone(), page.clone(), json], written());
    let chart = String::from_utf8(chart).unwrap();
    assert!(chart.starts_with("<svg") && chart.contains("A, overfit"), "the turn is marked");
    let page = String::from_utf8(page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("Act first on"));
}

#[test]
fn files_together_are_runs_of_one_network_and_others_have_charts_of_their_own() {
    let folder = folder();
    let together = succeed(folder.path(), &["--curves", "first.csv", "second.csv", "--together"]);
    assert_eq!(together.len(), 1);
    assert_eq!(together[0]["file"], "first.csv, second.csv");
    let args = ["--curves", "first.csv", "second.csv", "--chart", "c.png", "--html", "p.html"];
    assert_eq!(succeed(folder.path(), &args).len(), 2);
    for chart in ["c_1.png", "c_2.png"] {
        assert_eq!(&fs::read(folder.path().join(chart)).unwrap()[..4], b"\x89PNG");
    }
    assert!(!folder.path().join("c.png").exists());
}

#[test]
fn what_is_found_is_printed_in_words() {
    let folder = folder();
    let output = run(folder.path(), &["--curves", "overfit.csv"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "overfit.csv: 5 runs, 60 epochs",
        "1. overfit (generalization",
        "What can be done:",
        "early-stopping",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let help = run(folder.path(), &["--help"]);
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("--together"));
}

#[test]
fn errors_name_the_fault_on_one_line() {
    let folder = folder();
    let fault = |args: &[&str]| fail(folder.path(), &[args, &["--json", "out.json"]].concat());
    assert!(fault(&["--curves", "none.csv"]).contains("none.csv"));
    assert!(fault(&["--curves", "empty.csv"]).contains("empty.csv"));
    assert!(fault(&["--curves", "header.csv"]).contains("header.csv"));
    assert!(fault(&["--curves", "overfit.csv", "words.csv"]).contains("words.csv"));
    assert!(fault(&[]).contains("--curves"));
    assert!(fault(&["--curves", "overfit.csv", "--chart", "c.gif"]).contains(".svg or .png"));
    assert!(fault(&["--curves", "overfit.csv", "--html", "none/p.html"]).contains("in a folder that exists"));
    assert!(fault(&["--curves", "overfit.csv", "--train-rows", "0"]).contains("at least 1"));
    assert!(fault(&["--curves", "overfit.csv", "--settings", "none.json"]).contains("none.json"));
}
