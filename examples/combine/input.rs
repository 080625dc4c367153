//! Predictions in a NumPy archive.
use candle_core::{DType, Device, Tensor};
use npyz::{half::f16, DType as Kind, Deserialize, NpyFile, Order, TypeChar};
use std::{
    fs::File,
    io::{BufReader, Read},
    ops::Range,
    path::Path,
};
use zip::ZipArchive;

/// The arrays of the archive.
pub struct Input {
    /// `(M, N, C)`, f32 or f64, row-major.
    pub predictions: Tensor,
    /// `(N,)` or `(N, K)`; a combiner that is only applied needs none.
    pub targets: Option<Targets>,
    /// One for each member.
    pub names: Option<Vec<String>>,
    /// One for each row.
    pub groups: Option<Vec<u32>>,
    /// `(N, F)`.
    pub inputs: Option<Tensor>,
    /// The weight of each row.
    pub weights: Option<Tensor>,
    /// The cost of each member.
    pub costs: Option<Vec<f64>>,
}

/// Class ids or values, depending on the task.
pub struct Targets {
    pub values: Vec<f64>,
    pub dims: Vec<usize>,
}

impl Targets {
    /// Class ids, all below `classes`.
    pub fn classes(&self, classes: usize) -> Result<Tensor, String> {
        if self.dims.len() > 1 && self.dims[1..] != [1] {
            return Err(format!("targets of classes must be (N,), but are {:?}", self.dims));
        }
        let bad = |x: &f64| x.fract() != 0. || *x < 0. || *x >= classes as f64;
        if let Some(row) = self.values.iter().position(bad) {
            let (must, got) = (format!("a class below {classes}"), self.values[row]);
            return Err(format!("target of row {row} must be {must}, but is {got}"));
        }
        let ids = self.values.iter().map(|x| *x as u32);
        Tensor::from_iter(ids, &Device::Cpu).map_err(|e| e.to_string())
    }

    /// `(N, K)`.
    pub fn table(&self) -> Result<Tensor, String> {
        let rows = self.dims[0];
        let width = self.values.len() / rows.max(1);
        Tensor::from_slice(&self.values, (rows, width), &Device::Cpu).map_err(|e| e.to_string())
    }
}

pub fn read(path: &Path) -> Result<Input, String> {
    let named = |e: String| format!("{}: {e}", path.display());
    let file = File::open(path).map_err(|e| named(e.to_string()))?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|e| named(format!("not a NumPy archive (.npz): {e}")))?;
    read_archive(&mut archive).map_err(named)
}

type Archive = ZipArchive<BufReader<File>>;

fn read_archive(archive: &mut Archive) -> Result<Input, String> {
    let predictions = array(archive, "predictions")?.ok_or("it has no array `predictions`")?;
    let predictions = match predictions.dims.as_slice() {
        [_, _, _] => predictions,
        [m, n] => Array { dims: vec![*m, *n, 1], ..predictions },
        dims => return Err(format!("predictions must be (M, N, C), but are {dims:?}")),
    };
    let (members, rows, width) = (predictions.dims[0], predictions.dims[1], predictions.dims[2]);
    if members * rows * width == 0 {
        return Err(format!("predictions must not be empty, but are {:?}", predictions.dims));
    }
    predictions.check_finite("prediction", |at| {
        format!("member {}, row {}, column {}", at / width / rows, at / width % rows, at % width)
    })?;
    let a_row = |what: &str, array: &Array, rank: &[usize]| match array.dims.first() {
        Some(n) if *n == rows && rank.contains(&array.dims.len()) => Ok(()),
        _ => Err(format!("{what} must be one for each of {rows} rows, but are {:?}", array.dims)),
    };
    let targets = match array(archive, "targets")? {
        None => None,
        Some(array) => {
            a_row("targets", &array, &[1, 2])?;
            array.check_finite("target", |at| format!("row {}", at / (array.len() / rows)))?;
            Some(Targets { dims: array.dims.clone(), values: array.doubles() })
        }
    };
    let inputs = match array(archive, "inputs")? {
        None => None,
        Some(mut array) => {
            if array.dims.len() > 2 {
                array.dims = vec![array.dims[0], array.dims[1..].iter().product()];
            }
            a_row("inputs", &array, &[1, 2])?;
            array.check_finite("input", |at| format!("row {}", at / (array.len() / rows)))?;
            let width = array.len() / rows;
            Some(array.tensor(&[rows, width])?)
        }
    };
    let groups = match array(archive, "groups")? {
        None => None,
        Some(array) => {
            a_row("groups", &array, &[1])?;
            Some(ids(&array.doubles()))
        }
    };
    let weights = match array(archive, "weights")? {
        None => None,
        Some(array) => {
            a_row("weights", &array, &[1])?;
            Some(array.tensor(&[rows])?)
        }
    };
    let costs = match array(archive, "costs")? {
        None => None,
        Some(array) if array.dims == [members] => Some(array.doubles()),
        Some(array) => {
            return Err(format!("costs must be ({members},), one for each member, but are {:?}", array.dims))
        }
    };
    let names = match strings(archive, "names")? {
        Some(names) if names.len() != members => {
            return Err(format!("names must be {members}, one for each member, but are {}", names.len()));
        }
        names => names,
    };
    let predictions = predictions.tensor(&[members, rows, width])?;
    Ok(Input { predictions, targets, names, groups, inputs, weights, costs })
}

