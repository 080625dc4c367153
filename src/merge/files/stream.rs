//! Merging checkpoints that do not fit in memory.
use crate::{
    files::{
        self,
        header::FormatError,
        map::Mapped,
        tensors::{contents, head},
    },
    merge::{
        files::headers::Family,
        methods::{
            method::check,
            sources::{encode, is_merged, Source},
        },
        Method, Sources,
    },
    threads,
    weights::compatibility::{Kind, Kinds},
    Error, Result,
};
use candle_core::DType;
use pulp::bytemuck::cast_slice;
use rayon::prelude::*;
use safetensors::{tensor::TensorInfo, Dtype};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io,
    path::{Component, Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender},
    },
};

/// What the name of a sharded checkpoint's index ends with.
const INDEX: &str = ".safetensors.index.json";
/// The usual names.
const WHOLE: &str = "model.safetensors";
/// The longest index.
const LONGEST: u64 = 100_000_000;
/// Bytes that are copied in one go.
const COPIED: usize = 1 << 20;
/// Bytes after which what was written is sent on to the disk.
const SENT: u64 = 1 << 25;

/// Merges safetensors files into one, tensor by tensor, on several threads.
///
/// An input is a `.safetensors` file, the index of a sharded checkpoint (`model.safetensors.index.json`), or a folder
/// with either. Inputs are mapped into memory and let go of as they are read, and the result is written as it comes, so
/// a merge takes a few megabytes a thread, whatever the number and size of the inputs; methods that look for the largest
/// numbers of a task vector (TIES, breadcrumbs) take up to about as much as the largest tensor on top. Inputs must not
/// be changed while it runs. The result is the same bytes for any number of threads, and is renamed into place when it is
/// whole.
///
/// Tensors go by name, and what [`merge`](crate::merge::merge) says of dtypes, buffers and numbers holds here too.
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
    dtype: Option<DType>,
    threads: Option<usize>,
    progress: Option<Box<dyn Fn(u64, u64) + Sync + 'a>>,
}

/// What a merge has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Tensors in the file.
    pub tensors: usize,
    /// Length of the file.
    pub bytes: u64,
}

impl<'a> FileMerge<'a> {
    /// Of these networks; the newest first, where the order matters.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            networks: networks.into_iter().map(Into::into).collect(),
            base: None,
            fishers: vec![],
            dtype: None,
            threads: None,
            progress: None,
        }
    }

    /// The network from which all were fine-tuned.
    #[must_use]
    pub fn base(mut self, path: impl Into<PathBuf>) -> Self {
        self.base = Some(path.into());
        self
    }

    /// The diagonal Fisher information of each network, by the same names, at least 0.
    #[must_use]
    pub fn fishers(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.fishers = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Writes floating-point tensors as f16, bf16, f32 or f64; as they come by default.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// On this many threads; one for each core by default.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Calls `progress` with the bytes written so far and in all, from any thread.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(u64, u64) + Sync + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Merges into the file at `out`; one that is there is replaced.
    ///
    /// # Errors
    /// As [`merge`](crate::merge::merge); [`Error::Io`], and [`Error::Damaged`] or [`Error::Foreign`] for files that are cut
    /// short, or are no safetensors files; an `out` that is one of the inputs. Then `out` is as it was before.
    pub fn write(&self, method: &dyn Method, out: impl AsRef<Path>) -> Result<Written> {
        let out = out.as_ref();
        let to = self.dtype.map(Dtype::from);
        if let Some(dtype) = to.filter(|dtype| !is_merged(*dtype)) {
            return Err(Error::invalid("the dtype", "f16, bf16, f32 or f64", dtype));
        }
        if self.threads == Some(0) {
            return Err(Error::invalid("the number of threads", "at least 1", 0));
        }
        check(method, self.networks.len(), self.base.is_some(), self.fishers.len())?;
        let paths = || self.networks.iter().chain(&self.base).chain(&self.fishers);
        let labels: Vec<String> = paths().map(|path| path.display().to_string()).collect();
        let inputs = paths().map(|path| Checkpoint::open(path)).collect::<Result<Vec<_>>>()?;
        refuse_inputs(out, &inputs)?;
        self.family(&labels, &inputs).check()?;
        let Some(model) = inputs.first() else {
            return Err(Error::invalid("the number of networks", "at least 1", 0));
        };
        let draft = Draft::new(model, to)?;
        let merging = Merging { merge: self, method, labels: &labels, inputs: &inputs, draft: &draft };
        files::write_file(out, |file| match self.threads {
            None => threads::wide(|| merging.write(out, file)),
            Some(threads) => rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(|e| Error::invalid("the number of threads", "what the system grants", e))?
                .install(|| merging.write(out, file)),
        })?;
        Ok(Written { tensors: draft.tensors.len(), bytes: draft.bytes })
    }

    fn family<'l>(&self, labels: &'l [String], inputs: &[Checkpoint]) -> Family<'l> {
        let mut all = labels.iter().zip(inputs).map(|(label, input)| (label.as_str(), input.kinds()));
        Family {
            networks: all.by_ref().take(self.networks.len()).collect(),
            base: all.by_ref().take(usize::from(self.base.is_some())).next(),
            fishers: all.collect(),
        }
    }
}

