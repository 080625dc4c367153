//! The tensors of a checkpoint that another program wrote.
use crate::{
    files::{
        map::Mapped,
        shards::{Shards, PYTORCH, SAFETENSORS},
        stored::{open, StoredTensor},
    },
    weights::Weights,
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

/// The tensors of a checkpoint by name, as PyTorch's `state_dict` has them: a source of weights for networks that
/// were trained elsewhere.
///
/// [`open`](Self::open) reads checkpoints from disk:
///
/// | Format | What is opened |
/// |---|---|
/// | safetensors | a file, the index of several files (`model.safetensors.index.json`), or a folder with either |
/// | PyTorch (`.pt`, `.pth`, `.bin`) | a file that `torch.save` wrote, in the form of today or in that of before version 1.6, an index (`pytorch_model.bin.index.json`), or a folder with either |
///
/// What a file is, is read from its first bytes; its name does not matter. [`From<Weights>`](#trait-implementations)
/// takes tensors in memory, such as those of a [`Member`](crate::Member); [`Member::read_all`](crate::Member::read_all)
/// reads the members of an ensemble's own file.
///
/// Names are those of the file. Where those of the network differ, [`strip_prefix`](Self::strip_prefix),
/// [`add_prefix`](Self::add_prefix) and [`map_names`](Self::map_names) change them. A network's constructor in candle
/// gives its variables the names that its `VarBuilder` says, such as `encoder.0.weight` for
/// `linear(…, vb.pp("encoder").pp(0))`. [`to_dtype`](Self::to_dtype) converts the floats.
///
/// Use it with [`PoolBuilder`](crate::PoolBuilder), which makes a pool of networks that are already there.
///
/// Files are mapped into memory, and a tensor is copied when it is read: tensors that are dropped cost nothing. The
/// files must not be changed or truncated as long as the value lives; a file that is replaced by renaming another one
/// over it does no harm.
///
/// # Safety of files
/// Files of any origin are safe to open: every size is checked against the length of the file before anything is
/// allocated. The pickle in a PyTorch file is a program, which Python would run. Here nothing of it is run: no class is
/// imported and no function is called. Values that are no tensors, such as numbers and objects of any class, are left
/// out. Sparse, quantized and expanded tensors, and those of types that candle lacks, are an error when they are read,
/// so that the others of the file can be used. A file with a whole model in place of its `state_dict` is an error,
/// because its classes are Python code.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::weights::StateDict;
/// use std::collections::HashMap;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("model.safetensors");
/// # let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F16, &Device::Cpu);
/// # let named = |name: &str, tensor| (name.to_string(), tensor);
/// # let tensors = HashMap::from([
/// #     named("module.encoder.weight", zeros((4, 2))?), named("module.pooler.weight", zeros((4, 4))?),
/// # ]);
/// # candle_core::safetensors::save(&tensors, &path)?;
/// let weights = StateDict::open(&path)?
///     .strip_prefix("module.")? // of a model in PyTorch's DataParallel
///     .map_names(|name| (!name.starts_with("pooler.")).then(|| name.replace("encoder", "body")))?
///     .to_dtype(DType::F32);
/// assert_eq!(weights.names().collect::<Vec<_>>(), ["body.weight"]);
/// assert_eq!(weights.tensor("body.weight")?.dims(), [4, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StateDict {
    origin: String,
    tensors: BTreeMap<String, Entry>,
    /// The type of floats, where they are converted.
    dtype: Option<DType>,
}

/// A tensor, with its name at its origin.
#[derive(Clone)]
struct Entry {
    name: String,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Memory(Tensor),
    File { path: Arc<Path>, map: Arc<Mapped>, stored: StoredTensor },
}

