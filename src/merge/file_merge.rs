//! Merging checkpoints on disk that do not fit into memory.
use crate::{
    files::{
        self,
        map::Mapped,
        shards::{Shards, SAFETENSORS},
        tensors::{contents, head},
    },
    merge::{
        methods::{
            input_kinds::InputKinds,
            method::check,
            options::{merge_option_setters, MergeOptions},
            sources::{is_merged, Source},
        },
        Method, Sources,
    },
    threads,
    weights::{
        compatibility::{Kind, Kinds},
        cosine::is_matrix,
    },
    Error, Result,
};
use candle_core::DType;
use rayon::prelude::*;
use safetensors::{tensor::TensorInfo, Dtype};
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender},
    },
};

/// The number of bytes that are copied at a time.
const COPIED: usize = 1 << 20;
/// The number of bytes after which written data is flushed to the disk.
const FLUSHED: u64 = 1 << 25;

/// Merges safetensors files into one, tensor by tensor, on several threads.
///
/// An input is a `.safetensors` file, the index of a sharded checkpoint (`model.safetensors.index.json`), or
/// a folder that contains either. Inputs must not be changed during the merge. The result is one file, which
/// is renamed into place when it is complete. Names, dtypes, integer tensors and errors are as for
/// [`merge`](crate::merge::merge()), and the bytes do not depend on the number of threads.
///
/// Use it for checkpoints that do not fit into memory together; [`merge`](crate::merge::merge()) merges
/// networks in memory.
///
/// Cost: each input is read once, or twice for methods that need thresholds or angles. Inputs are mapped into
/// memory and released as they are read, and the result is written as it is computed, so a merge takes a few
/// MiB of memory a thread for any number and size of inputs. Methods that search for the largest elements of
/// a task vector ([`Ties`], [`Breadcrumbs`]) need up to the size of the largest tensor in addition.
///
/// [`Ties`]: crate::merge::Ties
/// [`Breadcrumbs`]: crate::merge::Breadcrumbs
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::merge::{FileMerge, LinearMerge};
/// use std::collections::HashMap;
///
/// # let folder = tempfile::tempdir()?;
/// let path = |name: &str| folder.path().join(name);
/// for (name, x) in [("a.safetensors", 1f32), ("b.safetensors", 2.)] {
///     let weights = HashMap::from([("bias", Tensor::new(&[x, -x], &Device::Cpu)?)]);
///     candle_core::safetensors::save(&weights, path(name))?;
/// }
/// let merge = FileMerge::new([path("a.safetensors"), path("b.safetensors")]);
/// let written = merge.write(&LinearMerge::uniform(), path("merged.safetensors"))?;
/// assert_eq!(written.tensors, 1);
/// let merged = candle_core::safetensors::load(path("merged.safetensors"), &Device::Cpu)?;
/// assert_eq!(merged["bias"].to_vec1::<f32>()?, [1.5, -1.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileMerge<'a> {
    networks: Vec<PathBuf>,
    base: Option<PathBuf>,
    fishers: Vec<PathBuf>,
    options: MergeOptions,
    threads: Option<usize>,
    progress: Option<Box<dyn Fn(u64, u64) + Sync + 'a>>,
}

/// The size of a written merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of tensors in the file.
    pub tensors: usize,
    /// The length of the file, in bytes.
    pub bytes: u64,
}

