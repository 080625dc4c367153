//! Merge checkpoints in safetensors files into one network, whatever their size.
//!
//! `cargo run --release --example merge -- --help`
mod check;
#[path = "../common/program.rs"]
mod program;

use candle_core::DType;
use candle_ensemble::{
    merge::{self, FileMerge, Method, Written},
    Error,
};
use check::{Activation, Check};
use clap::{Parser, ValueEnum};
use program::{flags, parse_with, program, say, settings, Failure};
use std::{path::PathBuf, process::ExitCode, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Merge networks of one architecture, tensor by tensor and by name, into one safetensors file.
///
/// Inputs may be larger than memory. The result is the same bytes for any number of threads. The output file
/// appears when it is complete. f16, bf16, f32 and f64 are averaged, in f64; integers and booleans are copied
/// from the base, or from the first network, and those of more than one element must be the same everywhere.
/// Batch-norm statistics should be re-estimated afterwards. A warning says when networks look as if they had
/// been trained apart, whose average is mostly worthless; --check measures it.
#[derive(Parser)]
#[command(name = "merge", max_term_width = 100, after_long_help = help())]
struct Args {
    /// Networks, the newest first: safetensors files, indices of sharded checkpoints
    /// (model.safetensors.index.json), or folders with either
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<PathBuf>,
    /// How they are merged: a name, with its arguments if you like (ties:density=0.3)
    #[arg(long, value_name = "NAME", value_parser = method)]
    method: String,
    /// Where the merged network is written; not one of the inputs
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The network from which all others were fine-tuned: for task-arithmetic, ties, dare-*, breadcrumbs* and
    /// model-stock
    #[arg(long, value_name = "NETWORK")]
    base: Option<PathBuf>,
    /// Diagonal Fisher information of each network, for fisher: files with the same names, separated by
    /// commas
    #[arg(long, value_delimiter = ',', value_name = "FILE,…")]
    fishers: Vec<PathBuf>,
    /// Type of the floating-point tensors that are written; the inputs may then have different ones [default:
    /// that of the inputs]
    #[arg(long, value_enum, value_name = "TYPE")]
    dtype: Option<DTypeName>,
    /// Take a tensor that an input lacks for the same as another one, such as an output layer that is tied to
    /// the embedding: lm_head.weight=model.embed_tokens.weight. May be given several times
    #[arg(long, value_name = "NAME=NAME", value_parser = tie)]
    tied: Vec<(String, String)>,
    /// Copy integer tensors of more than one element although they differ between the networks
    #[arg(long)]
    copy_integers: bool,
    /// Measure the networks, their ensemble and the merged network on the arrays `inputs` and `targets` of a
    /// NumPy archive; for multilayer perceptrons
    #[arg(long, value_name = "FILE.npz")]
    check: Option<PathBuf>,
    /// Function between the layers, for --check
    #[arg(long, value_enum, default_value = "relu", requires = "check")]
    activation: Activation,
    /// Number of threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print nothing, not even progress
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "lower")]
enum DTypeName {
    F16,
    Bf16,
    F32,
    F64,
}

/// A known name; its arguments are read when the method is made.
fn method(text: &str) -> Result<String, String> {
    merge::registry().get(text).map(|_| text.to_string()).map_err(|e| e.to_string())
}

/// Two names with an equals sign between them.
fn tie(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, of)) if !name.is_empty() && !of.is_empty() => Ok((name.into(), of.into())),
        _ => Err("it must be two names of tensors, such as lm_head.weight=model.embed_tokens.weight".into()),
    }
}

fn help() -> String {
    format!("Methods:\n{}", merge::registry().help())
}

fn main() -> ExitCode {
    program(|| {
        let (args, matches) = parse_with::<Args>(flags(merge::registry(), "Settings of methods"))?;
        let begun = Instant::now();
        let method = chosen(&args, &settings(merge::registry(), &matches))?;
        let check = args
            .check
            .as_deref()
            .map(|data| Check::new(data, &args.networks, args.activation))
            .transpose()?;
        let written = run(&args, &*method)?;
        if !args.quiet {
            say(summary(&args, written, begun.elapsed().as_secs_f64()));
        }
        if let Some(check) = check {
            let report = check.report(&args.out)?;
            if report.barrier() > 0. {
                warn(
                    &args,
                    "the merged network is worse than its networks are on average; their ensemble may serve",
                );
            }
            say(report);
        }
        Ok(())
    })
}