impl StateDict {
    /// Opens the checkpoint at `path`; see [`StateDict`] for the formats.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read; [`Error::Damaged`] when it is cut short; [`Error::Foreign`] when it is of
    /// another format, or has no tensors at the top, or fewer than in one of its dictionaries: the error then lists the
    /// keys for [`open_key`](Self::open_key).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), None)
    }

    /// Opens a PyTorch file in which the tensors are in a dictionary under `key`, such as `"state_dict"`, beside the
    /// state of an optimizer. Keys of dictionaries inside each other have dots between them: `"model.ema"`.
    /// The key `""` stands for the top, where [`open`](Self::open) refuses it because a dictionary has more tensors.
    ///
    /// # Errors
    /// As [`open`](Self::open); when there is no such key.
    pub fn open_key(path: impl AsRef<Path>, key: &str) -> Result<Self> {
        Self::open_with(path.as_ref(), Some(key))
    }

    fn open_with(path: &Path, key: Option<&str>) -> Result<Self> {
        let Shards { files, tensors, .. } =
            Shards::open(path, &[SAFETENSORS, PYTORCH], |path| open(path, key))?;
        let files: Vec<(Arc<Path>, Arc<Mapped>)> =
            files.into_iter().map(|(path, map)| (path.into(), Arc::new(map))).collect();
        let entry = |(name, (file, stored)): (String, (usize, StoredTensor))| {
            let (path, map) = files.get(file)?.clone();
            Some((name.clone(), Entry { name, source: Source::File { path, map, stored } }))
        };
        let tensors = tensors.into_iter().filter_map(entry).collect();
        Ok(Self { origin: path.display().to_string(), tensors, dtype: None })
    }

    /// Removes `prefix` from the names that begin with it. Other names stay.
    ///
    /// To drop all other tensors, use [`map_names`](Self::map_names):
    /// `map_names(|name| name.strip_prefix("bert.").map(Into::into))`.
    ///
    /// # Errors
    /// When no name begins with the prefix, or two tensors get one name.
    pub fn strip_prefix(self, prefix: &str) -> Result<Self> {
        if !self.tensors.keys().any(|name| name.starts_with(prefix)) {
            let must = format!("that of a tensor in {}", self.origin);
            let got = format!("{prefix:?}; the names are {}", self.some_names());
            return Err(Error::invalid("the prefix of names", must, got));
        }
        self.map_names(|name| Some(name.strip_prefix(prefix).unwrap_or(name).into()))
    }

    /// Puts `prefix` before every name.
    #[must_use]
    pub fn add_prefix(mut self, prefix: &str) -> Self {
        let tensors = std::mem::take(&mut self.tensors).into_iter();
        self.tensors = tensors.map(|(name, entry)| (format!("{prefix}{name}"), entry)).collect();
        self
    }

    /// Gives every tensor the name that the function returns for its name, and drops it where that is `None`.
    ///
    /// # Errors
    /// When two tensors get one name.
    pub fn map_names(mut self, name: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut tensors = BTreeMap::<String, Entry>::new();
        for (old, entry) in std::mem::take(&mut self.tensors) {
            let Some(new) = name(&old) else { continue };
            if let Some(other) = tensors.get(&new) {
                let what = format!("the new names of the tensors {:?} and {:?}", other.name, entry.name);
                return Err(Error::invalid(what, "different", format!("{new:?} for both")));
            }
            tensors.insert(new, entry);
        }
        self.tensors = tensors;
        Ok(self)
    }

    /// Converts the floats to this type when they are read: `f16` or `bf16` to `f32`, for example. Integers stay what
    /// they are.
    #[must_use]
    pub fn to_dtype(mut self, dtype: DType) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are no tensors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The shape of a tensor, which is not read; none if there is no tensor of this name.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(match &self.tensors.get(name)?.source {
            Source::Memory(tensor) => tensor.dims(),
            Source::File { stored, .. } => &stored.shape,
        })
    }

    /// The type that a tensor is read as; none if there is no tensor of this name, or candle lacks its type or kind.
    #[must_use]
    pub fn dtype(&self, name: &str) -> Option<DType> {
        let own = match &self.tensors.get(name)?.source {
            Source::Memory(tensor) => tensor.dtype(),
            Source::File { stored, .. } => stored.dtype?,
        };
        Some(self.dtype.filter(|_| own.is_float()).unwrap_or(own))
    }

    /// Reads a tensor, onto the CPU.
    ///
    /// # Errors
    /// When there is no tensor of this name, candle lacks its type or kind, or candle fails.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let missing = || {
            let must = format!("one of {}, such as {}", self.origin, self.some_names());
            Error::invalid("the name of a tensor", must, format!("{name:?}"))
        };
        let Entry { name: own, source } = self.tensors.get(name).ok_or_else(missing)?;
        let tensor = match source {
            Source::Memory(tensor) => tensor.to_device(&Device::Cpu)?.detach(),
            Source::File { path, map, stored } => stored.read(map.bytes()).map_err(|why| Error::Foreign {
                what: path.display().to_string(),
                why: format!("its tensor {own:?} {why}"),
            })?,
        };
        Ok(match self.dtype {
            Some(dtype) if tensor.dtype().is_float() => tensor.to_dtype(dtype)?,
            _ => tensor,
        })
    }

    /// Reads all tensors.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn to_weights(&self) -> Result<Weights> {
        self.names().map(|name| Ok((name.to_string(), self.tensor(name)?))).collect()
    }

    /// Reads all tensors. Those in memory are copied, so that nothing that is done to them later has an effect.
    pub(crate) fn copied(&self) -> Result<Weights> {
        let mut weights = self.to_weights()?;
        for (name, tensor) in &mut weights {
            if matches!(self.tensors.get(name), Some(Entry { source: Source::Memory(_), .. })) {
                *tensor = tensor.copy()?.detach();
            }
        }
        Ok(weights)
    }

    /// Where the tensors come from: a path, or "tensors in memory".
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Type and shape of a tensor for an error.
    pub(crate) fn kind(&self, name: &str) -> String {
        let dtype = match (self.dtype(name), self.tensors.get(name).map(|entry| &entry.source)) {
            (Some(dtype), _) => dtype.as_str().to_string(),
            (None, Some(Source::File { stored, .. })) => stored.stored.clone(),
            _ => "missing".into(),
        };
        format!("{dtype} {:?}", self.shape(name).unwrap_or_default())
    }

    /// The first few names for an error.
    pub(crate) fn some_names(&self) -> String {
        let first = self.names().take(SHOWN).collect::<Vec<_>>().join(", ");
        if self.len() > SHOWN {
            format!("{first}, …")
        } else {
            first
        }
    }
}