impl<'a> FileMerge<'a> {
    /// The networks to merge, the newest first where a method looks at the order.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            networks: networks.into_iter().map(Into::into).collect(),
            base: None,
            fishers: vec![],
            options: MergeOptions::default(),
            threads: None,
            progress: None,
        }
    }

    /// The network that all others were fine-tuned from.
    #[must_use]
    pub fn base(mut self, path: impl Into<PathBuf>) -> Self {
        self.base = Some(path.into());
        self
    }

    /// The diagonal of the Fisher information of each network, at least 0, in tensors of the same names and
    /// shapes.
    #[must_use]
    pub fn fishers(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.fishers = paths.into_iter().map(Into::into).collect();
        self
    }

    merge_option_setters!();

    /// The number of threads; one for each core by default.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Calls `progress` with the number of bytes written so far and in total, from any thread.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(u64, u64) + Sync + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Merges the inputs into the file at `out`. An existing file is replaced.
    ///
    /// # Errors
    /// As [`merge`](crate::merge::merge()). [`Error::Io`] when a file cannot be read or written;
    /// [`Error::Damaged`] or [`Error::Foreign`] when an input is truncated or no safetensors file; when `out`
    /// is one of the inputs. After an error `out` is as before.
    pub fn write(&self, method: &dyn Method, out: impl AsRef<Path>) -> Result<Written> {
        let out = out.as_ref();
        let to = self.options.to()?;
        if self.threads == Some(0) {
            return Err(Error::invalid("the number of threads", "at least 1", 0));
        }
        check(method, self.networks.len(), self.base.is_some(), self.fishers.len())?;
        let (labels, inputs) = self.open()?;
        refuse_inputs(out, &inputs)?;
        self.kinds(&labels, &inputs, to).check()?;
        let Some(model) = inputs.first() else {
            return Err(Error::invalid("the number of networks", "at least 1", 0));
        };
        if model.tensors.is_empty() {
            return Err(Error::invalid(format!("the number of tensors in {}", labels[0]), "at least 1", 0));
        }
        let layout = OutputLayout::new(model, to)?;
        let merging = Merging { merge: self, method, labels: &labels, inputs: &inputs, layout: &layout };
        files::write_file(out, |file| match self.threads {
            None => threads::wide(|| merging.write(out, file)),
            Some(threads) => rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(|e| {
                    Error::invalid("the number of threads", "a number that the system can start", e)
                })?
                .install(|| merging.write(out, file)),
        })?;
        Ok(Written { tensors: layout.tensors.len(), bytes: layout.bytes })
    }

    /// What should be looked at before the merge, although it can be done.
    ///
    /// Each network's weight matrices are compared with those of the base, or of the first network if there is
    /// no base, by their [cosine](crate::weights::cosine()), from a sample of each matrix.
    ///
    /// # Errors
    /// When a file cannot be read or is no safetensors file.
    pub fn warnings(&self) -> Result<Vec<MergeWarning>> {
        let (labels, inputs) = self.open()?;
        let Some(first) = inputs.first().filter(|_| self.networks.len() > 1 || self.base.is_some()) else {
            return Ok(vec![]);
        };
        let factor = first.tensors.keys().find(|name| is_low_rank_factor(name));
        if let Some(name) = factor.filter(|_| self.networks.len() > 1) {
            // Their factors have cosines near 0 whenever they were drawn anew.
            return Ok(vec![MergeWarning::LowRankFactors { name: name.clone() }]);
        }
        let mut warnings = vec![];
        let reference = if self.base.is_some() { self.networks.len() } else { 0 };
        for network in (0..self.networks.len()).filter(|network| *network != reference) {
            let cosine = mean_cosine(&labels, [&inputs[reference], &inputs[network]]);
            if let Some(cosine) = cosine.filter(|cosine| *cosine < RELATED) {
                let [network, other] = [network, reference].map(|i| labels[i].clone());
                warnings.push(MergeWarning::Unrelated { network, other, cosine });
            }
        }
        Ok(warnings)
    }

    /// The labels of the inputs, and the inputs: the networks, the base and the Fisher diagonals.
    fn open(&self) -> Result<(Vec<String>, Vec<Checkpoint>)> {
        let paths = || self.networks.iter().chain(&self.base).chain(&self.fishers);
        let labels = paths().map(|path| path.display().to_string()).collect();
        let inputs = paths().map(|path| Shards::open(path, &[SAFETENSORS], open));
        let mut inputs: Vec<Checkpoint> = inputs.collect::<Result<_>>()?;
        self.options.tie(&mut inputs.iter_mut().map(|input| &mut input.tensors).collect::<Vec<_>>())?;
        Ok((labels, inputs))
    }

    fn kinds<'l>(&self, labels: &'l [String], inputs: &[Checkpoint], to: Option<Dtype>) -> InputKinds<'l> {
        let mut all = labels.iter().zip(inputs).map(|(label, input)| (label.as_str(), input.kinds()));
        InputKinds {
            networks: all.by_ref().take(self.networks.len()).collect(),
            base: all.by_ref().take(usize::from(self.base.is_some())).next(),
            fishers: all.collect(),
            to,
        }
    }
}

impl fmt::Debug for FileMerge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileMerge")
            .field("networks", &self.networks)
            .field("base", &self.base)
            .field("fishers", &self.fishers)
            .field("options", &self.options)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// The cosine from which on networks are taken for relatives: fine-tuned from one network, or of one run.
const RELATED: f64 = 0.5;
/// The number of strips of a matrix that its cosine is estimated from.
const SAMPLED: usize = 64;

/// What should be looked at before a merge. Its `Display` is a sentence.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MergeWarning {
    /// The weight matrices of two inputs are far from parallel, so the networks were probably trained apart.
    Unrelated {
        /// The path of a network.
        network: String,
        /// The path of the base, or of the first network.
        other: String,
        /// The mean cosine between their weight matrices.
        cosine: f64,
    },
    /// The networks are low-rank adapters, whose factors are merged one by one.
    LowRankFactors {
        /// The name of a factor.
        name: String,
    },
}

