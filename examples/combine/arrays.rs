//! Arrays of NumPy: a file `.npy`, or an archive `.npz` of them.
use candle_core::{Device, Tensor};
use npyz::{half::f16, DType, Deserialize, NpyFile, Order, TypeChar};
use std::{
    fs::File,
    io::{BufReader, Cursor, Read, Seek},
    path::Path,
};
use zip::ZipArchive;

/// An array, row-major.
#[derive(Clone, Debug)]
pub struct Array {
    pub values: Values,
    pub dims: Vec<usize>,
}

/// The values of an array. Numbers keep their type, so that none is rounded.
#[derive(Clone, Debug)]
pub enum Values {
    Single(Vec<f32>),
    Double(Vec<f64>),
    Int(Vec<i64>),
    Uint(Vec<u64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

impl Array {
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// The numbers in f64; `name` is that of the array.
    pub fn doubles(&self, name: &str) -> Result<Vec<f64>, String> {
        Ok(match &self.values {
            Values::Single(all) => all.iter().map(|x| f64::from(*x)).collect(),
            Values::Double(all) => all.clone(),
            Values::Int(all) => all.iter().map(|x| *x as f64).collect(),
            Values::Uint(all) => all.iter().map(|x| *x as f64).collect(),
            Values::Bool(all) => all.iter().map(|x| f64::from(u8::from(*x))).collect(),
            Values::Text(_) => return Err(format!("array `{name}` must hold numbers, but holds text")),
        })
    }

    /// A tensor of these dimensions, f32 for f32 and f16, f64 otherwise.
    pub fn tensor(&self, name: &str, dims: &[usize]) -> Result<Tensor, String> {
        match &self.values {
            Values::Single(all) => Tensor::from_slice(all, dims, &Device::Cpu),
            _ => Tensor::from_vec(self.doubles(name)?, dims, &Device::Cpu),
        }
        .map_err(|e| e.to_string())
    }

    /// The shape as NumPy writes it.
    pub fn shape(&self) -> String {
        shape(&self.dims)
    }
}

/// A shape as NumPy writes it.
pub fn shape(dims: &[usize]) -> String {
    match dims {
        [one] => format!("({one},)"),
        dims => format!("({})", dims.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// The arrays of a file by name.
pub struct Arrays(Source);

enum Source {
    /// A single array, which has no name.
    Npy(Vec<u8>),
    Npz(ZipArchive<BufReader<File>>),
}

impl Arrays {
    pub fn open(path: &Path) -> Result<Self, String> {
        let mut file = BufReader::new(File::open(path).map_err(|e| e.to_string())?);
        let mut magic = vec![];
        file.by_ref().take(8).read_to_end(&mut magic).map_err(|e| e.to_string())?;
        file.rewind().map_err(|e| e.to_string())?;
        if magic.starts_with(b"\x93NUMPY") {
            let mut bytes = vec![];
            file.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
            return Ok(Self(Source::Npy(bytes)));
        }
        let save = "write it with numpy.savez(FILE, predictions=…, targets=…)";
        let kind = match magic.as_slice() {
            [] => Some("an empty file"),
            [b'\x89', b'H', b'D', b'F', ..] => Some("an HDF5 file"),
            [0x80, 2..=5, ..] => Some("a pickle"),
            _ => None,
        };
        if let Some(kind) = kind {
            return Err(format!("it is {kind}, not a NumPy archive (.npz): {save}"));
        }
        let archive =
            ZipArchive::new(file).map_err(|e| format!("not a NumPy archive (.npz): {e}; {save}"))?;
        if archive.file_names().flatten().any(|name| name.ends_with("data.pkl")) {
            return Err(format!("it is a PyTorch file, not a NumPy archive (.npz): {save}"));
        }
        Ok(Self(Source::Npz(archive)))
    }

    /// The names of the arrays, in order.
    pub fn names(&self) -> Vec<String> {
        let Source::Npz(archive) = &self.0 else { return vec!["predictions".into()] };
        let own = |name: &str| name.strip_suffix(".npy").unwrap_or(name).to_string();
        let mut names: Vec<String> = archive.file_names().flatten().map(|name| own(&name)).collect();
        names.sort_unstable();
        names
    }

    /// The array of this name, if there is one. That of a file `.npy` is called `predictions`.
    pub fn get(&mut self, name: &str) -> Result<Option<Array>, String> {
        let bytes = match &mut self.0 {
            Source::Npy(bytes) => (name == "predictions").then(|| std::mem::take(bytes)),
            Source::Npz(archive) => entry(archive, name)?,
        };
        bytes.map(|bytes| parse(name, &bytes)).transpose()
    }
}

/// The bytes of an array in an archive, if there is one of that name.
fn entry(archive: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Option<Vec<u8>>, String> {
    let path = format!("{name}.npy");
    if archive.index_for_name(&path).is_none() {
        return Ok(None);
    }
    let mut entry = archive.by_name(&path).map_err(|e| format!("array `{name}`: {e}"))?;
    let mut bytes = vec![];
    entry.read_to_end(&mut bytes).map_err(|e| format!("array `{name}`: {e}"))?;
    Ok(Some(bytes))
}

fn parse(name: &str, bytes: &[u8]) -> Result<Array, String> {
    let failed = |e: std::io::Error| format!("array `{name}` is not a NumPy array: {e}");
    let npy = NpyFile::new(Cursor::new(bytes)).map_err(failed)?;
    let DType::Plain(kind) = npy.dtype() else {
        return Err(format!("array `{name}` must hold plain numbers or text, but holds records"));
    };
    let (kind, size) = (kind.type_char(), kind.size_field());
    let what = match kind {
        TypeChar::Object => {
            Some(("Python objects", "(str), or .astype(float) for numbers, before it is saved"))
        }
        TypeChar::Complex => Some(("complex numbers", "(float)")),
        TypeChar::DateTime | TypeChar::TimeDelta => Some(("dates or times", "(float)")),
        TypeChar::RawData => Some(("raw data, such as bfloat16", "(numpy.float32) before it is saved")),
        TypeChar::Float if !matches!(size, 2 | 4 | 8) => {
            Some(("numbers of extended precision", "(numpy.float64)"))
        }
        _ => None,
    };
    if let Some((what, convert)) = what {
        return Err(format!(
            "array `{name}` must hold plain numbers or text, but holds {what}: convert it with .astype{convert}"
        ));
    }
    let dims: Vec<usize> = npy.shape().iter().map(|d| *d as usize).collect();
    let order = npy.order();
    let bytes_each = size.max(1) * if kind == TypeChar::UnicodeStr { 4 } else { 1 };
    let need = npy.shape().iter().try_fold(bytes_each, |a, d| a.checked_mul(*d));
    if need.is_none_or(|need| need > bytes.len() as u64) {
        let (shape, got) = (shape(&dims), bytes.len());
        return Err(format!("array `{name}` must have the shape {shape} of its header, but has {got} bytes"));
    }
    let turn = Turn { order, dims: &dims };
    let values = match (kind, size) {
        (TypeChar::Float, 2) => Values::Single(turn.read::<f16>(npy)?.into_iter().map(f16::to_f32).collect()),
        (TypeChar::Float, 4) => Values::Single(turn.read(npy)?),
        (TypeChar::Float, _) => Values::Double(turn.read(npy)?),
        (TypeChar::Int, 1) => Values::Int(turn.read::<i8>(npy)?.into_iter().map(i64::from).collect()),
        (TypeChar::Int, 2) => Values::Int(turn.read::<i16>(npy)?.into_iter().map(i64::from).collect()),
        (TypeChar::Int, 4) => Values::Int(turn.read::<i32>(npy)?.into_iter().map(i64::from).collect()),
        (TypeChar::Int, _) => Values::Int(turn.read(npy)?),
        (TypeChar::Uint, 1) => Values::Uint(turn.read::<u8>(npy)?.into_iter().map(u64::from).collect()),
        (TypeChar::Uint, 2) => Values::Uint(turn.read::<u16>(npy)?.into_iter().map(u64::from).collect()),
        (TypeChar::Uint, 4) => Values::Uint(turn.read::<u32>(npy)?.into_iter().map(u64::from).collect()),
        (TypeChar::Uint, _) => Values::Uint(turn.read(npy)?),
        (TypeChar::Bool, _) => Values::Bool(turn.read(npy)?),
        (TypeChar::UnicodeStr, _) => Values::Text(turn.read(npy)?),
        (TypeChar::ByteStr, _) => {
            let texts = turn.read::<Vec<u8>>(npy)?;
            Values::Text(texts.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect())
        }
        _ => return Err(format!("array `{name}` must hold plain numbers or text")),
    };
    Ok(Array { values, dims })
}

/// How the values of a file are ordered.
struct Turn<'a> {
    order: Order,
    dims: &'a [usize],
}

impl Turn<'_> {
    /// All values, row-major. NumPy writes transposed arrays column by column.
    fn read<T: Deserialize + Clone>(&self, npy: NpyFile<Cursor<&[u8]>>) -> Result<Vec<T>, String> {
        let all = npy.into_vec::<T>().map_err(|e| e.to_string())?;
        if self.order == Order::C {
            return Ok(all);
        }
        let mut at = vec![0; self.dims.len()];
        let next = |_| {
            let offset = at.iter().zip(self.dims).rev().fold(0, |offset, (i, d)| offset * d + i);
            for (i, d) in at.iter_mut().zip(self.dims).rev() {
                *i = (*i + 1) % d;
                if *i > 0 {
                    break;
                }
            }
            all[offset].clone()
        };
        Ok((0..all.len()).map(next).collect())
    }
}
