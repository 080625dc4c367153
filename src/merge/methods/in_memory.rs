//! Merging networks in memory.
use crate::{
    kernels::cpu::{contiguous, Elements},
    merge::{
        methods::{
            input_kinds::InputKinds,
            method::check,
            options::{merge_option_setters, MergeOptions},
            sources::{is_merged, Source},
        },
        Method, Sources,
    },
    threads,
    weights::{compatibility::kinds, Weights},
    Error, Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use rayon::prelude::*;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Merges networks tensor by tensor, by a merge method.
///
/// All networks, and the base that they were fine-tuned from, must have the same names, shapes and dtypes.
/// f16, bf16, f32 and f64 tensors keep their dtype; they are computed in f64 and rounded once. Integer and
/// boolean tensors are copied from the base, or from the first network if there is no base; those of more than
/// one element must be the same in all inputs. The result is on the CPU, and its bytes do not depend on the
/// number of threads. A tensor with infinities that is the same in all inputs, such as a mask, is copied.
///
/// Batch-norm's running statistics are merged like weights, which is not what the merged network would
/// measure: [re-estimate](crate::merge::re_estimate()) them afterwards.
///
/// Use it for networks that fit into memory; [`FileMerge`](crate::merge::FileMerge) merges files.
/// [`MergeInputs`] passes what some methods need besides, and has settings for networks that differ in their
/// dtypes, their integers or tied tensors. [`Pool::merge`](crate::Pool::merge) also checks the
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

/// The inputs of a merge in memory, for methods that need more than [`merge()`] accepts, and its settings.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{merge::{LinearMerge, MergeInputs}, weights::Weights};
///
/// let network = |x: f32, dtype| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("bias".into(), Tensor::new(&[x], &Device::Cpu)?.to_dtype(dtype)?)]))
/// };
/// let (a, b) = (network(1., DType::F32)?, network(2., DType::BF16)?);
/// let merged = MergeInputs::new(&[&a, &b]).dtype(DType::F64).merge(&LinearMerge::uniform())?;
/// assert_eq!(merged["bias"].to_vec1::<f64>()?, [1.5]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MergeInputs<'a> {
    networks: &'a [&'a Weights],
    base: Option<&'a Weights>,
    fishers: &'a [&'a Weights],
    options: MergeOptions,
}

/// The tensors of an input by name, with those that are tied.
type Tensors<'a> = BTreeMap<String, &'a Tensor>;

impl<'a> MergeInputs<'a> {
    /// The networks to merge, the newest first where a method looks at the order.
    #[must_use]
    pub fn new(networks: &'a [&'a Weights]) -> Self {
        Self { networks, base: None, fishers: &[], options: MergeOptions::default() }
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

    merge_option_setters!();

    /// Merges the networks; see [`merge()`].
    ///
    /// # Errors
    /// As [`merge`].
    pub fn merge(&self, method: &dyn Method) -> Result<Weights> {
        check(method, self.networks.len(), self.base.is_some(), self.fishers.len())?;
        let to = self.options.to()?;
        let (labels, inputs) = (self.labels(), self.tensors()?);
        let mut kinds = labels
            .iter()
            .map(String::as_str)
            .zip(inputs.iter().map(|all| kinds(all.iter().map(|(name, tensor)| (name, *tensor)))));
        InputKinds {
            networks: kinds.by_ref().take(self.networks.len()).collect(),
            base: kinds.by_ref().take(usize::from(self.base.is_some())).next(),
            fishers: kinds.collect(),
            to,
        }
        .check()?;
        let Some(first) = inputs.first() else {
            return Ok(Weights::new());
        };
        let one = |(name, tensor): (&'_ String, &&'_ Tensor)| {
            let dtype = self.options.dtype.filter(|_| is_merged(tensor.dtype().into()));
            (name.clone(), dtype.unwrap_or(tensor.dtype()))
        };
        let merges: Vec<_> = first
            .iter()
            .map(one)
            .map(|(name, to)| TensorMerge {
                merge: self,
                labels: &labels,
                tensors: inputs.iter().filter_map(|all| all.get(&name).copied()).collect(),
                name,
                to,
            })
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

    /// The tensors of each input: of the networks, the base and the Fisher diagonals.
    fn tensors(&self) -> Result<Vec<Tensors<'a>>> {
        let inputs = self.networks.iter().copied().chain(self.base).chain(self.fishers.iter().copied());
        let by_name =
            |input: &'a Weights| input.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        let mut inputs: Vec<Tensors<'a>> = inputs.map(by_name).collect();
        self.options.tie(&mut inputs.iter_mut().collect::<Vec<_>>())?;
        Ok(inputs)
    }
}

