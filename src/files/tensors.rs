//! Tensors with a description, as one safetensors file that contains its own hash.
//!
//! The layout is that of safetensors 0.4 and later, so that any of its readers opens the files. The header
//! begins with its only metadata entry, whose value is the hash of the whole file (computed with zeros in
//! place of the hash), a space, and the description.
//!
//! This module has a writer and a reader of its own for two reasons: the writer of safetensors needs all
//! tensors in one buffer, and its reader (version 0.8) does not check sums of offsets and shapes for
//! overflow, which a reader of files of any origin must do.
use crate::{
    files::{
        header::{hash_mismatch, identifier, wrong_kind, FormatError, HEX},
        recognize::recognize,
    },
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorInfo, View};
use serde::{
    de::{Error as _, MapAccess, Visitor},
    Deserialize, Deserializer,
};
use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Seek, SeekFrom, Write},
};

const METADATA: &str = "__metadata__";
/// Size in bytes of the field with the header's length.
pub(super) const LENGTH: usize = 8;
const ZEROS: [u8; HEX] = [b'0'; HEX];

/// The start of the header, up to the hash.
fn opening(kind: &str) -> String {
    format!("{{\"{METADATA}\":{{\"{}\":\"", identifier(kind))
}

/// A file that is ready to be written.
pub(crate) struct TensorFile {
    header: Vec<u8>,
    /// Position of the hash in the header.
    hash_at: usize,
    tensors: Vec<Tensor>,
}

impl TensorFile {
    /// Checks the tensors and computes the layout of the file.
    pub(crate) fn new(
        kind: &str,
        description: &str,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
    ) -> Result<Self> {
        let mut all = vec![];
        for (name, tensor) in tensors {
            if name == METADATA {
                return Err(Error::invalid(
                    "a tensor's name",
                    "different from the name of safetensors' metadata",
                    name,
                ));
            }
            let must = "of a type that safetensors stores (f8 to f64 or integers)";
            let dtype = stored(tensor.dtype())
                .ok_or_else(|| Error::invalid(&*name, must, tensor.dtype().as_str()))?;
            all.push((dtype, name, tensor.to_device(&Device::Cpu)?));
        }
        // The order of safetensors: the largest types first, so that all are aligned, then by name.
        all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut header = opening(kind);
        let hash_at = header.len();
        header.push_str(&"0".repeat(HEX));
        let description = json(&format!(" {description}"))?;
        header.push_str(description.strip_prefix('"').unwrap_or(&description));
        header.push('}');
        let mut start = 0;
        for (dtype, name, tensor) in &all {
            let end = start + tensor.elem_count() * tensor.dtype().size_in_bytes();
            let info =
                TensorInfo { dtype: *dtype, shape: tensor.dims().to_vec(), data_offsets: (start, end) };
            header.push_str(&format!(",{}:{}", json(name)?, json(&info)?));
            start = end;
        }
        header.push('}');
        let mut header = header.into_bytes();
        header.resize(header.len().next_multiple_of(LENGTH), b' ');
        Ok(Self { header, hash_at, tensors: all.into_iter().map(|(_, _, tensor)| tensor).collect() })
    }

    /// Writes the file at the current position of `out`, one tensor in memory at a time.
    pub(crate) fn write(&self, out: &mut (impl Write + Seek)) -> io::Result<()> {
        let start = out.stream_position()?;
        let mut hasher = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(bytes);
            out.write_all(bytes)
        };
        put(&(self.header.len() as u64).to_le_bytes())?;
        put(&self.header)?;
        for tensor in &self.tensors {
            put(&tensor.data())?;
        }
        let end = out.stream_position()?;
        out.seek(SeekFrom::Start(start + (LENGTH + self.hash_at) as u64))?;
        out.write_all(hasher.finalize().to_hex().as_bytes())?;
        out.seek(SeekFrom::Start(end))?;
        Ok(())
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let size = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        let size = LENGTH + self.header.len() + self.tensors.iter().map(size).sum::<usize>();
        let mut out = io::Cursor::new(Vec::with_capacity(size));
        self.write(&mut out).map_err(|e| Error::invalid("a member", "one that fits in memory", e))?;
        Ok(out.into_inner())
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::invalid("a value to be stored", "serializable", e))
}

