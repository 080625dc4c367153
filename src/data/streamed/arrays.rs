//! Arrays whose elements lie in files as they are in memory: `.npy` and safetensors.
use crate::{
    data::streamed::{
        npy,
        source::{in_shards, starts, Column, Source},
    },
    files::{
        fixed::FixedFile,
        tensors::{contents_by_head, readable},
    },
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use std::{ops::Range, path::Path};

/// How the elements of an array are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stored {
    /// The type in which they are read.
    pub(super) dtype: DType,
    /// Whether they are stored in the type of half the width: i8 for i16, and u16 for i32.
    pub(super) widen: bool,
    pub(super) big_endian: bool,
}

impl Stored {
    /// The bytes of an element in the file.
    fn width(self) -> usize {
        self.dtype.size_in_bytes() >> u32::from(self.widen)
    }

    /// Elements of a file as they are in memory.
    fn decode(self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.big_endian != cfg!(target_endian = "big") && self.width() > 1 {
            bytes.chunks_exact_mut(self.width()).for_each(<[u8]>::reverse);
        }
        match (self.widen, self.dtype) {
            (true, DType::I16) => {
                bytes.into_iter().flat_map(|x| i16::from(x.cast_signed()).to_ne_bytes()).collect()
            }
            (true, _) => {
                let (pairs, _) = bytes.as_chunks::<2>();
                pairs.iter().flat_map(|x| i32::from(u16::from_ne_bytes(*x)).to_ne_bytes()).collect()
            }
            (false, _) => bytes,
        }
    }
}

/// The rows of an array that are in one file.
struct Part {
    file: FixedFile,
    /// Where the first element is, in bytes.
    at: u64,
    stored: Stored,
    shape: Vec<usize>,
}

/// An array over all of its files.
struct Array {
    parts: Vec<Part>,
    starts: Vec<usize>,
}

/// Arrays with the same number of rows.
pub(super) struct Arrays {
    columns: Vec<Column>,
    arrays: Vec<Array>,
    rows: usize,
}

impl Arrays {
    /// One array of `.npy` files.
    pub(super) fn npy<P: AsRef<Path>>(name: &str, files: impl IntoIterator<Item = P>) -> Result<Self> {
        let parts = files.into_iter().map(|path| npy_part(path.as_ref())).collect::<Result<Vec<_>>>()?;
        Self::new(vec![(name.to_owned(), parts)])
    }

    /// The tensors of safetensors files.
    pub(super) fn safetensors<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut arrays: Vec<(String, Vec<Part>)> = vec![];
        for (number, path) in files.into_iter().enumerate() {
            let parts = safetensors_parts(path.as_ref())?;
            if number == 0 {
                arrays = parts.into_iter().map(|(name, part)| (name, vec![part])).collect();
                continue;
            }
            if let Some((name, _)) = arrays.iter().find(|(name, _)| parts.iter().all(|(of, _)| of != name)) {
                return Err(foreign(
                    path.as_ref(),
                    format!("it lacks the tensor {name:?} of the first file"),
                ));
            }
            for (name, part) in parts {
                match arrays.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, parts)) => parts.push(part),
                    None => {
                        let why = format!("its tensor {name:?} is not in the first file");
                        return Err(foreign(path.as_ref(), why));
                    }
                }
            }
        }
        Self::new(arrays)
    }

    fn new(arrays: Vec<(String, Vec<Part>)>) -> Result<Self> {
        let (mut columns, mut all) = (vec![], vec![]);
        for (name, parts) in arrays {
            let Some(first) = parts.first() else { continue };
            let (dtype, row) = (first.stored.dtype, first.shape.get(1..).unwrap_or_default().to_vec());
            for part in &parts {
                let own = part.shape.get(1..).unwrap_or_default();
                if own != row || part.stored.dtype != dtype {
                    let of = |dtype: DType, row: &[usize]| {
                        format!("{} with rows of shape {row:?}", dtype.as_str())
                    };
                    let what = format!("the array {name:?} in {}", part.file.path().display());
                    let must = format!("{}, as in {}", of(dtype, &row), first.file.path().display());
                    return Err(Error::invalid(what, must, of(part.stored.dtype, own)));
                }
            }
            let starts = starts(parts.iter().map(|part| part.shape.first().copied().unwrap_or_default()));
            columns.push(Column::new(name, dtype, row));
            all.push(Array { parts, starts });
        }
        let rows = |array: &Array| array.starts.last().copied().unwrap_or_default();
        let Some(first) = all.first() else {
            return Err(Error::invalid("the files of a data set", "at least one with an array", "none"));
        };
        let count = rows(first);
        if let Some((other, column)) = all.iter().zip(&columns).find(|(array, _)| rows(array) != count) {
            let what = format!("the number of rows of the array {:?}", column.name);
            let known = columns.first().map_or("", |column| &column.name);
            return Err(Error::invalid(what, format!("{count}, as that of {known:?}"), rows(other)));
        }
        Ok(Self { columns, arrays: all, rows: count })
    }
}