impl fmt::Display for MergeWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrelated { network, other, cosine } => write!(
                f,
                "the weight matrices of {network} and {other} have a mean cosine of {cosine:.3}, where networks \
                 that were fine-tuned from one network have about 1: they were probably trained apart, and the \
                 merged network will probably be worse than each of them; measure it, align the networks first, or \
                 combine their predictions instead"
            ),
            Self::LowRankFactors { name } => write!(
                f,
                "{name} is a factor of a low-rank adapter: the mean of products is not the product of means; apply \
                 each adapter to its base and merge the results instead"
            ),
        }
    }
}

/// Whether a tensor is a factor of a low-rank adapter, by the names that are in use for them.
fn is_low_rank_factor(name: &str) -> bool {
    ["lora_A", "lora_B", "lora_down", "lora_up", "lora_embedding_"].iter().any(|part| name.contains(part))
}

/// The mean cosine between the weight matrices of two checkpoints, estimated from a sample; none without
/// matrices that both have.
fn mean_cosine(labels: &[String], pair: [&Checkpoint; 2]) -> Option<f64> {
    let cosines = pair[0].tensors.iter().filter_map(|(name, (_, info))| {
        let (_, other) = pair[1].tensors.get(name)?;
        let alike = is_merged(info.dtype) && is_merged(other.dtype) && info.shape == other.shape;
        let len = info.shape.iter().product();
        let sources = Sources {
            name,
            labels,
            len: Some(len).filter(|_| alike && is_matrix(&info.shape))?,
            networks: 2,
            has_base: false,
            inputs: pair.iter().filter_map(|input| input.source(name)).collect(),
            to: info.dtype,
            shared: false,
        };
        Some((sources.sampled_cosine(SAMPLED)?, len as f64))
    });
    let (sum, weight) = cosines.fold((0., 0.), |(sum, all), (cosine, len)| (sum + cosine * len, all + len));
    (weight > 0.).then(|| sum / weight)
}

/// The layout of the file that is written.
struct OutputLayout<'a> {
    head: Vec<u8>,
    tensors: Vec<OutputTensor<'a>>,
    bytes: u64,
}

/// A tensor of that file, and its position.
struct OutputTensor<'a> {
    name: &'a str,
    from: Dtype,
    to: Dtype,
    shape: &'a [usize],
    start: u64,
}

impl<'a> OutputLayout<'a> {
    fn new(model: &'a Checkpoint, to: Option<Dtype>) -> Result<Self> {
        let tensor = |(name, (_, info)): (&'a String, &'a (usize, TensorInfo))| {
            let to = to.filter(|_| is_merged(info.dtype)).unwrap_or(info.dtype);
            OutputTensor { name, from: info.dtype, to, shape: &info.shape, start: 0 }
        };
        let mut tensors: Vec<_> = model.tensors.iter().map(tensor).collect();
        // As safetensors does: the largest dtypes first, so that all are aligned; then by name.
        tensors.sort_by(|a, b| b.to.cmp(&a.to).then_with(|| a.name.cmp(b.name)));
        let mut bytes = 0u64;
        for tensor in &mut tensors {
            tensor.start = bytes;
            let size = (tensor.len() as u64).checked_mul(tensor.to.bitsize() as u64 / 8);
            bytes = size
                .and_then(|size| bytes.checked_add(size))
                .filter(|sum| *sum < i64::MAX as u64)
                .ok_or_else(|| Error::invalid("the merged file", "shorter than 2^63 bytes", "longer"))?;
        }
        let head = head(tensors.iter().map(|tensor| (tensor.name, tensor.to, tensor.shape)))?;
        tensors.iter_mut().for_each(|tensor| tensor.start += head.len() as u64);
        Ok(Self { bytes: bytes + head.len() as u64, head, tensors })
    }
}

impl OutputTensor<'_> {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A merge in progress.
struct Merging<'a> {
    merge: &'a FileMerge<'a>,
    method: &'a dyn Method,
    labels: &'a [String],
    inputs: &'a [Checkpoint],
    layout: &'a OutputLayout<'a>,
}

