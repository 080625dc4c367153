//! Group normalization.
use crate::{
    check::positive,
    kernels::normalize::{Dims, Sets},
    nn::{norm::op::Layer, then::Then},
    Error,
};
use candle_core::{Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// Group normalization: the channels of each row are divided into groups of neighbours, each group gets mean
/// 0 and variance 1, and then each channel a learned scale and shift.
///
/// ```text
/// y = (x − μ) / √(σ² + ε) · weight + bias
/// ```
///
/// `μ` and `σ²` (divided by `n`) are those of the group in the row, in training and in evaluation. Inputs
/// have the shape `(B, C)`, `(B, C, L)` or `(B, C, H, W)`, with any further dimensions, and any
/// floating-point type; outputs have the same. Half precision is computed in f32. The variables are `weight`
/// and `bias`, as in candle's [`group_norm`](candle_nn::group_norm()). With one group it is layer
/// normalization over a whole row, with as many groups as channels it is instance normalization.
///
/// Use it in convolutional networks with batches of fewer than 16 rows, where the statistics of
/// [`BatchNorm`](crate::nn::BatchNorm) are too noisy; 32 groups are usual for images. With large batches
/// [`BatchNorm`](crate::nn::BatchNorm) is usually a little better.
///
/// Cost: two passes over the inputs forwards and two backwards.
///
/// # Errors
/// The forward pass fails for inputs with another number of channels.
///
/// # Source
/// Wu and He 2018, arXiv:1803.08494.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::GroupNorm, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let norm = GroupNorm::new(2, 8, 1e-5, vb.pp("norm"))?;
/// assert_eq!(norm.forward(&Tensor::ones((3, 8, 5), DType::F32, &Device::Cpu)?)?.dims(), [3, 8, 5]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

/// A [`GroupNorm`] with the arguments and the variables of candle's [`group_norm`](candle_nn::group_norm()), so that a
/// model changes its `use` line only.
///
/// # Errors
/// As for [`GroupNorm::new`].
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::group_norm, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let norm = group_norm(2, 8, 1e-5, vb.pp("norm"))?;
/// assert_eq!(norm.forward(&Tensor::ones((3, 8, 5), DType::F32, &Device::Cpu)?)?.dims(), [3, 8, 5]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn group_norm(groups: usize, channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<GroupNorm> {
    GroupNorm::new(groups, channels, eps, vb)
}

impl GroupNorm {
    /// A layer for `channels` channels in `groups` groups. Each layer needs a name of its own, such as
    /// `vb.pp("norm")`.
    ///
    /// # Errors
    /// When `groups` does not divide `channels`, `eps` is not above 0, or the `VarBuilder` has other
    /// variables of these names.
    pub fn new(groups: usize, channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        positive("the eps of GroupNorm", eps)?;
        if groups == 0 || channels == 0 || !channels.is_multiple_of(groups) {
            let must = format!("a divisor of the number of channels, {channels}");
            return Err(Error::invalid("the number of groups of GroupNorm", must, groups).into());
        }
        let weight = vb.get_with_hints(channels, "weight", Init::Const(1.))?;
        let bias = vb.get_with_hints(channels, "bias", Init::Const(0.))?;
        Ok(Self { weight, bias, groups, eps })
    }

    /// The scale of each channel.
    pub(in crate::nn) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The number of groups, and what is added to the variance.
    pub(in crate::nn) fn parameters(&self) -> (usize, f64) {
        (self.groups, self.eps)
    }
}

impl Module for GroupNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let channels = self.weight.elem_count();
        let (outer, inner) = match x.dims() {
            [outer, found, inner @ ..] if *found == channels => (*outer, inner.iter().product()),
            dims => {
                let must = format!("(rows, {channels}, …)");
                let got = format!("{dims:?}");
                return Err(Error::invalid("the shape of the inputs of GroupNorm", must, got).into());
            }
        };
        if x.elem_count() == 0 {
            return Ok(x.clone());
        }
        let (dims, sets) = (Dims { outer, channels, inner }, Sets::Segments(channels / self.groups));
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let layer = Layer { dims, sets, eps: self.eps, center: true, weight, bias, then: Then::Nothing };
        Ok(layer.normalize(x)?.0)
    }
}
