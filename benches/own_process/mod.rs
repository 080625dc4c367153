//! Measures time and peak memory in a process of its own.
use std::{fs, path::PathBuf, process::Command, time::Instant};

/// The flag before the arguments of a case.
const CASE: &str = "--case";

/// The arguments of the case that this process is to measure, if it is to measure one.
pub fn case() -> Option<Vec<String>> {
    let args: Vec<String> = std::env::args().collect();
    (args.get(1).map(String::as_str) == Some(CASE)).then(|| args[2..].to_vec())
}

/// Whether figures are wanted; `cargo test` only checks that the benchmark runs.
pub fn measured() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// The numbers that a process of this program prints for a case.
pub fn run<S: AsRef<str>>(case: &[S]) -> Vec<f64> {
    numbers(&mut Command::new(this_program()), case)
}

/// The same of a process that gets no more address space than this, in MiB. On Unix.
#[allow(dead_code)] // no benchmark uses all of them
pub fn run_within<S: AsRef<str>>(mib: usize, case: &[S]) -> Vec<f64> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v \"$0\" && exec \"$@\""]).arg((mib * 1024).to_string()).arg(this_program());
    // Each thread of glibc reserves 64 MiB otherwise.
    numbers(shell.env("MALLOC_ARENA_MAX", "1"), case)
}

fn this_program() -> PathBuf {
    std::env::current_exe().expect("this program has a path")
}

fn numbers<S: AsRef<str>>(child: &mut Command, case: &[S]) -> Vec<f64> {
    child.arg(CASE).args(case.iter().map(AsRef::as_ref));
    // The allocator gives large blocks back at once, so that resident memory is memory in use.
    let output = child.env("MALLOC_MMAP_THRESHOLD_", "131072").output().expect("this program runs again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().map(|x| x.parse().expect("a number")).collect()
}

/// The peak resident memory of this process in MiB; 0 where the system does not report it.
pub fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.
}

/// The growth of the peak in MiB, and the seconds, of some work.
#[allow(dead_code)] // no benchmark uses all of them
pub fn growth_and_seconds<T, E: std::fmt::Debug>(work: impl FnOnce() -> Result<T, E>) -> (f64, f64) {
    // Sets the peak back to what is in use, on Linux.
    fs::write("/proc/self/clear_refs", "5").ok();
    let (before, start) = (peak(), Instant::now());
    let done = work().expect("the work succeeds");
    let measured = (peak() - before, start.elapsed().as_secs_f64());
    drop(done);
    measured
}
