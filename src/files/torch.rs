//! PyTorch's files: a zip archive with a pickle, which says what the tensors are, and the bytes of each storage.
//!
//! Nothing of the pickle is carried out ([`pickle`](super::pickle)). Of its values the tensors are read, and all
//! others are left: numbers, texts and objects of any class.
use crate::files::{
    header::FormatError,
    pickle::{Node, Pickle, Value},
    stored::StoredTensor,
};
use candle_core::DType;
use std::{collections::BTreeMap, io::Cursor, ops::Range};
use zip::{CompressionMethod, ZipArchive};

/// The tensors of a file by name, with their positions in it. They are those of the dictionary at the top of the
/// pickle, or of the dictionary that it has under `key`.
pub(super) fn contents(
    bytes: &[u8],
    key: Option<&str>,
) -> Result<BTreeMap<String, StoredTensor>, FormatError> {
    let entries = entries(bytes)?;
    let pickles: Vec<_> = entries.keys().filter_map(|name| name.strip_suffix("data.pkl")).collect();
    let [root] = pickles[..] else {
        return Err(FormatError::foreign("it is a zip archive without a pickle of PyTorch"));
    };
    let entry = |name: &str| entries.get(&format!("{root}{name}"));
    if entry("byteorder").and_then(|range| bytes.get(range.clone())).is_some_and(|order| order == b"big") {
        return Err(FormatError::foreign("its numbers are big-endian; save it on a little-endian machine"));
    }
    let pickle = entry("data.pkl").and_then(|range| bytes.get(range.clone())).unwrap_or_default();
    let pickle = Pickle::parse(pickle).map_err(FormatError::foreign)?;
    let file = TorchFile { pickle, storage: &|name| entry(&format!("data/{name}")).cloned() };
    file.tensors(key).map_err(FormatError::foreign)
}

/// The positions of the files in the archive.
fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, FormatError> {
    let archive = ZipArchive::new(Cursor::new(bytes));
    let bad = |e: zip::result::ZipError| FormatError::Damaged(format!("its zip archive: {e}"));
    let mut archive = archive.map_err(bad)?;
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(bad)?;
        let name = entry.name().map_err(bad)?.into_owned();
        if entry.compression() != CompressionMethod::Stored {
            let why = format!("its part {name:?} is compressed, which torch.save does not do");
            return Err(FormatError::foreign(why));
        }
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let length = usize::try_from(entry.compressed_size()).ok();
        let range = start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?));
        let range = range.filter(|range| range.end <= bytes.len());
        let cut = || FormatError::Damaged(format!("it is cut short: its part {name:?} lies beyond its end"));
        let range = range.ok_or_else(cut)?;
        entries.insert(name, range);
    }
    Ok(entries)
}

struct TorchFile<'a> {
    pickle: Pickle,
    /// Where the bytes of a storage are.
    storage: &'a dyn Fn(&str) -> Option<Range<usize>>,
}