fn foreign(path: &Path, why: String) -> Error {
    Error::Foreign { what: path.display().to_string(), why }
}

/// The array of a `.npy` file, checked against the size of the file.
fn npy_part(path: &Path) -> Result<Part> {
    let file = FixedFile::new(path)?;
    let mut head = vec![0; file.size().min(npy::LONGEST as u64 + 12) as usize];
    file.read(0, &mut head)?;
    let npy::Header { stored, shape, data } = npy::Header::parse(&head).map_err(|why| foreign(path, why))?;
    let part = Part { file, at: data as u64, stored, shape };
    let bytes = part.checked_bytes().map_err(|why| foreign(path, why))?;
    match part.file.size() - part.at {
        have if have == bytes => Ok(part),
        have => {
            let why = format!("its array {:?} takes {bytes} bytes, but it has {have}", part.shape);
            Err(Error::Damaged { what: path.display().to_string(), why })
        }
    }
}

/// The tensors of a safetensors file, whose header is checked against the size of the file.
fn safetensors_parts(path: &Path) -> Result<Vec<(String, Part)>> {
    let file = FixedFile::new(path)?;
    let size = usize::try_from(file.size()).unwrap_or(usize::MAX);
    let tensors = contents_by_head(&file.head()?, size).map_err(|fault| fault.of(path.display()))?;
    let part = |(name, info): (String, safetensors::tensor::TensorInfo)| {
        let dtype = readable(info.dtype).filter(|dtype| *dtype != DType::F8E4M3).ok_or_else(|| {
            foreign(
                path,
                format!("its tensor {name:?} is of type {}, not a float or integer of candle", info.dtype),
            )
        })?;
        let stored = Stored { dtype, widen: false, big_endian: false };
        let part = Part { file: file.clone(), at: info.data_offsets.0 as u64, stored, shape: info.shape };
        part.checked_bytes().map_err(|why| foreign(path, format!("its tensor {name:?}: {why}")))?;
        Ok((name, part))
    };
    tensors.into_iter().map(part).collect()
}

impl Part {
    /// The bytes of its elements.
    fn checked_bytes(&self) -> Result<u64, String> {
        if self.shape.is_empty() {
            return Err("it is a single value, without rows".into());
        }
        if self.shape.iter().skip(1).any(|dim| *dim == 0) {
            return Err(format!("its rows have no values: it is of shape {:?}", self.shape));
        }
        let mut sizes = self.shape.iter().copied().chain([self.stored.width()]);
        sizes
            .try_fold(1u64, |bytes, size| bytes.checked_mul(size as u64))
            .ok_or_else(|| format!("its shape {:?} is larger than any file", self.shape))
    }

    /// Appends some of its rows, as they are in memory.
    fn read(&self, rows: Range<usize>, to: &mut Vec<u8>) -> Result<()> {
        let width = self.shape.iter().skip(1).product::<usize>() * self.stored.width();
        let mut bytes = vec![0; rows.len() * width];
        self.file.read(self.at + (rows.start * width) as u64, &mut bytes)?;
        let bytes = self.stored.decode(bytes);
        match to.is_empty() {
            true => *to = bytes,
            false => to.extend(bytes),
        }
        Ok(())
    }
}

impl Source for Arrays {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Tensor>> {
        let read = |column: &usize| {
            let (Some(column), Some(array)) = (self.columns.get(*column), self.arrays.get(*column)) else {
                return Err(Error::invalid("the number of a column", "one of the files", column));
            };
            let mut bytes = vec![];
            for (shard, rows) in in_shards(&array.starts, rows.clone()).filter(|(_, rows)| !rows.is_empty()) {
                if let Some(part) = array.parts.get(shard) {
                    part.read(rows, &mut bytes)?;
                }
            }
            let shape = [&[rows.len()], &*column.row].concat();
            Ok(Tensor::from_raw_buffer(&bytes, column.dtype, &shape, &Device::Cpu)?)
        };
        columns.iter().map(read).collect()
    }
}