impl fmt::Debug for FileMerge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileMerge")
            .field("networks", &self.networks)
            .field("base", &self.base)
            .field("fishers", &self.fishers)
            .field("dtype", &self.dtype)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// The file to be.
struct Draft<'a> {
    head: Vec<u8>,
    tensors: Vec<Place<'a>>,
    bytes: u64,
}

/// One of its tensors, and where it goes.
struct Place<'a> {
    name: &'a str,
    from: Dtype,
    to: Dtype,
    shape: &'a [usize],
    start: u64,
}

impl<'a> Draft<'a> {
    fn new(model: &'a Checkpoint, to: Option<Dtype>) -> Result<Self> {
        let place = |(name, (_, info)): (&'a String, &'a (usize, TensorInfo))| {
            let to = to.filter(|_| is_merged(info.dtype)).unwrap_or(info.dtype);
            Place { name, from: info.dtype, to, shape: &info.shape, start: 0 }
        };
        let mut tensors: Vec<_> = model.tensors.iter().map(place).collect();
        // As safetensors has it: the largest types first, so that all are aligned; then by name.
        tensors.sort_by(|a, b| b.to.cmp(&a.to).then_with(|| a.name.cmp(b.name)));
        let mut bytes = 0u64;
        for place in &mut tensors {
            place.start = bytes;
            let size = (place.len() as u64).checked_mul(place.to.bitsize() as u64 / 8);
            bytes = size
                .and_then(|size| bytes.checked_add(size))
                .filter(|sum| *sum < i64::MAX as u64)
                .ok_or_else(|| {
                    Error::invalid("the merged file", "of a length that files can have", "longer")
                })?;
        }
        let head = head(tensors.iter().map(|place| (place.name, place.to, place.shape)))?;
        tensors.iter_mut().for_each(|place| place.start += head.len() as u64);
        Ok(Self { bytes: bytes + head.len() as u64, head, tensors })
    }
}

impl Place<'_> {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A merge under way.
struct Merging<'a> {
    merge: &'a FileMerge<'a>,
    method: &'a dyn Method,
    labels: &'a [String],
    inputs: &'a [Checkpoint],
    draft: &'a Draft<'a>,
}