/// How many names an error shows.
const SHOWN: usize = 5;

/// Tensors in memory, which are shared.
impl From<Weights> for StateDict {
    fn from(weights: Weights) -> Self {
        let entry =
            |(name, tensor): (String, Tensor)| (name.clone(), Entry { name, source: Source::Memory(tensor) });
        let tensors = weights.into_iter().map(entry).collect();
        Self { origin: "tensors in memory".into(), tensors, dtype: None }
    }
}

/// Tensors in memory, which are shared.
impl From<&Weights> for StateDict {
    fn from(weights: &Weights) -> Self {
        weights.clone().into()
    }
}

impl fmt::Debug for StateDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.names().map(|name| (name, self.kind(name)));
        let kinds: BTreeMap<_, _> = kinds.collect();
        f.debug_struct("StateDict").field("origin", &self.origin).field("tensors", &kinds).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict() -> StateDict {
        let f16 = Tensor::new(&[1f32, 2.], &Device::Cpu).unwrap().to_dtype(DType::F16).unwrap();
        let weights = [("a.b.weight", f16), ("a.n", Tensor::new(7i64, &Device::Cpu).unwrap())];
        weights.map(|(name, tensor)| (name.to_string(), tensor)).into_iter().collect::<Weights>().into()
    }

    fn names(dict: &StateDict) -> Vec<&str> {
        dict.names().collect()
    }

    #[test]
    fn names_are_mapped_and_floats_are_converted() {
        assert_eq!(names(&dict().strip_prefix("a.b.").unwrap()), ["a.n", "weight"]);
        assert_eq!(names(&dict().add_prefix("x.")), ["x.a.b.weight", "x.a.n"]);
        let only = |name: &str| name.strip_prefix("a.b.").map(Into::into);
        assert_eq!(names(&dict().map_names(only).unwrap()), ["weight"]);
        let cast = dict().to_dtype(DType::F64);
        assert_eq!((cast.dtype("a.b.weight"), cast.dtype("a.n")), (Some(DType::F64), Some(DType::I64)));
        assert_eq!(cast.tensor("a.b.weight").unwrap().to_vec1::<f64>().unwrap(), [1., 2.]);
        assert_eq!(cast.tensor("a.n").unwrap().to_scalar::<i64>().unwrap(), 7);
        assert_eq!((cast.shape("a.b.weight"), cast.shape("b")), (Some(&[2][..]), None));
        assert_eq!(dict().to_weights().unwrap().len(), 2);
    }

    #[test]
    fn errors_name_what_is_there() {
        let e = dict().strip_prefix("model.").unwrap_err().to_string();
        assert_eq!(
            e,
            "the prefix of names must be that of a tensor in tensors in memory, but is \"model.\"; the names are \
             a.b.weight, a.n"
        );
        let e = dict().map_names(|_| Some("w".into())).unwrap_err().to_string();
        assert!(
            e.contains(r#"the tensors "a.b.weight" and "a.n" must be different, but is "w" for both"#),
            "{e}"
        );
        let e = dict().tensor("w").unwrap_err().to_string();
        assert!(e.contains("such as a.b.weight, a.n, but is \"w\""), "{e}");
    }
}