/// The merge of the tensors of one name.
struct TensorMerge<'a> {
    merge: &'a MergeInputs<'a>,
    labels: &'a [String],
    name: String,
    /// The tensors of the networks, the base and the Fisher diagonals.
    tensors: Vec<&'a Tensor>,
    /// The dtype of the result.
    to: DType,
}

impl TensorMerge<'_> {
    fn sources<'s>(&'s self, inputs: Vec<Source<'s>>, shared: bool) -> Sources<'s> {
        Sources {
            name: &self.name,
            labels: self.labels,
            len: self.tensors.first().map_or(0, |tensor| tensor.elem_count()),
            networks: self.merge.networks.len(),
            has_base: self.merge.base.is_some(),
            inputs,
            to: self.to.into(),
            shared,
        }
    }

    /// Whether all threads share this tensor.
    fn is_large(&self) -> bool {
        let none = Source { bytes: &[], dtype: self.to.into(), file: None };
        self.sources(vec![none; self.tensors.len()], false).is_large()
    }

    fn merged(&self, method: &dyn Method, shared: bool) -> Result<Tensor> {
        if !is_merged(self.to.into()) {
            return self.copied();
        }
        let dense = self.tensors.iter().map(|tensor| contiguous(tensor)).collect::<Result<Vec<Tensor>>>()?;
        let elements = dense.iter().map(Elements::of).collect::<CandleResult<Vec<_>>>()?;
        let sources = elements.iter().zip(&dense).map(|(elements, tensor)| {
            Ok(Source { bytes: elements.as_bytes()?, dtype: tensor.dtype().into(), file: None })
        });
        let sources = self.sources(sources.collect::<Result<_>>()?, shared);
        let width = self.to.size_in_bytes();
        let mut out = vec![0u8; sources.len * width];
        let places: Vec<_> = out.chunks_mut(sources.span() * width).map(Mutex::new).collect();
        sources.merge(method, |span, bytes| {
            if let Some(place) = places.get(span) {
                place.lock().unwrap_or_else(PoisonError::into_inner).copy_from_slice(bytes);
            }
            Ok(())
        })?;
        drop(places);
        let shape = self.tensors.first().map_or(&[][..], |tensor| tensor.dims());
        Ok(Tensor::from_raw_buffer(&out, self.to, shape, &Device::Cpu)?)
    }

    /// The tensor of the base, or of the first network.
    fn copied(&self) -> Result<Tensor> {
        let networks = &self.tensors[..self.merge.networks.len()];
        let compared = &self.tensors[..networks.len() + usize::from(self.merge.base.is_some())];
        let Some(kept) = compared.get(networks.len()).or(networks.first()) else {
            return Err(Error::invalid("the number of networks", "at least 1", 0));
        };
        if !self.merge.options.copy_integers {
            let host =
                compared.iter().map(|t| t.to_device(&Device::Cpu)).collect::<CandleResult<Vec<_>>>()?;
            let bytes: Vec<_> = host.iter().map(safetensors::View::data).collect();
            let source = |bytes| Source { bytes, dtype: kept.dtype().into(), file: None };
            self.sources(bytes.iter().map(|bytes| source(&**bytes)).collect(), false).refuse_different()?;
        }
        Ok(kept.to_device(&Device::Cpu)?.copy()?.detach())
    }
}