impl Merging<'_> {
    fn write(&self, path: &Path, file: &File) -> Result<()> {
        let failed = |e| files::failed(path, e);
        file.set_len(self.draft.bytes).map_err(failed)?;
        let (send, sent) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            // The disk is at work while the merge is, not only after it. Its errors are told to one caller only.
            let disk = move || sent.iter().try_for_each(|()| file.sync_data());
            let disk =
                std::thread::Builder::new().name("disk".into()).spawn_scoped(scope, disk).map_err(failed)?;
            let merged = self.write_all(path, file, send);
            let written = disk.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
            merged.and(written.map_err(failed))
        })
    }

    fn write_all(&self, path: &Path, file: &File, send: SyncSender<()>) -> Result<()> {
        let written = AtomicU64::new(0);
        let out = Out {
            path,
            file,
            total: self.draft.bytes,
            written,
            send,
            progress: self.merge.progress.as_deref(),
        };
        out.put(&self.draft.head, 0)?;
        let all = self.draft.tensors.iter().map(|place| (place, self.sources(place)));
        let (large, small): (Vec<_>, Vec<_>) = all.partition(|(_, sources)| sources.is_large());
        for (place, mut sources) in large {
            sources.shared = true;
            self.write_tensor(place, &sources, &out)?;
        }
        small.par_iter().try_for_each(|(place, sources)| self.write_tensor(place, sources, &out))
    }

    fn sources<'s>(&'s self, place: &'s Place<'_>) -> Sources<'s> {
        Sources {
            name: place.name,
            labels: self.labels,
            len: place.len(),
            networks: self.merge.networks.len(),
            has_base: self.merge.base.is_some(),
            inputs: self.inputs.iter().filter_map(|input| input.source(place.name)).collect(),
            to: place.to,
            shared: false,
        }
    }

    fn write_tensor(&self, place: &Place<'_>, sources: &Sources<'_>, out: &Out<'_>) -> Result<()> {
        if !is_merged(place.from) {
            let copied = usize::from(sources.has_base) * sources.networks;
            return sources.inputs.get(copied).map_or(Ok(()), |source| copy(source, place, out));
        }
        let width = place.to.bitsize() as u64 / 8;
        sources.merge(self.method, |span, numbers| {
            let at = place.start + (span * sources.span()) as u64 * width;
            if place.to == Dtype::F32 && cfg!(target_endian = "little") {
                return out.put(cast_slice(numbers), at);
            }
            let mut bytes = Vec::with_capacity(numbers.len() * width as usize);
            encode(numbers, place.to, &mut bytes);
            out.put(&bytes, at)
        })
    }
}

/// Writes a tensor as it is.
fn copy(source: &Source<'_>, place: &Place<'_>, out: &Out<'_>) -> Result<()> {
    for start in (0..source.bytes.len()).step_by(COPIED) {
        let range = start..(start + COPIED).min(source.bytes.len());
        out.put(&source.bytes[range.clone()], place.start + start as u64)?;
        source.done(&range);
    }
    Ok(())
}

/// The file being written, from several threads.
struct Out<'a> {
    path: &'a Path,
    file: &'a File,
    total: u64,
    written: AtomicU64,
    /// Asks for what was written to be sent on to the disk.
    send: SyncSender<()>,
    progress: Option<&'a (dyn Fn(u64, u64) + Sync + 'a)>,
}