/// The safetensors name of a type, if both safetensors and candle support it.
fn stored(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::U8 => Dtype::U8,
        DType::U32 => Dtype::U32,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::BF16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F8E4M3 => Dtype::F8_E4M3,
        _ => return None,
    })
}

/// candle's type for a type of safetensors, if both support it.
pub(crate) fn readable(dtype: Dtype) -> Option<DType> {
    DType::try_from(dtype).ok().filter(|readable| stored(*readable) == Some(dtype))
}

/// The description and the tensors of a file, on the CPU.
pub(crate) struct Content {
    pub(crate) description: String,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

/// Reads a file; an error unless it is a complete and unchanged file of this kind. Allocates no more than a
/// small multiple of its size, whatever the header says.
pub(crate) fn read(kind: &str, bytes: &[u8]) -> Result<Content, FormatError> {
    let opening = opening(kind);
    let hash_at = LENGTH + opening.len();
    if bytes.get(LENGTH..hash_at) != Some(opening.as_bytes()) {
        refuse_other_formats(bytes)?;
        // Skips the opening brace and the name of the metadata.
        return Err(wrong_kind(bytes.get(LENGTH + METADATA.len() + 6..).unwrap_or_default(), kind));
    }
    let hash = bytes.get(hash_at..hash_at + HEX).ok_or_else(hash_mismatch)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..hash_at]).update(&ZEROS).update(&bytes[hash_at + HEX..]);
    if hash != hasher.finalize().to_hex().as_bytes() {
        return Err(hash_mismatch());
    }
    // From here on, only a file that another program made can be wrong.
    let (mut header, data) = split(bytes)?;
    let description = header.metadata.remove(&identifier(kind)).unwrap_or_default();
    let description = description.get(HEX + 1..).unwrap_or_default().to_string();
    Ok(Content { description, tensors: copied(header.tensors, data)? })
}

/// The header of a file, and the bytes after it.
fn split(bytes: &[u8]) -> Result<(Header, &[u8]), FormatError> {
    let (length, rest) = bytes
        .split_first_chunk()
        .ok_or_else(|| FormatError::Damaged("it is too short to have a header".into()))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (header, data) = rest.split_at_checked(length).ok_or_else(|| {
        let have = rest.len();
        FormatError::Damaged(format!("it is cut short: its header takes {length} bytes, but it has {have}"))
    })?;
    let header =
        serde_json::from_slice(header).map_err(|e| FormatError::foreign(format!("its header: {e}")))?;
    Ok((header, data))
}

/// The tensors in the order of their offsets, checked to fill `length` bytes without gaps and to have the
/// sizes of their shapes.
fn checked(
    infos: BTreeMap<String, TensorInfo>,
    length: usize,
) -> Result<Vec<(String, TensorInfo)>, FormatError> {
    let mut infos: Vec<_> = infos.into_iter().collect();
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let mut at = 0;
    for (name, info) in &infos {
        let bad = |why: &str| FormatError::foreign(format!("its tensor {name:?} {why}"));
        let (start, end) = info.data_offsets;
        if start != at || end < start || end > length {
            return Err(bad("does not follow the one before it"));
        }
        // Strides are products of dimensions too, except for those that are 0.
        info.shape
            .iter()
            .try_fold(info.dtype.bitsize(), |size, dim| size.checked_mul((*dim).max(1)))
            .and_then(|size| isize::try_from(size).ok())
            .ok_or_else(|| bad("is too large for this machine"))?;
        let bits = info.shape.iter().product::<usize>() * info.dtype.bitsize();
        if (end - start).checked_mul(8) != Some(bits) {
            return Err(bad("has a size that differs from its shape"));
        }
        at = end;
    }
    match at == length {
        true => Ok(infos),
        false => Err(FormatError::foreign("its tensors are followed by other bytes")),
    }
}

