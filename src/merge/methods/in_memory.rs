//! Merging networks in memory.
use crate::{
    kernels::cpu::{contiguous, Elements},
    merge::{
        methods::{
            input_kinds::InputKinds,
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

/// Merges networks tensor by tensor, by a merge method.
///
/// All networks, and the base that they were fine-tuned from, must have the same names, shapes and dtypes.
/// f16, bf16, f32 and f64 tensors keep their dtype; they are computed from f32 elements with sums in f64.
/// Integer and boolean tensors are copied from the base, or from the first network if there is no base. The
/// result is on the CPU, and its bytes do not depend on the number of threads. A tensor with infinities that
/// is the same in all inputs, such as a mask, is copied.
///
/// Batch-norm's running statistics are merged like weights, which is not what the merged network would
/// measure: [re-estimate](crate::merge::re_estimate()) them afterwards.
///
/// Use it for networks that fit into memory; [`FileMerge`](crate::merge::FileMerge) merges files.
/// [`MergeInputs`] passes what some methods need besides. [`Pool::merge`](crate::Pool::merge) also checks the
/// result.
///
/// # Errors
/// [`Error::Incompatible`](crate::Error::Incompatible) when the networks differ (all differences are listed).
/// When there are more or fewer inputs than the method needs, a parameter is out of range, an element is not
/// finite, or a result exceeds the range of its dtype.
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
pub fn merge(method: &dyn Method, networks: &[&Weights], base: Option<&Weights>) -> Result<Weights> {
    let inputs = MergeInputs::new(networks);
    match base {
        Some(base) => inputs.base(base),
        None => inputs,
    }
    .merge(method)
}

/// The inputs of a merge in memory, for methods that need more than [`merge()`] accepts.
#[derive(Clone, Copy, Debug)]
pub struct MergeInputs<'a> {
    networks: &'a [&'a Weights],
    base: Option<&'a Weights>,
    fishers: &'a [&'a Weights],
}

impl<'a> MergeInputs<'a> {
    /// The networks to merge, the newest first where a method looks at the order.
    #[must_use]
    pub fn new(networks: &'a [&'a Weights]) -> Self {
        Self { networks, base: None, fishers: &[] }
    }

    /// The network that all others were fine-tuned from.
    #[must_use]
    pub fn base(mut self, base: &'a Weights) -> Self {
        self.base = Some(base);
        self
    }

    /// The diagonal of the Fisher information of each network, at least 0, in tensors of the same names and
    /// shapes.
    #[must_use]
    pub fn fishers(mut self, fishers: &'a [&'a Weights]) -> Self {
        self.fishers = fishers;
        self
    }

    /// Merges the networks; see [`merge()`].
    ///
    /// # Errors
    /// As [`merge`].
    pub fn merge(&self, method: &dyn Method) -> Result<Weights> {
        check(method, self.networks.len(), self.base.is_some(), self.fishers.len())?;
        let labels = self.labels();
        self.kinds(&labels).check()?;
        let Some(first) = self.networks.first() else {
            return Ok(Weights::new());
        };
        let merges: Vec<_> = first
            .iter()
            .map(|(name, tensor)| TensorMerge { inputs: self, labels: &labels, name, tensor })
            .collect();
        threads::wide(|| {
            let (large, small): (Vec<_>, Vec<_>) = merges.iter().partition(|one| one.is_large());
            let merged = |one: &TensorMerge<'_>, shared| Ok((one.name.clone(), one.merged(method, shared)?));
            let mut all: Vec<(String, Tensor)> =
                large.into_iter().map(|one| merged(one, true)).collect::<Result<_>>()?;
            all.extend(small.into_par_iter().map(|one| merged(one, false)).collect::<Result<Vec<_>>>()?);
            Ok(all.into_iter().collect())
        })
    }

    fn labels(&self) -> Vec<String> {
        let networks = (0..self.networks.len()).map(|i| format!("network {i}"));
        let base = self.base.map(|_| "the base".to_string());
        networks.chain(base).chain((0..self.fishers.len()).map(|i| format!("Fisher diagonal {i}"))).collect()
    }

    fn kinds<'l>(&self, labels: &'l [String]) -> InputKinds<'l> {
        let mut labels = labels.iter().map(String::as_str);
        let mut next = |weights: &Weights| (labels.next().unwrap_or_default(), kinds(weights.iter()));
        InputKinds {
            networks: self.networks.iter().map(|w| next(w)).collect(),
            base: self.base.map(&mut next),
            fishers: self.fishers.iter().map(|w| next(w)).collect(),
        }
    }
}

/// The merge of the tensors of one name.
struct TensorMerge<'a> {
    inputs: &'a MergeInputs<'a>,
    labels: &'a [String],
    name: &'a String,
    tensor: &'a Tensor,
}

impl TensorMerge<'_> {
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

    /// Whether all threads share this tensor.
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
