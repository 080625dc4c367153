//! Checkpoints in several files: an index says in which file each tensor is.
use crate::{files, files::header::FormatError, Error, Result};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// The largest index that is read, in bytes.
const LONGEST: u64 = 100_000_000;

/// How the files of a checkpoint are called, in a folder.
pub(crate) struct FileNames {
    format: &'static str,
    /// The end of the name of an index, and the usual name.
    index: (&'static str, &'static str),
    /// The ends of the names of checkpoints in one file, and the usual name.
    whole: (&'static [&'static str], &'static str),
}

/// Files of safetensors.
pub(crate) const SAFETENSORS: FileNames = FileNames {
    format: "safetensors",
    index: (".safetensors.index.json", "model.safetensors.index.json"),
    whole: (&[".safetensors"], "model.safetensors"),
};
/// Files of PyTorch.
pub(crate) const PYTORCH: FileNames = FileNames {
    format: "PyTorch",
    index: (".bin.index.json", "pytorch_model.bin.index.json"),
    whole: (&[".bin", ".pt", ".pth"], "pytorch_model.bin"),
};
/// The ends of the names of checkpoints in other formats, for an error.
const OTHER_FORMATS: [&str; 8] =
    [".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".bin.index.json"];

/// A checkpoint of one file or several, with files as `F` and tensors as `T`.
pub(crate) struct Shards<F, T> {
    pub(crate) files: Vec<(PathBuf, F)>,
    /// For each tensor the number of its file, and the tensor.
    pub(crate) tensors: BTreeMap<String, (usize, T)>,
    /// The path of the index of a checkpoint of several files.
    pub(crate) index: Option<PathBuf>,
}

/// The index of a checkpoint.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl<F, T> Shards<F, T> {
    /// Opens the checkpoint at `path`: a file, an index, or a folder with either of `names`, the first ones first.
    /// `open` opens one file.
    pub(crate) fn open(
        path: &Path,
        names: &[FileNames],
        open: impl Fn(&Path) -> Result<(F, BTreeMap<String, T>)>,
    ) -> Result<Self> {
        let path = match path.is_dir() {
            true => inside(path, names)?,
            false => path.to_owned(),
        };
        match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            true => Self::of_index(path, open),
            false => {
                let (file, tensors) = open(&path)?;
                let tensors = tensors.into_iter().map(|(name, tensor)| (name, (0, tensor))).collect();
                Ok(Self { files: vec![(path, file)], tensors, index: None })
            }
        }
    }

    fn of_index(path: PathBuf, open: impl Fn(&Path) -> Result<(F, BTreeMap<String, T>)>) -> Result<Self> {
        let index = read_index(&path)?;
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
                let why = format!("its shard {name:?} is not a file in the same folder");
                return Err(FormatError::foreign(why).of(path.display()));
            }
            let shard = folder.join(name);
            let (file, tensors) = open(&shard)?;
            files.push((shard, file));
            shards.insert(name.as_str(), (number, tensors));
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
        Ok(Self { files, tensors, index: Some(path) })
    }
}

fn read_index(path: &Path) -> Result<Index> {
    let failed = |e| files::failed(path, e);
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() || about.len() > LONGEST {
        return Err(FormatError::foreign("it is not the index of a sharded checkpoint").of(path.display()));
    }
    let bytes = fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|e| {
        FormatError::foreign(format!("it is not the index of a sharded checkpoint: {e}")).of(path.display())
    })
}

/// The path of the checkpoint in a folder: its index, or its only file.
fn inside(folder: &Path, formats: &[FileNames]) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|e| files::failed(folder, e))?;
    let mut names: Vec<_> =
        entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    for FileNames { index, whole, .. } in formats {
        let index_ends = [index.0];
        for (ends, usual) in [(&index_ends[..], index.1), (whole.0, whole.1)] {
            let fits = |name: &&String| !name.starts_with('.') && ends.iter().any(|end| name.ends_with(end));
            let all: Vec<&String> = names.iter().filter(fits).collect();
            match all.iter().find(|name| **name == usual).or(all.first().filter(|_| all.len() == 1)) {
                Some(name) => return Ok(folder.join(name)),
                None if all.is_empty() => {}
                None => {
                    let what = format!("the number of checkpoints in {}", folder.display());
                    let must = format!("1, unless one is called {usual}");
                    return Err(Error::invalid(what, must, all.len()));
                }
            }
        }
    }
    let ends = formats.iter().flat_map(|format| format.whole.0.iter().copied().chain([format.index.0]));
    let ends: Vec<&str> = ends.collect();
    let what = format!("the number of files in {} that end in {}", folder.display(), ends.join(" or "));
    let other = names.iter().find(|name| OTHER_FORMATS.iter().any(|end| name.ends_with(end)));
    let known = formats.iter().map(|format| format.format).collect::<Vec<_>>().join(" or ");
    let got = other.map_or("0".to_string(), |name| format!("0; {name} is not {known}"));
    Err(Error::invalid(what, "at least 1", got))
}