/// The method that the command line names. A flag that the method does not read would be taken for one that
/// has an effect, so it is an error.
fn chosen(args: &Args, settings: &[(&'static str, String)]) -> Result<Box<dyn Method>, Failure> {
    let entry = merge::registry().get(&args.method)?;
    if let Some((name, _)) = settings.iter().find(|(name, _)| !entry.takes(name)) {
        let must = format!("left out for {}", entry.name());
        return Err(Error::invalid(format!("--{name}"), must, "given").into());
    }
    Ok(merge::registry().parse_with(&args.method, settings)?)
}

fn summary(args: &Args, written: Written, seconds: f64) -> String {
    let (mut size, mut unit) = (written.bytes as f64, "bytes");
    for larger in ["kB", "MB", "GB", "TB"] {
        if size >= 1000. {
            (size, unit) = (size / 1000., larger);
        }
    }
    let digits = if unit == "bytes" { 0 } else { 1 };
    let (from, out) = (args.networks.len(), args.out.display());
    format!("{out}: {} tensors of {from} networks, {size:.digits$} {unit}, {seconds:.1} s", written.tensors)
}

/// The settings of the library that its errors name, and the flags that set them.
const FLAGS: [(&str, &str); 3] = [
    ("copy_integers", "--copy-integers"),
    ("declare it: tied ", "declare it: --tied "),
    ("set the dtype of the result", "set the type of the result with --dtype"),
];

/// An error of a merge, with the names of flags.
fn with_flags(e: Error) -> Failure {
    let settings = matches!(e, Error::Incompatible { .. });
    let text = Failure::from(e).to_string();
    FLAGS.iter().filter(|_| settings).fold(text, |text, (setting, flag)| text.replace(setting, flag)).into()
}

/// Prints a warning on standard error.
fn warn(args: &Args, what: impl std::fmt::Display) {
    if !args.quiet {
        eprintln!("warning: {what}");
    }
}

fn run(args: &Args, method: &dyn Method) -> Result<Written, Failure> {
    let mut merge = FileMerge::new(&args.networks).fishers(&args.fishers).copy_integers(args.copy_integers);
    for (name, of) in &args.tied {
        merge = merge.tied(name, of);
    }
    if let Some(base) = &args.base {
        merge = merge.base(base);
    }
    if let Some(dtype) = args.dtype {
        merge = merge.dtype(match dtype {
            DTypeName::F16 => DType::F16,
            DTypeName::Bf16 => DType::BF16,
            DTypeName::F32 => DType::F32,
            DTypeName::F64 => DType::F64,
        });
    }
    if let Some(threads) = args.threads {
        merge = merge.threads(threads.into());
    }
    let bar = Bar::new(args.quiet);
    let merge = merge.on_progress(|done, total| bar.show(done, total));
    let written = merge.write(method, &args.out);
    bar.clear();
    let written = written.map_err(with_flags)?;
    for warning in merge.warnings()? {
        warn(args, warning);
    }
    Ok(written)
}

/// A bar over the bytes written, on standard error; nothing is drawn where that is not a terminal.
#[cfg(feature = "progress")]
struct Bar(indicatif::ProgressBar);

#[cfg(feature = "progress")]
impl Bar {
    fn new(quiet: bool) -> Self {
        let template = "{spinner} {bar:32} {percent:>3} %  {bytes} of {total_bytes}  {elapsed} (left: {eta})";
        let style = indicatif::ProgressStyle::with_template(template);
        let bar = if quiet { indicatif::ProgressBar::hidden() } else { indicatif::ProgressBar::new(0) };
        Self(style.map_or(bar.clone(), |style| bar.with_style(style)))
    }

    fn show(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(not(feature = "progress"))]
struct Bar;

#[cfg(not(feature = "progress"))]
impl Bar {
    fn new(_quiet: bool) -> Self {
        Self
    }

    fn show(&self, _done: u64, _total: u64) {}

    fn clear(&self) {}
}
