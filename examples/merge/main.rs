//! Merge checkpoints in safetensors files into one network, whatever their size.
//!
//! `cargo run --release --example merge -- --help`
use candle_core::DType;
use candle_ensemble::{
    merge::{
        Breadcrumbs, Dare, FileMerge, Fisher, LinearMerge, Method, ModelStock, Slerp, TaskArithmetic, Ties,
        Written,
    },
    threads, Error, Result,
};
use clap::{Parser, ValueEnum};
use std::{path::PathBuf, process::ExitCode, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Merge networks of one architecture, tensor by tensor and by name, into one safetensors file.
///
/// Inputs may be larger than memory. The result is the same bytes for any number of threads, and takes its place when it
/// is whole. f16, bf16, f32 and f64 are averaged; integers and truth values are copied from the base, or from the first
/// network. Batch-norm statistics should be re-estimated afterwards.
#[derive(Parser)]
#[command(name = "merge")]
struct Args {
    /// Networks, the newest first: safetensors files, indices of sharded checkpoints (model.safetensors.index.json), or
    /// folders with either
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<PathBuf>,
    /// How they are merged
    #[arg(long, value_enum, value_name = "NAME")]
    method: MethodName,
    /// Where the merged network is written; not one of the inputs
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The network from which all were fine-tuned: for task-arithmetic, ties, dare-*, breadcrumbs* and model-stock
    #[arg(long, value_name = "NETWORK")]
    base: Option<PathBuf>,
    /// Diagonal Fisher information of each network, for fisher: files with the same names, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "FILE,…")]
    fishers: Vec<PathBuf>,
    /// A weight for each network, for weighted (where they are divided by their sum), task-arithmetic, ties, dare-*,
    /// breadcrumbs* and fisher [default there: 1 for each]
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, value_name = "W,…")]
    weights: Option<Vec<f64>>,
    /// Share of each task vector that is kept, for ties [default: 0.2], dare-* [default: 0.1] and breadcrumbs*
    /// [default: 0.1]
    #[arg(long, value_name = "SHARE")]
    density: Option<f64>,
    /// Share of each task vector's largest numbers that breadcrumbs* drop [default: 0.01]
    #[arg(long, value_name = "SHARE")]
    gamma: Option<f64>,
    /// What the joined task vectors are multiplied with, for task-arithmetic, ties, dare-* and breadcrumbs* [default: 1]
    #[arg(long, allow_hyphen_values = true, value_name = "FACTOR")]
    lambda: Option<f64>,
    /// From the first network (0) to the second (1), for slerp [default: 0.5]
    #[arg(long, value_name = "T")]
    t: Option<f64>,
    /// Weights fall by 1/e over this many networks, for exponential [default: 2]
    #[arg(long, value_name = "NETWORKS")]
    alpha: Option<f64>,
    /// Least Fisher information that is reckoned with, for fisher [default: 1e-6]
    #[arg(long, value_name = "INFORMATION")]
    floor: Option<f64>,
    /// Type of the floating-point tensors that are written [default: that of the inputs]
    #[arg(long, value_enum, value_name = "TYPE")]
    dtype: Option<DTypeName>,
    /// The same seed drops the same numbers, for dare-* [default: 42]
    #[arg(long)]
    seed: Option<u64>,
    /// Threads at work [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print nothing, not even progress
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodName {
    /// The mean of all
    Uniform,
    /// An average whose weights fall in equal steps, the newest (first) weighing most
    Linear,
    /// An average whose weights fall by the same share each time, the newest (first) weighing most
    Exponential,
    /// An average with --weights
    #[value(alias = "average")]
    Weighted,
    /// The base, plus lambda times the sum of all task vectors (differences from the base)
    TaskArithmetic,
    /// Task vectors trimmed to their largest numbers, joined by sign election
    Ties,
    /// Task vectors with numbers dropped at random and the others rescaled, added up
    #[value(alias = "dare")]
    DareLinear,
    /// The same, joined by sign election
    DareTies,
    /// Interpolation of two networks along the arc between them
    Slerp,
    /// Between the base and the mean, by the angle between task vectors
    ModelStock,
    /// An average weighted by each network's Fisher information
    Fisher,
    /// Task vectors without their largest and smallest numbers, added up
    Breadcrumbs,
    /// The same, joined by sign election
    BreadcrumbsTies,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "lower")]