/// The tensors in `data`, copied.
fn copied(infos: BTreeMap<String, TensorInfo>, data: &[u8]) -> Result<BTreeMap<String, Tensor>, FormatError> {
    let tensor = |(name, info): (String, TensorInfo)| {
        let bad = |why: &str| FormatError::foreign(format!("its tensor {name:?} {why}"));
        let dtype = readable(info.dtype).ok_or_else(|| bad(&format!("is of type {:?}", info.dtype)))?;
        let bytes = &data[info.data_offsets.0..info.data_offsets.1];
        let tensor = Tensor::from_raw_buffer(bytes, dtype, &info.shape, &Device::Cpu)
            .map_err(|e| bad(&Error::from(e).to_string()))?;
        Ok((name, tensor))
    };
    checked(infos, data.len())?.into_iter().map(tensor).collect()
}

/// An error that says what a file is that is recognized as something else.
fn refuse_other_formats(bytes: &[u8]) -> Result<(), FormatError> {
    match recognize(bytes) {
        Some(what) => Err(FormatError::foreign(format!("it is {what}"))),
        None => Ok(()),
    }
}

/// The longest header of a file of any origin, as in safetensors.
pub(super) const MAX_HEADER: u64 = 100_000_000;

/// The tensors of a safetensors file of any origin, in its order, with offsets from its first byte. Reads the
/// header only, and allocates no more than a small multiple of it.
pub(crate) fn contents(bytes: &[u8]) -> Result<Vec<(String, TensorInfo)>, FormatError> {
    contents_by_head(bytes, bytes.len())
}

/// The same of a file of `size` bytes, of which `bytes` has the header at least, or all that there is.
pub(crate) fn contents_by_head(bytes: &[u8], size: usize) -> Result<Vec<(String, TensorInfo)>, FormatError> {
    refuse_other_formats(bytes)?;
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if length > MAX_HEADER {
        return Err(FormatError::foreign("it is not a safetensors file"));
    }
    let (header, data) = split(bytes)?;
    let before = bytes.len() - data.len();
    let length = size.saturating_sub(before);
    let end = header.tensors.values().map(|info| info.data_offsets.1).max().unwrap_or_default();
    if end > length {
        let why = format!("it is cut short: its tensors take {end} bytes, but it has {length}");
        return Err(FormatError::Damaged(why));
    }
    let mut tensors = checked(header.tensors, length)?;
    for (_, info) in &mut tensors {
        info.data_offsets = (info.data_offsets.0 + before, info.data_offsets.1 + before);
    }
    Ok(tensors)
}

/// The start of a plain safetensors file, up to its first tensor: the header's length, and the header with
/// the tensors in the given order and the metadata that other frameworks expect.
pub(crate) fn head<'a>(tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize])>) -> Result<Vec<u8>> {
    let mut header = format!("{{\"{METADATA}\":{{\"format\":\"pt\"}}");
    let mut start = 0;
    for (name, dtype, shape) in tensors {
        let end = start + shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let info = TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (start, end) };
        header.push_str(&format!(",{}:{}", json(&name)?, json(&info)?));
        start = end;
    }
    header.push('}');
    let length = header.len().next_multiple_of(LENGTH);
    let mut head = (length as u64).to_le_bytes().to_vec();
    head.extend_from_slice(header.as_bytes());
    head.resize(LENGTH + length, b' ');
    Ok(head)
}

/// The JSON header of a file. A name that occurs twice is an error.
#[derive(Default)]
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    let twice = if name == METADATA {
                        !std::mem::replace(&mut header.metadata, map.next_value()?).is_empty()
                    } else {
                        header.tensors.insert(name, map.next_value()?).is_some()
                    };
                    if twice {
                        return Err(A::Error::custom("a name occurs twice"));
                    }
                }
                Ok(header)
            }
        }
        d.deserialize_map(Entries)
    }
}
