//! Merging networks that are in memory.
use crate::{
    kernels::cpu::{contiguous, Elements},
    merge::{
        files::headers::Family,
        methods::{
            method::check,
            sources::{is_merged, Source},
        },
        Method, Sources,
    },
    threads,
    weights::{compatibility::kinds, Weights},
    Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Merges networks by name. f16, bf16, f32 and f64 come out as they went in, computed from f32 numbers with sums in
/// f64; integers and truth values are copied from the base, or from the first network without one.
///
/// All networks, the base included, have the same names, shapes and dtypes. The result is on the CPU, and the same bytes
/// for any number of threads. Batch-norm's running statistics are merged like weights, which is not what the merged
/// network would measure: re-estimate them afterwards.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{merge, LinearMerge}, weights::Weights};
///
/// let network = |x: f32| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("bias".into(), Tensor::new(&[x, -x], &Device::Cpu)?)]))
/// };
/// let merged = merge(&LinearMerge::uniform(), &[&network(1.)?, &network(2.)?], None)?;
/// assert_eq!(merged["bias"].to_vec1::<f32>()?, [1.5, -1.5]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// # Errors
/// Networks that differ (all differences are listed), more or fewer inputs than the method takes, parameters out of
/// range, numbers that are not finite (unless the tensor is the same in all inputs), results beyond the dtype's range.
pub fn merge(method: &dyn Method, networks: &[&Weights], base: Option<&Weights>) -> Result<Weights> {
    let inputs = MergeInputs::new(networks);
    match base {
        Some(base) => inputs.base(base),
        None => inputs,
    }
    .merge(method)
}

/// What is merged in memory, for methods that need more than [`merge`] takes.
#[derive(Clone, Copy, Debug)]
pub struct MergeInputs<'a> {
    networks: &'a [&'a Weights],
    base: Option<&'a Weights>,
    fishers: &'a [&'a Weights],
}

impl<'a> MergeInputs<'a> {
    /// These networks; the newest first, where the order matters.
    #[must_use]
    pub fn new(networks: &'a [&'a Weights]) -> Self {
        Self { networks, base: None, fishers: &[] }
    }

    /// The network from which all were fine-tuned.
    #[must_use]
    pub fn base(mut self, base: &'a Weights) -> Self {
        self.base = Some(base);
        self
    }

    /// The diagonal Fisher information of each network, by the same names, at least 0.
    #[must_use]
    pub fn fishers(mut self, fishers: &'a [&'a Weights]) -> Self {
        self.fishers = fishers;
        self
    }

    /// Merges them, as [`merge`] does.
    ///
    /// # Errors
    /// As [`merge`].
    pub fn merge(&self, method: &dyn Method) -> Result<Weights> {
        check(method, self.networks.len(), self.base.is_some(), self.fishers.len())?;
        let labels = self.labels();
        self.family(&labels).check()?;
        let Some(first) = self.networks.first() else {
            return Ok(Weights::new());
        };
        let jobs: Vec<_> =
            first.iter().map(|(name, tensor)| Job { inputs: self, labels: &labels, name, tensor }).collect();
        threads::wide(|| {
            let (large, small): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job.is_large());
            let merged = |job: &Job<'_>, shared| Ok((job.name.clone(), job.merged(method, shared)?));
            let mut all: Vec<(String, Tensor)> =
                large.into_iter().map(|job| merged(job, true)).collect::<Result<_>>()?;
            all.extend(small.into_par_iter().map(|job| merged(job, false)).collect::<Result<Vec<_>>>()?);
            Ok(all.into_iter().collect())
        })
    }

    fn labels(&self) -> Vec<String> {
        let networks = (0..self.networks.len()).map(|i| format!("network {i}"));
        let base = self.base.map(|_| "the base".to_string());
        networks.chain(base).chain((0..self.fishers.len()).map(|i| format!("Fisher diagonal {i}"))).collect()
    }

    fn family<'l>(&self, labels: &'l [String]) -> Family<'l> {
        let mut labels = labels.iter().map(String::as_str);
        let mut next = |weights: &Weights| (labels.next().unwrap_or_default(), kinds(weights.iter()));
        Family {
            networks: self.networks.iter().map(|w| next(w)).collect(),
            base: self.base.map(&mut next),
            fishers: self.fishers.iter().map(|w| next(w)).collect(),
        }
    }
}

/// One tensor to be merged.
struct Job<'a> {
    inputs: &'a MergeInputs<'a>,
    labels: &'a [String],
    name: &'a String,
    tensor: &'a Tensor,
}

impl Job<'_> {
    fn sources<'s>(&'s self, inputs: Vec<Source<'s>>, shared: bool) -> Sources<'s> {
        Sources {
            name: self.name,
            labels: self.labels,
            len: self.tensor.elem_count(),
            networks: self.inputs.networks.len(),
            has_base: self.inputs.base.is_some(),
            inputs,
            to: self.tensor.dtype().into(),
            shared,
        }
    }

    fn is_large(&self) -> bool {
        let count = self.labels.len();
        let none = Source { bytes: &[], dtype: self.tensor.dtype().into(), file: None };
        self.sources(vec![none; count], false).is_large()
    }

    fn merged(&self, method: &dyn Method, shared: bool) -> Result<Tensor> {
        let MergeInputs { networks, base, fishers } = self.inputs;
        if !is_merged(self.tensor.dtype().into()) {
            let copied = base.and_then(|base| base.get(self.name)).unwrap_or(self.tensor);
            return Ok(copied.to_device(&Device::Cpu)?.copy()?.detach());
        }
        let all = networks.iter().chain(base).chain(fishers.iter());
        let dense = all.filter_map(|weights| weights.get(self.name)).map(contiguous);
        let dense = dense.collect::<Result<Vec<Tensor>>>()?;
        let elements = dense.iter().map(Elements::of).collect::<CandleResult<Vec<_>>>()?;
        let sources = elements.iter().zip(&dense).map(|(elements, tensor)| {
            Ok(Source { bytes: elements.as_bytes()?, dtype: tensor.dtype().into(), file: None })
        });
        let sources = self.sources(sources.collect::<Result<_>>()?, shared);
        let mut out = vec![0f32; sources.len];
        let places: Vec<_> = out.chunks_mut(sources.span()).map(Mutex::new).collect();
        sources.merge(method, |span, numbers| {
            if let Some(place) = places.get(span) {
                place.lock().unwrap_or_else(PoisonError::into_inner).copy_from_slice(numbers);
            }
            Ok(())
        })?;
        drop(places);
        let out = Tensor::from_vec(out, self.tensor.shape(), &Device::Cpu)?;
        Ok(if self.tensor.dtype() == DType::F32 { out } else { out.to_dtype(self.tensor.dtype())? })
    }
}
