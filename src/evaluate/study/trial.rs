//! The results of one training of one strategy, as data, and the folder that keeps them.
use crate::{
    codec,
    evaluate::{Cost, Failure, FittedOnRows, SizePoint},
    files::{self, envelope, header::FormatError},
    metrics::ReliabilityBin,
    store::read_file,
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The kind of a file of results.
const KIND: &str = "result of a study";

/// What was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Trained {
    /// Number of members that predict by themselves; those of a sequence, which predict together, are one.
    pub(super) members: usize,
    /// Number of networks that hold them.
    pub(super) networks: usize,
    /// The metrics of each member.
    pub(super) member_scores: Vec<Vec<f64>>,
    /// The training loss of each run after each epoch.
    pub(super) curves: Vec<Vec<f64>>,
    /// Epochs of all runs.
    pub(super) epochs: f64,
    pub(super) seconds: f64,
    /// The networks that a member needs to predict by itself, on average: all those of its sequence, else one.
    pub(super) networks_of_one: f64,
    /// The size of their weights. A network that holds several members counts as a whole for each.
    pub(super) bytes_of_one: f64,
    /// The counts of true and predicted classes, added up over the members.
    pub(super) confusion: Option<Vec<Vec<f64>>>,
    /// The bins of a reliability diagram over all members.
    pub(super) reliability: Vec<ReliabilityBin>,
    /// What each member predicts for the test rows, `(M, N, C)`, in the units of the targets.
    pub(super) predictions: Array,
}

impl Trained {
    /// The mean of the headline metric over the members.
    pub(super) fn headline_mean(&self) -> f64 {
        let headlines = self.member_scores.iter().filter_map(|scores| scores.first());
        headlines.sum::<f64>() / self.member_scores.len() as f64
    }
}

/// What a combination made of the members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// The metrics and predictions, or why there are none.
    pub(super) result: std::result::Result<Combined, Failure>,
    pub(super) cost: Cost,
    pub(super) fitted_on: Option<FittedOnRows>,
    /// The loss barrier of a merge.
    pub(super) barrier: Option<f64>,
}

/// The combined predictions and what follows from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Combined {
    /// The metrics.
    pub(super) scores: Vec<f64>,
    /// The combined predictions `(N, C)`, in the units of the targets.
    pub(super) predictions: Array,
    pub(super) size_curve: Vec<SizePoint>,
    pub(super) weights: Option<Vec<f64>>,
    pub(super) confusion: Option<Vec<Vec<f64>>>,
    pub(super) reliability: Vec<ReliabilityBin>,
}

/// A tensor as data: f64 for values, f32 for probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Array {
    shape: Vec<usize>,
    numbers: Numbers,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Array {
    pub(super) fn of(tensor: &Tensor) -> Result<Self> {
        let flat = tensor.flatten_all()?;
        let numbers = match tensor.dtype() {
            DType::F64 => Numbers::F64(flat.to_vec1()?),
            _ => Numbers::F32(flat.to_dtype(DType::F32)?.to_vec1()?),
        };
        Ok(Self { shape: tensor.dims().to_vec(), numbers })
    }

    pub(super) fn tensor(&self) -> Result<Tensor> {
        let shape = self.shape.as_slice();
        Ok(match &self.numbers {
            Numbers::F32(numbers) => Tensor::from_slice(numbers, shape, &Device::Cpu)?,
            Numbers::F64(numbers) => Tensor::from_slice(numbers, shape, &Device::Cpu)?,
        })
    }
}

/// The folder of one training of one strategy, where results are kept; nothing is kept without a folder.
///
/// Each file holds a result and the key of what it depends on: the plan, the learner, the test rows, the
/// metrics. A file with another key is out of date, and its result is computed again.
#[derive(Clone, Debug)]
pub(super) struct ResultFolder {
    path: Option<PathBuf>,
    key: String,
}

impl ResultFolder {
    pub(super) fn new(path: Option<PathBuf>, key: String) -> Result<Self> {
        if let Some(path) = &path {
            fs::create_dir_all(path).map_err(|e| files::failed(path, e))?;
        }
        Ok(Self { path, key })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(path) = self.file(name) else { return Ok(None) };
        let read = |bytes: &[u8]| {
            let (key, value): (String, T) =
                codec::decode(envelope::unwrap(KIND, bytes)?).map_err(FormatError::foreign)?;
            Ok((key == self.key).then_some(value))
        };
        match read_file(&path, read) {
            Ok(value) => Ok(value.flatten()),
            // Results can be computed again.
            Err(Error::Damaged { .. } | Error::Foreign { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    pub(super) fn put(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let Some(path) = self.file(name) else { return Ok(()) };
        files::write_whole(path, &envelope::wrap(KIND, &codec::encode(&(&self.key, value))?))
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        self.path.as_ref().map(|path| path.join(format!("{}.result", file_name(name))))
    }
}

/// A name as part of a file name: a name of plain characters is itself, and others end in a hash.
pub(super) fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
    let shown: String = name.chars().map(|c| if plain(c) { c } else { '-' }).take(80).collect();
    match shown == name && !name.starts_with('.') {
        true => shown,
        false => {
            format!("{}-{}", shown.trim_start_matches('.'), &blake3::hash(name.as_bytes()).to_hex()[..8])
        }
    }
}

/// The folder below `path` of this name.
pub(super) fn folder(path: Option<&Path>, name: &str) -> Option<PathBuf> {
    path.map(|path| path.join(file_name(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_back_under_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let of = |key: &str| ResultFolder::new(Some(folder.path().to_owned()), key.into()).unwrap();
        of("a").put("mean", &vec![1f64, 2.]).unwrap();
        assert_eq!(of("a").get::<Vec<f64>>("mean").unwrap(), Some(vec![1., 2.]));
        assert_eq!(of("b").get::<Vec<f64>>("mean").unwrap(), None);
        assert_eq!(of("a").get::<Vec<f64>>("median").unwrap(), None);
        fs::write(folder.path().join("mean.result"), "cut short").unwrap();
        assert_eq!(of("a").get::<Vec<f64>>("mean").unwrap(), None);
        let nowhere = ResultFolder::new(None, "a".into()).unwrap();
        nowhere.put("mean", &1f64).unwrap();
        assert_eq!(nowhere.get::<f64>("mean").unwrap(), None);
    }

    #[test]
    fn different_names_have_different_files() {
        let names = ["k-fold:5", "k-fold-5", "k-fold,5", "..", "a/b", "multi-run", &"x".repeat(300)];
        let files: std::collections::BTreeSet<_> = names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files.len(), names.len(), "{files:?}");
        assert!(files.iter().all(|f| !f.contains('/') && !f.starts_with('.') && f.len() < 100), "{files:?}");
        assert_eq!(file_name("multi-run"), "multi-run");
    }

    #[test]
    fn arrays_keep_every_bit() {
        for tensor in [
            Tensor::new(&[[0.1f32, f32::NAN], [1e-40, -0.]], &Device::Cpu).unwrap(),
            Tensor::new(&[[0.1f64, 1e300]], &Device::Cpu).unwrap(),
        ] {
            let back = Array::of(&tensor).unwrap().tensor().unwrap();
            assert_eq!((back.dims(), back.dtype()), (tensor.dims(), tensor.dtype()));
            assert_eq!(format!("{back:?}"), format!("{tensor:?}"));
        }
    }
}