/// Consecutive numbers for the groups, in the order of their values.
fn ids(groups: &[f64]) -> Vec<u32> {
    let mut seen: Vec<u64> = groups.iter().map(|g| g.to_bits()).collect();
    seen.sort_unstable();
    seen.dedup();
    groups.iter().map(|g| seen.binary_search(&g.to_bits()).unwrap_or_default() as u32).collect()
}

/// An array of numbers, row-major.
struct Array {
    values: Numbers,
    dims: Vec<usize>,
}

enum Numbers {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Array {
    fn len(&self) -> usize {
        self.dims.iter().product()
    }

    fn check_finite(&self, what: &str, place: impl Fn(usize) -> String) -> Result<(), String> {
        let bad = match &self.values {
            Numbers::Single(v) => v.iter().position(|x| !x.is_finite()).map(|i| (i, f64::from(v[i]))),
            Numbers::Double(v) => v.iter().position(|x| !x.is_finite()).map(|i| (i, v[i])),
        };
        match bad {
            None => Ok(()),
            Some((at, got)) => Err(format!("{what} of {} must be finite, but is {got}", place(at))),
        }
    }

    fn doubles(self) -> Vec<f64> {
        match self.values {
            Numbers::Single(v) => v.into_iter().map(f64::from).collect(),
            Numbers::Double(v) => v,
        }
    }

    fn tensor(self, dims: &[usize]) -> Result<Tensor, String> {
        match self.values {
            Numbers::Single(v) => Tensor::from_vec(v, dims, &Device::Cpu),
            Numbers::Double(v) => Tensor::from_vec(v, dims, &Device::Cpu),
        }
        .map_err(|e| e.to_string())
    }
}

/// The bytes of an array, if there is one of that name.
fn bytes(archive: &mut Archive, name: &str) -> Result<Option<Vec<u8>>, String> {
    let path = format!("{name}.npy");
    if archive.index_for_name(&path).is_none() {
        return Ok(None);
    }
    let mut entry = archive.by_name(&path).map_err(|e| format!("array `{name}`: {e}"))?;
    let mut bytes = vec![];
    entry.read_to_end(&mut bytes).map_err(|e| format!("array `{name}`: {e}"))?;
    Ok(Some(bytes))
}

/// Opens an array, and checks that it is complete.
fn open<'a>(name: &str, bytes: &'a [u8]) -> Result<NpyFile<&'a [u8]>, String> {
    let failed = |e: std::io::Error| format!("array `{name}` is not a NumPy array: {e}");
    let npy = NpyFile::new(bytes).map_err(failed)?;
    let Kind::Plain(kind) = npy.dtype() else {
        return Err(format!("array `{name}` must hold plain numbers or text, not records"));
    };
    let need = npy.shape().iter().try_fold(kind.num_bytes().unwrap_or(1) as u64, |a, d| a.checked_mul(*d));
    match need {
        Some(need) if need <= bytes.len() as u64 => Ok(npy),
        _ => Err(format!(
            "array `{name}` must have the shape {:?} of its header, but has {} bytes",
            npy.shape(),
            bytes.len()
        )),
    }
}

