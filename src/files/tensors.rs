//! Tensors and a text about them as one safetensors file that carries its own hash.
//!
//! The layout is that of safetensors 0.4 and later, so any of its readers opens the files. The header has one
//! metadata entry, and begins with it; the entry's value is the hash of the whole file (taken with zeros in the
//! hash's own place), a space, and the text.
//!
//! Both ways are written out here, for two reasons. safetensors' writer needs all tensors in one buffer. And its
//! reader, in 0.8, trusts sums of offsets and shapes that overflow; this one meets files of any origin.
use crate::{
    files::header::{changed, mismatch, title, Fault, HEX},
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
/// Length of the header's length.
const LENGTH: usize = 8;
const ZEROS: [u8; HEX] = [b'0'; HEX];

/// What comes before the hash.
fn opening(kind: &str) -> String {
    format!("{{\"{METADATA}\":{{\"{}\":\"", title(kind))
}

/// A file to be.
pub(crate) struct Layout {
    header: Vec<u8>,
    /// Where the hash goes in the header.
    hash_at: usize,
    tensors: Vec<Tensor>,
}

impl Layout {
    /// Checks the tensors and lays out the file.
    pub(crate) fn new(
        kind: &str,
        about: &str,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
    ) -> Result<Self> {
        let mut all = vec![];
        for (name, tensor) in tensors {
            if name == METADATA {
                return Err(Error::invalid("a tensor's name", "another than safetensors' own", name));
            }
            let must = "of a type that every machine stores (f8 to f64 or integers)";
            let dtype = stored(tensor.dtype())
                .ok_or_else(|| Error::invalid(&*name, must, tensor.dtype().as_str()))?;
            all.push((dtype, name, tensor.to_device(&Device::Cpu)?));
        }
        // As safetensors has it: the largest types first, so that all are aligned; then by name.
        all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut header = opening(kind);
        let hash_at = header.len();
        header.push_str(&"0".repeat(HEX));
        let about = json(&format!(" {about}"))?;
        header.push_str(about.strip_prefix('"').unwrap_or(&about));
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

    /// Writes the file from where `out` stands, one tensor in memory at a time.
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

/// What safetensors calls a type, if both it and candle can hold it in full.
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

/// The text and the tensors of a file, on the CPU.
pub(crate) struct Content {
    pub(crate) about: String,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

/// The content of a whole and unchanged file of a `kind`. Allocates no more than a small multiple of the bytes
/// that are there, whatever the header says.
pub(crate) fn read(kind: &str, bytes: &[u8]) -> Result<Content, Fault> {
    let opening = opening(kind);
    let hash_at = LENGTH + opening.len();
    if bytes.get(LENGTH..hash_at) != Some(opening.as_bytes()) {
        // Past the opening brace and safetensors' own name, to our title.
        return Err(mismatch(bytes.get(LENGTH + METADATA.len() + 6..).unwrap_or_default(), kind));
    }
    let hash = bytes.get(hash_at..hash_at + HEX).ok_or_else(changed)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..hash_at]).update(&ZEROS).update(&bytes[hash_at + HEX..]);
    if hash != hasher.finalize().to_hex().as_bytes() {
        return Err(changed());
    }
    // What follows can only be wrong in a file that someone else made.
    let (mut header, data) = split(bytes)?;
    let about = header.metadata.remove(&title(kind)).unwrap_or_default();
    let about = about.get(HEX + 1..).unwrap_or_default().to_string();
    Ok(Content { about, tensors: cut(header.tensors, data)? })
}

/// The header of a file, and what follows it.
fn split(bytes: &[u8]) -> Result<(Header, &[u8]), Fault> {
    let (length, rest) =
        bytes.split_first_chunk().ok_or_else(|| Fault::Damaged("it is too short to have a header".into()))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (header, data) = rest
        .split_at_checked(length)
        .ok_or_else(|| Fault::foreign("its header is said to be longer than the file"))?;
    let header = serde_json::from_slice(header).map_err(|e| Fault::foreign(format!("its header: {e}")))?;
    Ok((header, data))
}

/// Tensors that lie one behind the other, from one end of `length` bytes to the other, each as large as its shape
/// says; in that order.
fn laid_out(infos: BTreeMap<String, TensorInfo>, length: usize) -> Result<Vec<(String, TensorInfo)>, Fault> {
    let mut infos: Vec<_> = infos.into_iter().collect();
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let mut at = 0;
    for (name, info) in &infos {
        let bad = |why: &str| Fault::foreign(format!("its tensor {name:?} {why}"));
        let (start, end) = info.data_offsets;
        if start != at || end < start || end > length {
            return Err(bad("lies elsewhere"));
        }
        // Strides are products too, of every dimension but those that are 0.
        info.shape
            .iter()
            .try_fold(info.dtype.bitsize(), |size, dim| size.checked_mul((*dim).max(1)))
            .and_then(|size| isize::try_from(size).ok())
            .ok_or_else(|| bad("is too large for this machine"))?;
        let bits = info.shape.iter().product::<usize>() * info.dtype.bitsize();
        if (end - start).checked_mul(8) != Some(bits) {
            return Err(bad("has another size than its shape says"));
        }
        at = end;
    }
    match at == length {
        true => Ok(infos),
        false => Err(Fault::foreign("its tensors are followed by other bytes")),
    }
}

/// Tensors from one end of `data` to the other.
fn cut(infos: BTreeMap<String, TensorInfo>, data: &[u8]) -> Result<BTreeMap<String, Tensor>, Fault> {
    let tensor = |(name, info): (String, TensorInfo)| {
        let bad = |why: &str| Fault::foreign(format!("its tensor {name:?} {why}"));
        let dtype = DType::try_from(info.dtype)
            .ok()
            .filter(|dtype| stored(*dtype) == Some(info.dtype))
            .ok_or_else(|| bad(&format!("is of type {:?}", info.dtype)))?;
        let bytes = &data[info.data_offsets.0..info.data_offsets.1];
        let tensor = Tensor::from_raw_buffer(bytes, dtype, &info.shape, &Device::Cpu)
            .map_err(|e| bad(&Error::from(e).to_string()))?;
        Ok((name, tensor))
    };
    laid_out(infos, data.len())?.into_iter().map(tensor).collect()
}

/// The longest header of a file of others, as safetensors has it.
const LONGEST: u64 = 100_000_000;

/// What is in a safetensors file of any origin, in its order; offsets count from its first byte. Allocates no more than
/// a small multiple of its header, and reads nothing else.
pub(crate) fn contents(bytes: &[u8]) -> Result<Vec<(String, TensorInfo)>, Fault> {
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if length > LONGEST {
        return Err(Fault::foreign(format!("its header is said to be {length} bytes long")));
    }
    let (header, data) = split(bytes)?;
    let end = header.tensors.values().map(|info| info.data_offsets.1).max().unwrap_or_default();
    if end > data.len() {
        let why = format!("it is cut short: its tensors are {end} bytes long, and {} are there", data.len());
        return Err(Fault::Damaged(why));
    }
    let before = bytes.len() - data.len();
    let mut tensors = laid_out(header.tensors, data.len())?;
    for (_, info) in &mut tensors {
        info.data_offsets = (info.data_offsets.0 + before, info.data_offsets.1 + before);
    }
    Ok(tensors)
}

/// The head of a plain safetensors file: the length of its header, and the header, with the metadata that marks
/// tensors which any framework may read, and the tensors in the order given.
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

/// The JSON at the head of the file. A name that comes twice is an error.
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
