//! Normalizations of single rows without their weights.
use crate::{
    kernels::normalize::{Dims, Sets},
    nn::{norm::op::Layer, then::Then, GroupNorm, LayerNorm, RmsNorm},
    Error,
};
use candle_core::{DType, Result, Tensor};
use std::any::Any;

/// What layer normalization, group normalization and root-mean-square normalization do before they multiply by weights.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn) struct RowNorm {
    /// The number of features or channels.
    pub(in crate::nn) size: usize,
    /// Whether they are the last dimension, and not the second.
    pub(in crate::nn) is_last: bool,
    /// Whether the layer has biases.
    pub(in crate::nn) has_bias: bool,
    /// The type of the weights.
    pub(in crate::nn) dtype: DType,
    groups: usize,
    eps: f64,
    center: bool,
}

impl RowNorm {
    /// That of a layer of ours or of candle's.
    pub(in crate::nn) fn of(layer: &dyn Any) -> Option<Self> {
        let last = |weight: &Tensor, has_bias, eps, center| {
            let (size, dtype) = (weight.elem_count(), weight.dtype());
            Some(Self { size, is_last: true, has_bias, dtype, groups: 1, eps, center })
        };
        if let Some(norm) = layer.downcast_ref::<LayerNorm>() {
            return last(norm.weight(), norm.bias().is_some(), norm.eps(), norm.remove_mean());
        }
        if let Some(norm) = layer.downcast_ref::<RmsNorm>() {
            return last(norm.weight(), false, norm.eps(), false);
        }
        if let Some(norm) = layer.downcast_ref::<candle_nn::LayerNorm>() {
            return last(norm.weight(), norm.bias().is_some(), norm.eps(), norm.remove_mean());
        }
        if let Some(norm) = layer.downcast_ref::<candle_nn::RmsNorm>() {
            return last(norm.weight(), false, norm.eps(), false);
        }
        let norm = layer.downcast_ref::<GroupNorm>()?;
        let ((groups, eps), weight) = (norm.parameters(), norm.weight());
        let (size, dtype) = (weight.elem_count(), weight.dtype());
        Some(Self { size, is_last: false, has_bias: true, dtype, groups, eps, center: true })
    }

    /// The same for another number of features or channels.
    pub(in crate::nn) fn with_size(self, size: usize) -> crate::Result<Self> {
        if !size.is_multiple_of(self.groups) {
            let must = format!("a divisor of the number of channels of a member, {size}");
            return Err(Error::invalid("the number of groups of GroupNorm", must, self.groups));
        }
        Ok(Self { size, ..self })
    }

    /// The rows with mean 0 and variance 1, or with mean square 1.
    pub(in crate::nn) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Self { size, eps, center, .. } = *self;
        let dims = match (x.dims(), self.is_last) {
            ([outer @ .., last], true) if *last == size => {
                Dims { outer: outer.iter().product(), channels: size, inner: 1 }
            }
            ([outer, second, inner @ ..], false) if *second == size => {
                Dims { outer: *outer, channels: size, inner: inner.iter().product() }
            }
            (dims, is_last) => {
                let must = if is_last { format!("(…, {size})") } else { format!("(rows, {size}, …)") };
                return Err(Error::invalid(
                    "the shape of the inputs of a normalization of members",
                    must,
                    format!("{dims:?}"),
                )
                .into());
            }
        };
        if x.elem_count() == 0 {
            return Ok(x.clone());
        }
        let sets = Sets::Segments(size / self.groups);
        let layer = Layer { dims, sets, eps, center, weight: None, bias: None, then: Then::Nothing };
        Ok(layer.normalize(x)?.0)
    }
}
