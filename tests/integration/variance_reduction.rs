//! The example `variance_reduction`, run as a program: its files, its figures, and its error messages. `cargo
//! test` builds it.
use crate::common::example;
use serde_json::Value;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn program() -> PathBuf {
    example("variance_reduction")
}

/// Runs the example in this folder with a small problem.
fn run(folder: &Path, args: &[&str]) -> Output {
    let small = ["--quiet", "--epochs", "2", "--members", "3", "--repeats", "2", "--hidden", "4"];
    // A flag given twice is an error, so a flag of the test replaces the default one.
    let small = small[1..].chunks(2).filter(|pair| !args.contains(&pair[0])).flatten();
    Command::new(program()).current_dir(folder).arg("--quiet").args(small).args(args).output().unwrap()
}

fn succeed(folder: &Path, args: &[&str]) -> Value {
    let output = run(folder, &[args, &["--json", "out.json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "--quiet: {output:?}");
    serde_json::from_str(&fs::read_to_string(folder.join("out.json")).unwrap()).unwrap()
}

/// The error message for invalid arguments or input: one line, with exit status 2.
fn fail(folder: &Path, args: &[&str]) -> String {
    let before = listing(folder);
    let output = run(folder, &[args, &["--json", "out.json"]].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(text.starts_with("error: ") && text.ends_with('\n'), "{text}");
    assert!(output.stdout.is_empty());
    assert_eq!(listing(folder), before, "{args:?}: no file is left behind");
    text
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A table of two input columns, with a class column between them, and a value column.
fn table() -> String {
    let mut text = String::from("length,kind,width,value\n");
    for i in 0..60u32 {
        let (kind, wobble) = (["ant", "bee", "cow"][i as usize % 3], f64::from(i * 37 % 100) / 100.);
        let length = f64::from(i % 3) + wobble;
        let width = 3. - f64::from(i % 3) - 0.5 * wobble;
        writeln!(text, "{length},{kind},{width},{:.3}", 2. * length - width).unwrap();
    }
    text
}

/// A folder with that table in `table.csv`, and variants of it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    put("table.csv", table());
    // A table of numbers only, with the target last.
    let numbers = table().replace("ant", "0").replace("bee", "1").replace("cow", "2");
    put("numbers.csv", numbers.clone());
    let line = numbers.lines().nth(7).unwrap().to_string();
    let cells: Vec<_> = line.split(',').map(String::from).collect();
    let with = |cell: usize, text: &str| {
        let mut cells = cells.clone();
        cells[cell] = text.into();
        numbers.replace(&line, &cells.join(","))
    };
    put("nan.csv", with(2, "NaN"));
    put("text.csv", with(2, "wide"));
    put("no_target.csv", with(3, ""));
    put("nan_target.csv", with(3, "nan"));
    put("short.csv", numbers.replace(&line, "1,2"));
    put("one_class.csv", table().replace("bee", "ant").replace("cow", "ant"));
    put("header.csv", "a,b\n".into());
    put("empty.csv", String::new());
    put("binary.csv", String::from("a,b\n\u{fffd}").replace('\u{fffd}', "1,2\n"));
    fs::write(folder.path().join("latin1.csv"), b"a,b\n1,caf\xe9\n2,x\n").unwrap();
    folder
}

/// The JSON without fields that depend on the time.
fn timeless(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !name.ends_with("seconds"));
            kept.map(|(name, value)| (name.clone(), timeless(value))).collect()
        }
        Value::Array(values) => values.iter().map(timeless).collect(),
        other => other.clone(),
    }
}

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_file_has_every_figure() {
    let folder = folder();
    let args = ["--strategy", "multi-run,bootstrap:4", "--combine", "mean,hard-vote,stack-logistic,swa"];
    let args =
        [&["--data", "table.csv", "--target", "kind", "--seed", "7", "--epochs", "4"], &args[..]].concat();
    let out = succeed(folder.path(), &args);
    let top = [
        "budget_epochs",
        "enough_members",
        "ensembles",
        "higher_is_better",
        "metric",
        "metrics",
        "repeats",
        "settings",
        "single",
        "splits",
        "strategies",
        "test_rows",
        "train_rows",
        "warnings",
    ];
    assert_eq!(names(&out), top);
    assert_eq!(out["metrics"], serde_json::json!(["accuracy", "nll", "brier", "ece"]));
    assert_eq!((&out["metric"], &out["repeats"]), (&"accuracy".into(), &2.into()));
    assert_eq!((&out["train_rows"], &out["test_rows"]), (&42.into(), &18.into()));

    let settings = &out["settings"];
    for (name, value) in [
        ("data", Value::from("table.csv")),
        ("target", "kind".into()),
        ("task", "classification".into()),
        ("hidden", serde_json::json!([4])),
        ("epochs", 4.into()),
        ("members", 3.into()),
        ("repeats", 2.into()),
        ("seed", 7.into()),
        ("strategy", serde_json::json!(["multi-run", "bootstrap:4"])),
        ("combine", serde_json::json!(["mean", "hard-vote", "stack-logistic", "swa"])),
        ("optimizer", "adam".into()),
        ("lr", 1e-3.into()),
        ("batch", 32.into()),
        ("test_fraction", 0.3.into()),
        ("standardize", true.into()),
    ] {
        assert_eq!(settings[name], value, "{name}");
    }

    let metrics = ["accuracy", "brier", "ece", "nll"];
    let cost = ["bytes", "fit_seconds", "prediction_networks", "train_seconds", "trained_epochs"];
    assert_eq!(
        names(&out["single"]),
        ["confusion", "cost", "learning_curve", "metrics", "reliability", "repeats", "spread"]
    );
    assert_eq!(names(&out["single"]["metrics"]), metrics);
    assert_eq!(names(&out["single"]["cost"]), cost);
    let of_repeat = out["single"]["repeats"][1].as_array().unwrap();
    assert_eq!(of_repeat.len(), 3, "each member of each repeat");
    assert_eq!(names(&of_repeat[0]), metrics);

    let ensembles = out["ensembles"].as_array().unwrap();
    let kinds: Vec<_> = ensembles.iter().map(|e| (e["strategy"].as_str(), e["combine"].as_str())).collect();
    let expected = ["multi-run", "bootstrap:4"].into_iter().flat_map(|strategy| {
        ["mean", "hard-vote", "stack-logistic", "swa"].map(|rule| (Some(strategy), Some(rule)))
    });
    assert_eq!(kinds, expected.collect::<Vec<_>>());
    for ensemble in ensembles {
        for field in ["strategy", "combine", "metrics", "difference", "cost", "fitted_on"] {
            assert!(ensemble.get(field).is_some(), "{field}");
        }
        let (combine, of_four) =
            (ensemble["combine"].as_str().unwrap(), ensemble["strategy"] == "bootstrap:4");
        let members = if of_four { 4 } else { 3 };
        assert_eq!(names(&ensemble["metrics"]), metrics);
        assert_eq!(names(&ensemble["metrics"]["accuracy"]), ["mean", "n", "sd"]);
        assert_eq!(ensemble["members"], members);
        assert_eq!(names(&ensemble["cost"]), cost);
        let networks = if combine == "swa" { 1. } else { f64::from(members) };
        assert_eq!(ensemble["cost"]["prediction_networks"], networks);
        assert_eq!(names(&ensemble["difference"]), ["estimate", "high", "level", "low"]);
        match (combine, of_four) {
            ("stack-logistic", true) => assert_eq!(ensemble["fitted_on"]["source"], "out-of-bag"),
            ("stack-logistic", false) => {
                assert_eq!(ensemble["fitted_on"], serde_json::json!({ "source": "reserved", "rows": 9 }));
            }
            _ => assert_eq!(ensemble["fitted_on"], Value::Null),
        }
        let repeats = ensemble["repeats"].as_array().unwrap();
        assert_eq!(repeats.len(), 2);
        for (i, repeat) in repeats.iter().enumerate() {
            assert_eq!(names(repeat), ["cost", "members_mean", "metrics", "repeat", "single_mean", "split"]);
            assert_eq!((&repeat["repeat"], names(&repeat["metrics"])), (&i.into(), metrics.to_vec()));
        }
        let curve = ensemble["size_curve"].as_array().unwrap();
        if combine == "stack-logistic" || combine == "swa" {
            assert!(curve.is_empty());
            continue;
        }
        let members = members as usize;
        assert_eq!(curve.len(), members);
        for (i, point) in curve.iter().enumerate() {
            assert_eq!(
                (&point["size"], names(point)),
                (&(i + 1).into(), vec!["mean", "n", "repeats", "sd", "size"])
            );
            assert_eq!(point["repeats"][0].as_array().unwrap().len(), members / (i + 1));
        }
        // The curve starts at single networks and ends at the whole ensemble.
        for i in 0..2 {
            let repeat = &repeats[i];
            assert_eq!(curve[members - 1]["repeats"][i][0], repeat["metrics"]["accuracy"]);
            let singles = curve[0]["repeats"][i].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
            let mean = singles.sum::<f64>() / members as f64;
            assert!((mean - repeat["members_mean"].as_f64().unwrap()).abs() < 1e-12);
        }
    }
}

#[test]
fn figures_depend_on_the_seed_and_on_nothing_else() {
    let folder = folder();
    let figures = |args: &[&str]| {
        let base = ["--data", "table.csv", "--target", "kind"];
        timeless(&succeed(folder.path(), &[&base, args].concat()))
    };
    let first = figures(&["--threads", "1"]);
    assert_eq!(figures(&["--threads", "2"]), first);
    assert_eq!(figures(&["--threads", "1", "--chart", "other.png"]), first);
    let other = figures(&["--threads", "1", "--seed", "43"]);
    assert_ne!(other["ensembles"], first["ensembles"]);
    assert_ne!(other["single"], first["single"]);
}

#[test]
fn tasks_are_inferred_or_given() {
    let folder = folder();
    let of = |args: &[&str]| {
        let out = succeed(folder.path(), &[&["--data", "numbers.csv"], args].concat());
        let metric = out["metric"].as_str().unwrap().to_string();
        let rules: Vec<_> = out["settings"]["combine"].as_array().unwrap().clone();
        (out["settings"]["task"].clone(), out["settings"]["target"].clone(), metric, rules.len())
    };
    let class = ("classification".into(), "kind".into(), "accuracy".to_string(), 4);
    assert_eq!(of(&["--target", "kind"]), class, "whole numbers, few of them");
    assert_eq!(of(&[]), ("regression".into(), "value".into(), "rmse".into(), 4), "the last column");
    assert_eq!(
        of(&["--target", "kind", "--task", "regression"]),
        ("regression".into(), "kind".into(), "rmse".into(), 4)
    );
    let first = succeed(folder.path(), &["--data", "numbers.csv", "--train-rows", "50"]);
    assert_eq!((&first["train_rows"], &first["test_rows"]), (&50.into(), &10.into()));
    assert_eq!(first["settings"]["test_fraction"], Value::Null);
}

/// The figures are in the units of the table, although targets are standardized for training.
#[test]
fn errors_are_in_the_units_of_the_targets() {
    let folder = folder();
    let rmse = |file: &str| {
        let args = ["--data", file, "--epochs", "40", "--lr", "0.02", "--combine", "mean"];
        let out = succeed(folder.path(), &args);
        out["ensembles"][0]["metrics"]["rmse"]["mean"].as_f64().unwrap()
    };
    let thousandfold = table().replace("ant", "0").replace("bee", "1").replace("cow", "2");
    let mut lines = thousandfold.lines();
    let mut text = format!("{}\n", lines.next().unwrap());
    for line in lines {
        let (rest, value) = line.rsplit_once(',').unwrap();
        writeln!(text, "{rest},{}", value.parse::<f64>().unwrap() * 1000.).unwrap();
    }
    fs::write(folder.path().join("thousandfold.csv"), text).unwrap();
    let (one, thousand) = (rmse("numbers.csv"), rmse("thousandfold.csv"));
    assert!((thousand / one / 1000. - 1.).abs() < 1e-2, "{one} and {thousand}");
}

#[test]
fn charts_are_written_in_both_formats() {
    let folder = folder();
    let args = ["--data", "numbers.csv", "--repeats", "1", "--combine", "mean"];
    succeed(folder.path(), &[&args[..], &["--chart", "a.svg"]].concat());
    succeed(folder.path(), &[&args[..], &["--chart", "b.PNG"]].concat());
    succeed(folder.path(), &args);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(String::from_utf8(read("a.svg")).unwrap().contains("<svg"));
    assert!(read("b.PNG").starts_with(b"\x89PNG\r\n\x1a\n"));
    assert_eq!(read("variance_reduction.svg"), read("a.svg"), "the default");
    let odd: Vec<_> = listing(folder.path())
        .into_iter()
        .filter(|file| {
            file.extension().is_none_or(|e| !["csv", "svg", "PNG", "json"].contains(&e.to_str().unwrap()))
        })
        .collect();
    assert!(odd.is_empty(), "no scraps: {odd:?}");
}

#[test]
fn it_talks_unless_told_to_be_quiet() {
    let folder = folder();
    let args =
        ["--data", "numbers.csv", "--epochs", "1", "--members", "2", "--repeats", "2", "--hidden", "3"];
    let output = Command::new(program()).current_dir(folder.path()).args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in
        ["3 columns", "42 rows to train on", "18 to test on", "\"value\"", "regression", "inferred", "rmse"]
    {
        assert!(text.contains(part), "{text} does not say {part}");
    }
    assert!(
        text.contains("bootstrap") && text.contains("multi-run") && text.contains("variance_reduction.svg")
    );
}

#[test]
fn an_invalid_table_gives_a_message_of_one_line() {
    let folder = folder();
    for (args, parts) in [
        (&["nosuch.csv"][..], &["--data", "digits, wine, diabetes", "nosuch.csv"][..]),
        (&["."], &["--data", "digits, wine, diabetes"]),
        (&["table.csv", "--target", "colour"], &["--target", "length, kind, width, value", "\"colour\""]),
        (&["digits", "--target", "digit"], &["--target", "CSV"]),
        (&["digits", "--drop", "1"], &["--drop", "CSV"]),
        (&["table.csv", "--drop", "colour"], &["--drop", "length, kind, width, value", "\"colour\""]),
        (&["table.csv", "--drop", "length,kind,width"], &["table.csv", "two columns or more"]),
        (&["nan.csv"], &["\"width\"", "line 8", "a finite number", "NaN"]),
        (&["text.csv"], &["\"width\"", "line 8", "a finite number", "wide"]),
        (&["no_target.csv"], &["\"value\"", "line 8", "there"]),
        (&["nan_target.csv"], &["\"value\"", "line 8", "there"]),
        (&["short.csv"], &["line 8", "4 fields", "2"]),
        (&["one_class.csv", "--target", "kind"], &["class"]),
        (&["table.csv", "--target", "kind", "--task", "regression"], &["\"kind\"", "a finite number", "ant"]),
        (&["header.csv"], &["--data", "at least one row"]),
        (&["empty.csv"], &["empty.csv", "two columns"]),
        (&["binary.csv"], &["rows"]),
        (&["latin1.csv"], &["latin1.csv", "UTF-8"]),
    ] {
        let text = fail(folder.path(), &[&["--data"], args].concat());
        for part in parts {
            assert!(text.contains(part), "{args:?}: {text} does not say {part}");
        }
    }
}

#[test]
fn an_invalid_value_gives_a_message_of_one_line() {
    let folder = folder();
    for (args, parts) in [
        (&["--members", "0"][..], &["--members", "at least 1", "'0'"][..]),
        (&["--members", "-3"], &["--members", "at least 1", "'-3'"]),
        (&["--members", "many"], &["--members", "a whole number"]),
        (&["--repeats", "0"], &["--repeats", "at least 1"]),
        (&["--epochs", "0"], &["--epochs", "at least 1"]),
        (&["--batch", "0"], &["--batch", "at least 1"]),
        (&["--threads", "0"], &["--threads", "at least 1"]),
        (&["--train-rows", "0"], &["--train-rows", "at least 1"]),
        (&["--train-rows", "60"], &["--train-rows", "between 1 and 59", "60"]),
        (&["--train-rows", "1000"], &["--train-rows", "between 1 and 59", "1000"]),
        (&["--test-fraction", "1.5"], &["--test-fraction", "between 0 and 1", "1.5"]),
        (&["--test-fraction", "0"], &["--test-fraction", "between 0 and 1"]),
        (&["--test-fraction", "NaN"], &["--test-fraction", "between 0 and 1"]),
        (&["--test-fraction", "0.5", "--train-rows", "5"], &["--test-fraction", "--train-rows"]),
        (&["--hidden", "abc"], &["--hidden", "a whole number, at least 1", "abc"]),
        (&["--hidden", "8,0"], &["--hidden", "at least 1"]),
        (&["--hidden", ""], &["--hidden"]),
        (&["--lr", "0"], &["--lr", "above 0"]),
        (&["--lr", "-1"], &["--lr", "above 0", "'-1'"]),
        (&["--lr", "inf"], &["--lr", "above 0"]),
        (&["--lr", "fast"], &["--lr", "a number above 0"]),
        (&["--momentum", "1"], &["--momentum", "below 1"]),
        (&["--weight-decay", "-0.1"], &["--weight-decay", "at least 0"]),
        (&["--epsilon", "0"], &["--epsilon", "above 0"]),
        (&["--seed", "-1"], &["--seed", "a whole number"]),
        (&["--chart", "x.bmp"], &["--chart", ".svg or .png", "x.bmp"]),
        (&["--chart", "x"], &["--chart", ".svg or .png"]),
        (&["--chart", "nowhere/x.svg"], &["--chart", "a folder that exists", "nowhere/x.svg"]),
        (&["--optimizer", "adamm"], &["--optimizer", "adam, sgd", "'adamm'"]),
        (&["--strategy", "stacking"], &["--strategy", "multi-run, bootstrap"]),
        (&["--strategy", "bootstrap:x"], &["the argument runs of bootstrap", "a whole number"]),
        (&["--strategy", "bootstrap+snapshots"], &["--strategy", "did you mean snapshot?"]),
        (&["--combine", "mode"], &["--combine", "one of mean, "]),
        (&["--combine", "hard-vote"], &["--combine", "combinations for values", "hard-vote"]),
        (&["--combine", "mean,mean-log"], &["--combine", "combinations for values", "geometric-mean"]),
        (&["--combine", "mean,mean"], &["combinations", "different", "\"mean\" twice"]),
        (&["--strategy", "horizontal:9"], &["run 0", "epochs"]),
        (&["--metrics", "accuracy"], &["--metrics", "metrics for values", "accuracy"]),
        (&["--metrics", "acuracy"], &["--metrics", "did you mean accuracy?"]),
        (&["--splits", "0"], &["--splits", "at least 1"]),
        (&["--splits", "2", "--train-rows", "9"], &["--splits", "--train-rows"]),
        (&["--reserve", "1"], &["--reserve", "between 0 and 1"]),
        (&["--max-barrier", "low"], &["--max-barrier", "a number"]),
        (&["--budget-epochs", "2"], &["budget_epochs", "at least 3", "2"]),
        (&["--html", "x.pdf"], &["--html", ".html", "x.pdf"]),
        (&["--html", "nowhere/x.html"], &["--html", "a folder that exists"]),
        (&["--delimiter", "ab"], &["--delimiter", "one character"]),
        (&["--decimal", ";"], &["--decimal", "a point or a comma"]),
        (&["--encoding", "klingon"], &["--encoding", "windows-1252", "klingon"]),
        (&["--task", "ranking"], &["--task", "classification, regression"]),
        (&["--init", "nosuch"], &["--init", "nosuch"]),
        (&["--standardize", "maybe"], &["--standardize", "true, false"]),
        (&["--standardize"], &["--standardize", "a value is required"]),
        (&["--memberz", "3"], &["--memberz", "--members"]),
        (&["--xyzzy"], &["--xyzzy", "--help"]),
        (&["table.csv"], &["table.csv", "--help"]),
    ] {
        let text = fail(folder.path(), &[&["--data", "numbers.csv"], args].concat());
        for part in parts {
            assert!(text.contains(part), "{args:?}: {text} does not say {part}");
        }
    }
    let output = run(folder.path(), &["--data", "numbers.csv", "--json", "nowhere/out.json"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1));
    assert!(text.contains("--json") && text.contains("a folder that exists"), "{text}");
}

#[test]
fn a_training_that_diverges_gets_one_line_and_leaves_no_file() {
    let folder = folder();
    let args = ["--data", "numbers.csv", "--optimizer", "sgd", "--lr", "1e30", "--standardize", "false"];
    let text = fail(folder.path(), &args);
    assert!(text.contains("diverged") && text.contains("lower the learning rate"), "{text}");
}

/// Ctrl-C says what is kept and how to go on, and ends with the status of an interrupted program.
#[cfg(unix)]
#[test]
fn an_interrupted_program_says_how_to_go_on() {
    use std::process::Stdio;
    let folder = folder();
    let long = ["--data", "numbers.csv", "--epochs", "100000", "--members", "2", "--repeats", "2", "--quiet"];
    for (args, parts) in [
        (&[][..], &["nothing is kept", "--store FOLDER"][..]),
        (&["--store", "members"], &["are in members", "the same command continues"]),
    ] {
        let mut command = Command::new(program());
        command
            .current_dir(folder.path())
            .args(long)
            .args(args)
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "it was still running");
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert!(text.starts_with("\ninterrupted: ") && text.trim().lines().count() == 1, "{text}");
        for part in parts {
            assert!(text.contains(part), "{text} does not say {part}");
        }
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_explains_every_flag() {
    let folder = folder();
    let output = Command::new(program()).current_dir(folder.path()).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    let help = String::from_utf8(output.stdout).unwrap();
    let options = help.split_once("Options:").unwrap().1;
    let mut flags = vec![];
    let lines: Vec<_> = options.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        let trimmed = line.trim();
        if line.starts_with("      --") || line.starts_with("  -") {
            let flag = trimmed.split([' ', ',']).find(|word| word.starts_with("--")).unwrap();
            let next = lines[i + 1].trim();
            assert!(next.len() > 5 && !next.starts_with('-'), "{flag} is explained: {next}");
            flags.push(flag.to_string());
        }
    }
    for flag in "data target drop delimiter encoding decimal no-header task train-rows test-fraction standardize hidden optimizer lr momentum weight-decay settings activation \
                 epsilon init batch epochs strategy members combine metrics repeats splits reserve max-barrier budget-epochs seed threads store checkpoint-every json html \
                 chart list quiet help \
                 version"
        .split_whitespace()
    {
        assert!(flags.contains(&format!("--{flag}")), "--{flag} in {flags:?}");
    }
    assert_eq!(flags.len(), 42);
    let version = Command::new(program()).arg("--version").output().unwrap();
    assert!(version.status.success());
    assert!(String::from_utf8(version.stdout).unwrap().contains(env!("CARGO_PKG_VERSION")));
}
