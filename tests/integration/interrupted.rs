//! A study that is killed at random moments and started again ends with the bytes of an uninterrupted one.
use crate::common::example;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Number of kills that must hit a running process.
const KILLS: usize = 20;

fn start(folder: &Path) -> Child {
    let args = "--quiet --data diabetes --hidden 16 --epochs 60 --members 3 --repeats 3 --threads 2 --store members \
                --checkpoint-every 1 --json out.json --chart out.svg --strategy multi-run,bootstrap \
                --combine mean,simplex-squares,average-weights,swa";
    let mut command = Command::new(example("variance_reduction"));
    command.current_dir(folder).args(args.split(' ')).stderr(Stdio::inherit()).spawn().unwrap()
}

/// The members of all stores, by path.
fn members(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.join("members")]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("safetensors") => {
                    drop(files.insert(path.strip_prefix(folder).unwrap().into(), fs::read(&path).unwrap()));
                }
                Some("checkpoint") => panic!("{} is left over", path.display()),
                _ => {}
            }
        }
    }
    files
}

/// The JSON without fields that depend on the time.
fn figures(folder: &Path) -> Value {
    fn timeless(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !name.ends_with("seconds"));
                fields.values_mut().for_each(timeless);
            }
            Value::Array(items) => items.iter_mut().for_each(timeless),
            _ => {}
        }
    }
    let mut figures = serde_json::from_str(&fs::read_to_string(folder.join("out.json")).unwrap()).unwrap();
    timeless(&mut figures);
    figures
}

#[test]
fn a_study_killed_at_any_moment_resumes_to_the_same_bytes() {
    let whole = tempfile::tempdir().unwrap();
    assert!(start(whole.path()).wait().unwrap().success());
    let (expected, expected_figures) = (members(whole.path()), figures(whole.path()));
    // In each repeat and for each strategy: all rows, without the reserved ones, and the average of one run. The
    // multi-run shares the first two with the single networks.
    assert_eq!(expected.len(), 3 * 2 * (3 + 3 + 1));

    // From 10 to 136 milliseconds, in an irregular order.
    let mut moments = (0u64..).map(|i| Duration::from_millis(10 + i * 37 % 127));
    let mut kills = 0;
    while kills < KILLS {
        let cut = tempfile::tempdir().unwrap();
        loop {
            let mut child = start(cut.path());
            // After enough kills, the last process may finish.
            thread::sleep(if kills < KILLS { moments.next().unwrap() } else { Duration::ZERO });
            if kills < KILLS && child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
            if child.wait().unwrap().success() {
                break;
            }
        }
        assert!(members(cut.path()) == expected, "members differ after {kills} kills");
        assert_eq!(figures(cut.path()), expected_figures, "after {kills} kills");
    }
}
