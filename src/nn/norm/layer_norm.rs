//! Layer normalization.
use crate::{
    check::positive,
    kernels::normalize::{Dims, Sets},
    nn::norm::op::Layer,
    Error,
};
use candle_core::{Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// Layer normalization, with a backward pass: each row gets mean 0 and variance 1 over its last dimension,
/// and then a learned scale and shift for each element.
///
/// ```text
/// y = (x − μ) / √(σ² + ε) · weight + bias
/// ```
///
/// `μ` and `σ²` (divided by `n`) are those of the row, in training and in evaluation. Inputs have the shape
/// `(…, size)` and any floating-point type; outputs have the same. Half precision is computed in f32.
///
/// The variables are `weight` and `bias`, as in candle's [`layer_norm`](candle_nn::layer_norm()). candle's
/// layer with a bias is for inference only: on contiguous inputs no gradient flows through it, and layers
/// before it are not trained.
///
/// Use it in transformers and recurrent networks, and in place of [`BatchNorm`](crate::nn::BatchNorm) with
/// small batches: rows do not depend on each other. In convolutional networks
/// [`BatchNorm`](crate::nn::BatchNorm) or [`GroupNorm`](crate::nn::GroupNorm) is usually better. PyTorch's
/// default for `ε` is 1e-5, that of Keras 1e-3.
///
/// Cost: two passes over the inputs forwards and two backwards.
///
/// # Errors
/// The forward pass fails for inputs whose last dimension has another size.
///
/// # Source
/// Ba, Kiros and Hinton 2016, arXiv:1607.06450.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::LayerNorm, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F64, &Device::Cpu);
/// let y = LayerNorm::new(2, 1e-5, vb.pp("norm"))?.forward(&Tensor::new(&[[1f64, 3.]], &Device::Cpu)?)?;
/// assert!((y.to_vec2::<f64>()?[0][1] - 1.).abs() < 1e-5);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f64,
}

impl LayerNorm {
    /// A layer for a last dimension of this size. Each layer needs a name of its own, such as
    /// `vb.pp("norm")`.
    ///
    /// # Errors
    /// When `eps` is not above 0, or the `VarBuilder` has other variables of these names.
    pub fn new(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        let bias = vb.get_with_hints(size, "bias", Init::Const(0.))?;
        Ok(Self { bias: Some(bias), ..Self::no_bias(size, eps, vb)? })
    }

    /// The same without a bias.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn no_bias(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        positive("the eps of LayerNorm", eps)?;
        Ok(Self { weight: vb.get_with_hints(size, "weight", Init::Const(1.))?, bias: None, eps })
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        last_dimension("LayerNorm", x, &self.weight, self.bias.as_ref(), self.eps, true)
    }
}

/// Normalizes over the last dimension.
pub(super) fn last_dimension(
    name: &str,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    eps: f64,
    center: bool,
) -> Result<Tensor> {
    let size = weight.elem_count();
    if x.dims().last() != Some(&size) {
        let (what, must) = (format!("the shape of the inputs of {name}"), format!("(…, {size})"));
        return Err(Error::invalid(what, must, format_args!("{:?}", x.dims())).into());
    }
    if x.elem_count() == 0 {
        return Ok(x.clone());
    }
    let dims = Dims { outer: x.elem_count() / size, channels: size, inner: 1 };
    let layer = Layer { dims, sets: Sets::Segments(size), eps, center, weight: Some(weight), bias };
    Ok(layer.normalize(x)?.0)
}