impl Merging<'_> {
    fn write(&self, path: &Path, file: &File) -> Result<()> {
        let failed = |e| files::failed(path, e);
        file.set_len(self.layout.bytes).map_err(failed)?;
        let (flush, flushes) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            // A thread flushes to the disk during the merge. Each error of `sync_data` is reported to one
            // caller only.
            let disk = move || flushes.iter().try_for_each(|()| file.sync_data());
            let disk =
                std::thread::Builder::new().name("disk".into()).spawn_scoped(scope, disk).map_err(failed)?;
            let merged = self.write_all(path, file, flush);
            let written = disk.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
            merged.and(written.map_err(failed))
        })
    }

    fn write_all(&self, path: &Path, file: &File, flush: SyncSender<()>) -> Result<()> {
        let written = AtomicU64::new(0);
        let out = Output {
            path,
            file,
            total: self.layout.bytes,
            written,
            flush,
            progress: self.merge.progress.as_deref(),
        };
        out.put(&self.layout.head, 0)?;
        let all = self.layout.tensors.iter().map(|tensor| (tensor, self.sources(tensor)));
        let (large, small): (Vec<_>, Vec<_>) = all.partition(|(_, sources)| sources.is_large());
        for (tensor, mut sources) in large {
            sources.shared = true;
            self.write_tensor(tensor, &sources, &out)?;
        }
        small.par_iter().try_for_each(|(tensor, sources)| self.write_tensor(tensor, sources, &out))
    }

    fn sources<'s>(&'s self, tensor: &'s OutputTensor<'_>) -> Sources<'s> {
        Sources {
            name: tensor.name,
            labels: self.labels,
            len: tensor.len(),
            networks: self.merge.networks.len(),
            has_base: self.merge.base.is_some(),
            inputs: self.inputs.iter().filter_map(|input| input.source(tensor.name)).collect(),
            to: tensor.to,
            shared: false,
        }
    }

    fn write_tensor(&self, tensor: &OutputTensor<'_>, sources: &Sources<'_>, out: &Output<'_>) -> Result<()> {
        if !is_merged(tensor.from) {
            if !self.merge.options.copy_integers {
                sources.refuse_different()?;
            }
            let copied = usize::from(sources.has_base) * sources.networks;
            return sources.inputs.get(copied).map_or(Ok(()), |source| copy(source, tensor, out));
        }
        let width = tensor.to.bitsize() as u64 / 8;
        sources.merge(self.method, |span, bytes| {
            out.put(bytes, tensor.start + (span * sources.span()) as u64 * width)
        })
    }
}

/// Writes a tensor unchanged.
fn copy(source: &Source<'_>, tensor: &OutputTensor<'_>, out: &Output<'_>) -> Result<()> {
    for start in (0..source.bytes.len()).step_by(COPIED) {
        let range = start..(start + COPIED).min(source.bytes.len());
        out.put(&source.bytes[range.clone()], tensor.start + start as u64)?;
        source.release(&range);
    }
    Ok(())
}

/// The file that several threads write.
struct Output<'a> {
    path: &'a Path,
    file: &'a File,
    total: u64,
    written: AtomicU64,
    /// Wakes the thread that flushes to the disk.
    flush: SyncSender<()>,
    progress: Option<&'a (dyn Fn(u64, u64) + Sync + 'a)>,
}

impl Output<'_> {
    fn put(&self, bytes: &[u8], at: u64) -> Result<()> {
        write_at(self.file, bytes, at).map_err(|e| files::failed(self.path, e))?;
        let count = bytes.len() as u64;
        let written = self.written.fetch_add(count, Ordering::Relaxed) + count;
        if written / FLUSHED != (written - count) / FLUSHED {
            // If that thread is still flushing, the next time will do.
            let _ = self.flush.try_send(());
        }
        if let Some(progress) = self.progress {
            progress(written, self.total);
        }
        Ok(())
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => (bytes, at) = (&bytes[n..], at + n as u64),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A checkpoint on disk, mapped into memory.
type Checkpoint = Shards<Mapped, TensorInfo>;

impl Checkpoint {
    fn kinds(&self) -> Kinds {
        let kind = |info: &TensorInfo| Kind { dtype: info.dtype, shape: info.shape.clone() };
        self.tensors.iter().map(|(name, (_, info))| (name.clone(), kind(info))).collect()
    }

    fn source(&self, name: &str) -> Option<Source<'_>> {
        let (file, info) = self.tensors.get(name)?;
        let (_, map) = self.files.get(*file)?;
        let (start, end) = info.data_offsets;
        Some(Source { bytes: map.bytes().get(start..end)?, dtype: info.dtype, file: Some((map, start)) })
    }
}

/// Maps a safetensors file and checks its header.
fn open(path: &Path) -> Result<(Mapped, BTreeMap<String, TensorInfo>)> {
    let map = Mapped::open(path).map_err(|e| files::failed(path, e))?;
    let tensors = contents(map.bytes()).map_err(|fault| fault.of(path.display()))?;
    let first = tensors.first().map_or(map.bytes().len(), |(_, info)| info.data_offsets.0);
    map.release(&(0..first));
    Ok((map, tensors.into_iter().collect()))
}

/// Checks that the output file is not one of the inputs.
fn refuse_inputs(out: &Path, inputs: &[Checkpoint]) -> Result<()> {
    let Ok(out) = fs::canonicalize(out) else { return Ok(()) };
    let paths = inputs.iter().flat_map(|input| input.files.iter().map(|(path, _)| path).chain(&input.index));
    for path in paths {
        if fs::canonicalize(path).is_ok_and(|path| path == out) {
            return Err(Error::invalid("the output", "a file other than the inputs", out.display()));
        }
    }
    Ok(())
}