enum DTypeName {
    F16,
    Bf16,
    F32,
    F64,
}

fn main() -> ExitCode {
    threads::one_core_per_member();
    let args = Args::parse();
    let begun = Instant::now();
    match run(&args) {
        Ok(written) => {
            if !args.quiet {
                println!("{}", closing(&args, written, begun.elapsed().as_secs_f64()));
            }
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

fn closing(args: &Args, written: Written, seconds: f64) -> String {
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

fn run(args: &Args) -> Result<Written> {
    args.refuse_what_is_not_used()?;
    let method = args.method()?;
    let mut merge = FileMerge::new(&args.networks).fishers(&args.fishers);
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
    let written = merge.on_progress(|done, total| bar.show(done, total)).write(&*method, &args.out);
    bar.clear();
    written
}

impl Args {
    fn method(&self) -> Result<Box<dyn Method>> {
        use MethodName as M;
        let (density, lambda) = (|default| self.density.unwrap_or(default), self.lambda.unwrap_or(1.));
        let gamma = self.gamma.unwrap_or(0.01);
        let seed = self.seed.unwrap_or(42);
        /// With the weights, if any were given.
        macro_rules! weighed {
            ($method:expr) => {{
                let method = $method;
                match &self.weights {
                    Some(weights) => Box::new(method.weights(weights)),
                    None => Box::new(method),
                }
            }};
        }
        Ok(match self.method {
            M::Uniform => Box::new(LinearMerge::uniform()),
            M::Linear => Box::new(LinearMerge::falling()),
            M::Exponential => Box::new(LinearMerge::exponential(self.alpha.unwrap_or(2.))),
            M::Weighted => match &self.weights {
                Some(weights) => Box::new(LinearMerge::weighted(weights)),
                None => return Err(Error::invalid("--weights", "given for weighted", "missing")),
            },
            M::TaskArithmetic => weighed!(TaskArithmetic::new().lambda(lambda)),
            M::Ties => weighed!(Ties::new(density(0.2)).lambda(lambda)),
            M::DareLinear => weighed!(Dare::new(density(0.1), seed).lambda(lambda)),
            M::DareTies => weighed!(Dare::new(density(0.1), seed).elect_signs(true).lambda(lambda)),
            M::Slerp => Box::new(Slerp::new(self.t.unwrap_or(0.5))),
            M::ModelStock => Box::new(ModelStock::new()),
            M::Fisher => weighed!(Fisher::new().floor(self.floor.unwrap_or(1e-6))),
            M::Breadcrumbs => weighed!(Breadcrumbs::new(density(0.1), gamma).lambda(lambda)),
            M::BreadcrumbsTies => {
                weighed!(Breadcrumbs::new(density(0.1), gamma).elect_signs(true).lambda(lambda))
            }
        })
    }

    /// An option that the method does not read would be taken for one that had an effect.
    fn refuse_what_is_not_used(&self) -> Result<()> {
        use MethodName as M;
        let dare = [M::DareLinear, M::DareTies];
        let crumbs = [M::Breadcrumbs, M::BreadcrumbsTies];
        let thinned = [&[M::Ties], &dare[..], &crumbs[..]].concat();
        let vectors = [&[M::TaskArithmetic], &thinned[..]].concat();
        let weighed = [&[M::Weighted, M::Fisher], &vectors[..]].concat();
        let options = [
            ("--weights", self.weights.is_some(), &weighed[..]),
            ("--density", self.density.is_some(), &thinned),
            ("--gamma", self.gamma.is_some(), &crumbs),
            ("--lambda", self.lambda.is_some(), &vectors),
            ("--t", self.t.is_some(), &[M::Slerp]),
            ("--alpha", self.alpha.is_some(), &[M::Exponential]),
            ("--floor", self.floor.is_some(), &[M::Fisher]),
            ("--seed", self.seed.is_some(), &dare),
        ];
        match options.iter().find(|(_, given, methods)| *given && !methods.contains(&self.method)) {
            None => Ok(()),
            Some((option, ..)) => {
                let name =
                    self.method.to_possible_value().map_or(String::new(), |v| v.get_name().to_string());
                Err(Error::invalid(*option, format!("left out for {name}"), "given"))
            }
        }
    }
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