fn array(archive: &mut Archive, name: &str) -> Result<Option<Array>, String> {
    let Some(bytes) = bytes(archive, name)? else { return Ok(None) };
    let npy = open(name, &bytes)?;
    let (dims, order) = (npy.shape().iter().map(|d| *d as usize).collect::<Vec<_>>(), npy.order());
    let Kind::Plain(kind) = npy.dtype() else { return Err(format!("array `{name}` holds records")) };
    fn all<T: Deserialize>(npy: NpyFile<&[u8]>) -> Result<Vec<T>, String> {
        npy.into_vec::<T>().map_err(|e| e.to_string())
    }
    fn doubles<T: Deserialize + Into<f64>>(npy: NpyFile<&[u8]>) -> Result<Numbers, String> {
        Ok(Numbers::Double(all::<T>(npy)?.into_iter().map(Into::into).collect()))
    }
    let values = match (kind.type_char(), kind.size_field()) {
        (TypeChar::Float, 4) => Numbers::Single(all(npy)?),
        (TypeChar::Float, 8) => Numbers::Double(all(npy)?),
        (TypeChar::Float, 2) => Numbers::Single(all::<f16>(npy)?.into_iter().map(f16::to_f32).collect()),
        (TypeChar::Int, 1) => doubles::<i8>(npy)?,
        (TypeChar::Int, 2) => doubles::<i16>(npy)?,
        (TypeChar::Int, 4) => doubles::<i32>(npy)?,
        (TypeChar::Int, 8) => Numbers::Double(all::<i64>(npy)?.into_iter().map(|x| x as f64).collect()),
        (TypeChar::Uint, 1) => doubles::<u8>(npy)?,
        (TypeChar::Uint, 2) => doubles::<u16>(npy)?,
        (TypeChar::Uint, 4) => doubles::<u32>(npy)?,
        (TypeChar::Uint, 8) => Numbers::Double(all::<u64>(npy)?.into_iter().map(|x| x as f64).collect()),
        (TypeChar::Bool, _) => {
            Numbers::Double(all::<bool>(npy)?.into_iter().map(|x| f64::from(u8::from(x))).collect())
        }
        _ => return Err(format!("array `{name}` must hold numbers, but holds {kind}")),
    };
    let array = Array { values, dims };
    Ok(Some(if order == Order::Fortran { row_major(array)? } else { array }))
}

/// Converts from column-major order, in which NumPy writes transposed arrays.
fn row_major(array: Array) -> Result<Array, String> {
    let dims = array.dims.clone();
    let turned: Vec<usize> = dims.iter().rev().copied().collect();
    let back: Vec<usize> = (0..dims.len()).rev().collect();
    let values = || -> candle_core::Result<Numbers> {
        let tensor = match &array.values {
            Numbers::Single(v) => Tensor::from_slice(v, turned.as_slice(), &Device::Cpu)?,
            Numbers::Double(v) => Tensor::from_slice(v, turned.as_slice(), &Device::Cpu)?,
        };
        let tensor = tensor.permute(back.as_slice())?.contiguous()?.flatten_all()?;
        Ok(match tensor.dtype() {
            DType::F32 => Numbers::Single(tensor.to_vec1()?),
            _ => Numbers::Double(tensor.to_vec1()?),
        })
    };
    Ok(Array { values: values().map_err(|e| e.to_string())?, dims })
}

fn strings(archive: &mut Archive, name: &str) -> Result<Option<Vec<String>>, String> {
    let Some(bytes) = bytes(archive, name)? else { return Ok(None) };
    let npy = open(name, &bytes)?;
    let Kind::Plain(kind) = npy.dtype() else { return Err(format!("array `{name}` holds records")) };
    let text = |e: std::io::Error| format!("array `{name}`: {e}");
    match kind.type_char() {
        TypeChar::UnicodeStr => npy.into_vec::<String>().map(Some).map_err(text),
        TypeChar::ByteStr => {
            let all = npy.into_vec::<Vec<u8>>().map_err(text)?;
            Ok(Some(all.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect()))
        }
        _ => Err(format!("array `{name}` must hold text, but holds {kind}")),
    }
}

/// Which rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// `A..B`, either end may be left out.
    Range(Option<usize>, Option<usize>),
    /// Every second row, from 0 or 1.
    Even,
    Odd,
    /// All of them.
    All,
}

impl Rows {
    pub fn positions(&self, what: &str, rows: usize) -> Result<Vec<u32>, String> {
        let range: Range<usize> = match self {
            Self::Range(from, to) => from.unwrap_or(0)..to.unwrap_or(rows),
            Self::All => 0..rows,
            Self::Even => return Ok((0..rows as u32).step_by(2).collect()),
            Self::Odd => return Ok((1..rows as u32).step_by(2).collect()),
        };
        if range.start >= range.end || range.end > rows {
            let (a, b) = (range.start, range.end);
            return Err(format!("{what} must be a range of the rows 0..{rows}, but is {a}..{b}"));
        }
        Ok((range.start as u32..range.end as u32).collect())
    }
}

impl std::str::FromStr for Rows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "even" => return Ok(Self::Even),
            "odd" => return Ok(Self::Odd),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let end = |part: &str| match part {
            "" => Ok(None),
            part => part.parse().map(Some).map_err(|_| format!("{part:?} is not a row number")),
        };
        let (from, to) = text.split_once("..").ok_or("rows are A..B, even, odd or all")?;
        Ok(Self::Range(end(from)?, end(to)?))
    }
}