impl Out<'_> {
    fn put(&self, bytes: &[u8], at: u64) -> Result<()> {
        write_at(self.file, bytes, at).map_err(|e| files::failed(self.path, e))?;
        let count = bytes.len() as u64;
        let written = self.written.fetch_add(count, Ordering::Relaxed) + count;
        if written / SENT != (written - count) / SENT {
            // Where it is still at work, the next time will do.
            let _ = self.send.try_send(());
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

/// A network on disk.
struct Checkpoint {
    files: Vec<(PathBuf, Mapped)>,
    /// The file, and where in it the tensor lies.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    /// The index, if there is one.
    index: Option<PathBuf>,
}

/// The index of a sharded checkpoint.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    fn open(path: &Path) -> Result<Self> {
        let path = match path.is_dir() {
            true => inside(path)?,
            false => path.to_owned(),
        };
        match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            true => Self::sharded(&path),
            false => {
                let (map, tensors) = open(&path)?;
                let tensors = tensors.into_iter().map(|(name, info)| (name, (0, info))).collect();
                Ok(Self { files: vec![(path, map)], tensors, index: None })
            }
        }
    }

    fn sharded(path: &Path) -> Result<Self> {
        let index = read_index(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut names: Vec<&String> = index.weight_map.values().collect();
        names.sort_unstable();
        names.dedup();
        let (mut files, mut shards) = (vec![], BTreeMap::new());
        for (number, name) in names.into_iter().enumerate() {
            let mut parts = Path::new(name).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
                || name.contains('\\')
            {
                let why = format!("its shard {name:?} is no file beside it");
                return Err(FormatError::foreign(why).of(path.display()));
            }
            let shard = folder.join(name);
            let (map, tensors) = open(&shard)?;
            files.push((shard, map));
            shards.insert(name.as_str(), (number, tensors.into_iter().collect::<BTreeMap<_, _>>()));
        }
        let mut tensors = BTreeMap::new();
        for (name, shard) in &index.weight_map {
            let found =
                shards.get_mut(shard.as_str()).and_then(|(number, all)| Some((*number, all.remove(name)?)));
            let found = found.ok_or_else(|| {
                FormatError::foreign(format!("its tensor {name:?} is not in {shard}")).of(path.display())
            })?;
            tensors.insert(name.clone(), found);
        }
        Ok(Self { files, tensors, index: Some(path.to_owned()) })
    }

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
fn open(path: &Path) -> Result<(Mapped, Vec<(String, TensorInfo)>)> {
    let map = Mapped::open(path).map_err(|e| files::failed(path, e))?;
    let tensors = contents(map.bytes()).map_err(|fault| fault.of(path.display()))?;
    let first = tensors.first().map_or(map.bytes().len(), |(_, info)| info.data_offsets.0);
    map.release(&(0..first));
    Ok((map, tensors))
}

fn read_index(path: &Path) -> Result<Index> {
    let failed = |e| files::failed(path, e);
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() || about.len() > LONGEST {
        return Err(FormatError::foreign("it is no index of a sharded checkpoint").of(path.display()));
    }
    let bytes = fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| FormatError::foreign(format!("its index: {e}")).of(path.display()))
}

/// The checkpoint in a folder: its index, or its only file.
fn inside(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|e| files::failed(folder, e))?;
    let mut names: Vec<_> =
        entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let ending =
        |end: &str| names.iter().filter(|name| name.ends_with(end) && !name.starts_with('.')).collect();
    let (indices, wholes): (Vec<&String>, Vec<&String>) = (ending(INDEX), ending(".safetensors"));
    for (all, usual) in [(indices, "model.safetensors.index.json"), (wholes, WHOLE)] {
        match all.iter().find(|name| **name == usual).or(all.first().filter(|_| all.len() == 1)) {
            Some(name) => return Ok(folder.join(name)),
            None if all.is_empty() => {}
            None => {
                let must = format!("with one checkpoint in it, or one called {usual}");
                let what = format!("the folder {}", folder.display());
                return Err(Error::invalid(what, must, format!("with {}", all.len())));
            }
        }
    }
    let must = format!("with a file that ends with .safetensors or {INDEX}");
    Err(Error::invalid(format!("the folder {}", folder.display()), must, "without"))
}

/// The result must not take the place of an input.
fn refuse_inputs(out: &Path, inputs: &[Checkpoint]) -> Result<()> {
    let Ok(place) = fs::canonicalize(out) else { return Ok(()) };
    let paths = inputs.iter().flat_map(|input| input.files.iter().map(|(path, _)| path).chain(&input.index));
    for path in paths {
        if fs::canonicalize(path).is_ok_and(|path| path == place) {
            return Err(Error::invalid("the output", "another file than the inputs", out.display()));
        }
    }
    Ok(())
}