impl TorchFile<'_> {
    fn tensors(&self, key: Option<&str>) -> Result<BTreeMap<String, StoredTensor>, String> {
        let top = self.named(self.pickle.top).ok_or_else(|| self.no_dictionary())?;
        let keys = |items: &[(&str, Value)]| {
            let with_tensors = items.iter().filter(|(_, value)| self.has_tensors(*value));
            with_tensors.map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ")
        };
        let items = match key {
            None => top,
            Some(key) => {
                let found =
                    top.iter().find(|(name, _)| *name == key).and_then(|(_, value)| self.named(*value));
                found.ok_or_else(|| {
                    format!("it has no dictionary {key:?}; those with tensors are: {}", or_none(&keys(&top)))
                })?
            }
        };
        let mut tensors = BTreeMap::new();
        for (name, value) in &items {
            if let Some(tensor) = self.tensor(*value) {
                let tensor = tensor.map_err(|why| format!("its tensor {name:?} {why}"))?;
                tensors.insert((*name).to_string(), tensor);
            }
        }
        if tensors.is_empty() {
            return Err(format!(
                "it has no tensors at its top; the keys whose dictionaries have some are: {} (StateDict::open_key)",
                or_none(&keys(&items))
            ));
        }
        Ok(tensors)
    }

    /// The items of a dictionary that have a name.
    fn named(&self, value: Value) -> Option<Vec<(&str, Value)>> {
        let items = self.pickle.dict(value)?.iter();
        Some(items.filter_map(|(name, value)| Some((self.pickle.text(*name)?, *value))).collect())
    }

    fn has_tensors(&self, value: Value) -> bool {
        self.named(value).is_some_and(|items| items.iter().any(|(_, value)| self.tensor(*value).is_some()))
    }

    fn no_dictionary(&self) -> String {
        let what = match self.pickle.call(self.pickle.top) {
            Some(((module, name), _)) => format!("an object of {module}.{name}"),
            None => "something else".into(),
        };
        format!("it holds {what} in place of a dictionary of tensors; save model.state_dict()")
    }

    /// The tensor that a value stands for; none for another value.
    fn tensor(&self, value: Value) -> Option<Result<StoredTensor, String>> {
        let (mut callable, mut args) = self.pickle.call(value)?;
        // Parameters and classes derived from tensors have their tensor inside.
        for _ in 0..2 {
            match callable {
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                    (callable, args) = self.pickle.call(*args.first()?)?;
                }
                ("torch._tensor", "_rebuild_from_type_v2") => {
                    callable = self.pickle.global(*args.first()?)?;
                    args = self.pickle.sequence(*args.get(2)?)?;
                }
                _ => break,
            }
        }
        match callable {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                Some(self.rebuild(args).unwrap_or_else(|| Err("is not described as PyTorch does it".into())))
            }
            ("torch._utils", name) if name.starts_with("_rebuild") => {
                Some(Err(format!("is of a kind that is not read ({name}): a dense tensor is needed")))
            }
            _ => None,
        }
    }

    /// The tensor of these arguments: storage, offset, size, stride. None where they are of other types.
    fn rebuild(&self, args: &[Value]) -> Option<Result<StoredTensor, String>> {
        let [storage, offset, size, stride, ..] = args else { return None };
        let Node::Persistent(id) = self.pickle.node(*storage)? else { return None };
        let [_, class, name, _, length] = self.pickle.sequence(*id)? else { return None };
        let (_, class) = self.pickle.global(*class)?;
        let (name, length) = (self.pickle.text(*name)?, number(*length)?);
        let numbers = |values: &Value| -> Option<Vec<usize>> {
            self.pickle.sequence(*values)?.iter().map(|value| number(*value)).collect()
        };
        let (shape, strides) = (numbers(size)?, numbers(stride)?);
        if shape.len() != strides.len() {
            return None;
        }
        Some(self.stored(class, name, length, number(*offset)?, shape, strides))
    }

    fn stored(
        &self,
        class: &str,
        storage: &str,
        length: usize,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<StoredTensor, String> {
        let (stored, width, dtype) =
            element(class).ok_or_else(|| format!("is of the unknown type {class}"))?;
        let bytes = (self.storage)(storage).ok_or_else(|| format!("has no data {storage:?} in the file"))?;
        // Every product is checked, because the numbers may be of any size.
        let count = shape.iter().try_fold(1usize, |count, dim| count.checked_mul(*dim));
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (dim, stride)| {
            last.checked_add(dim.saturating_sub(1).checked_mul(*stride)?)
        });
        let (Some(count), Some(last)) = (count, last) else {
            return Err("is too large for this machine".into());
        };
        let end = if count == 0 { offset } else { last.saturating_add(1) };
        let fits = |elements: usize| elements.checked_mul(width).is_some_and(|bytes_| bytes_ <= bytes.len());
        if end > length || !fits(length) {
            return Err("lies beyond the end of its data".into());
        }
        if count > length {
            return Err(
                "repeats elements of its data (an expanded tensor); call contiguous() before it is saved"
                    .into(),
            );
        }
        let offset = if count == 0 { 0 } else { offset };
        let end = if count == 0 { 0 } else { end };
        Ok(StoredTensor {
            dtype,
            stored: stored.into(),
            strides: Some(strides).filter(|strides| !is_contiguous(&shape, strides)),
            shape,
            bytes: bytes.start + offset * width..bytes.start + end * width,
        })
    }
}

fn or_none(list: &str) -> &str {
    if list.is_empty() {
        "none"
    } else {
        list
    }
}

fn number(value: Value) -> Option<usize> {
    match value {
        Value::Int(value) => usize::try_from(value).ok(),
        _ => None,
    }
}

/// Whether the elements lie in row-major order without gaps.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    for (dim, stride) in shape.iter().zip(strides).rev() {
        if *dim > 1 && *stride != expected {
            return false;
        }
        expected = expected.saturating_mul((*dim).max(1));
    }
    true
}

/// The name, the size in bytes, and candle's type of the elements of a storage.
fn element(class: &str) -> Option<(&'static str, usize, Option<DType>)> {
    Some(match class {
        "FloatStorage" => ("f32", 4, Some(DType::F32)),
        "DoubleStorage" => ("f64", 8, Some(DType::F64)),
        "HalfStorage" => ("f16", 2, Some(DType::F16)),
        "BFloat16Storage" => ("bf16", 2, Some(DType::BF16)),
        "ByteStorage" => ("u8", 1, Some(DType::U8)),
        "BoolStorage" => ("bool", 1, Some(DType::U8)),
        "ShortStorage" => ("i16", 2, Some(DType::I16)),
        "IntStorage" => ("i32", 4, Some(DType::I32)),
        "LongStorage" => ("i64", 8, Some(DType::I64)),
        "CharStorage" => ("i8", 1, None),
        "ComplexFloatStorage" => ("c64", 8, None),
        "ComplexDoubleStorage" => ("c128", 16, None),
        _ => return None,
    })
}
