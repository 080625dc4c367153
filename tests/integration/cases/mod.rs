//! Inputs of users that broke the examples, in `tests/cases`: what the programs do with them now.
use crate::common::example;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

mod csv;
mod merge;
mod npz;

/// The folder of a case.
fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// What an example did: its exit status, what it printed, and the folder `$OUT`.
struct Ran {
    status: Option<i32>,
    stdout: String,
    stderr: String,
    out: TempDir,
}

impl Ran {
    /// What it printed. It must have ended without an error.
    #[track_caller]
    fn success(&self) -> &str {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        &self.stdout
    }

    /// The message of an error: one line, exit status 2, and nothing written.
    #[track_caller]
    fn error(&self) -> &str {
        assert_eq!(self.status, Some(2), "{}{}", self.stdout, self.stderr);
        let line = self.stderr.lines().find(|line| line.starts_with("error: ")).expect("an error");
        assert!(!line.contains("Error {") && !line.contains("Some("), "Rust's debug text: {line}");
        assert_eq!(self.out.path().read_dir().unwrap().count(), 0, "an error leaves no file behind");
        line
    }
}

/// Runs an example in the folder of a case. `$OUT` in an argument becomes a folder of its own.
fn run(program: &str, name: &str, args: &[&str]) -> Ran {
    run_in(program, &case(name), args)
}

/// Runs an example in a folder. `$OUT` in an argument becomes a folder of its own.
fn run_in(program: &str, folder: &Path, args: &[&str]) -> Ran {
    let out = tempfile::tempdir().unwrap();
    let args = args.iter().map(|arg| arg.replace("$OUT", out.path().to_str().unwrap()));
    let Output { status, stdout, stderr } =
        Command::new(example(program)).current_dir(folder).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: status.code(), stdout: text(stdout), stderr: text(stderr), out }
}
