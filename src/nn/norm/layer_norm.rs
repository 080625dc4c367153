//! Layer normalization.
use crate::{
    check::positive,
    kernels::normalize::{Dims, Sets},
    nn::{norm::op::Layer, then::Then},
    Error,
};
use candle_core::{Module, Result, Tensor};
use candle_nn::{Init, LayerNormConfig, VarBuilder};

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
    center: bool,
}

/// A [`LayerNorm`] with the arguments and the variables of candle's [`layer_norm`](candle_nn::layer_norm()),
/// so that a model changes its `use` line only.
///
/// `config` is `ε` or a [`LayerNormConfig`]. Without `affine` there is no bias. Without `remove_mean` the mean
/// stays in the inputs, and rows are divided by the root of their mean square. Where the `VarBuilder` has the
/// old names `gamma` and `beta` these are used.
///
/// # Errors
/// When `ε` is not above 0, or the `VarBuilder` has other variables of these names.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::layer_norm, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F64, &Device::Cpu);
/// let y = layer_norm(2, 1e-5, vb.pp("norm"))?.forward(&Tensor::new(&[[1f64, 3.]], &Device::Cpu)?)?;
/// assert!((y.to_vec2::<f64>()?[0][1] - 1.).abs() < 1e-5);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn layer_norm<C: Into<LayerNormConfig>>(size: usize, config: C, vb: VarBuilder<'_>) -> Result<LayerNorm> {
    let LayerNormConfig { eps, remove_mean, affine } = config.into();
    positive("the eps of LayerNorm", eps)?;
    let variable = |new, old, value| {
        let name = if !vb.contains_tensor(new) && vb.contains_tensor(old) { old } else { new };
        vb.get_with_hints(size, name, Init::Const(value))
    };
    let weight = variable("weight", "gamma", 1.)?;
    let bias = if affine { Some(variable("bias", "beta", 0.)?) } else { None };
    Ok(LayerNorm { weight, bias, eps, center: remove_mean })
}

/// [`layer_norm`] without a bias, as candle's [`layer_norm_no_bias`](candle_nn::layer_norm_no_bias()).
///
/// # Errors
/// As for [`layer_norm`].
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::layer_norm_no_bias, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// assert!(layer_norm_no_bias(8, 1e-5, vb)?.bias().is_none());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn layer_norm_no_bias(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<LayerNorm> {
    layer_norm(size, LayerNormConfig { eps, remove_mean: true, affine: false }, vb)
}

impl LayerNorm {
    /// A layer for a last dimension of this size. Each layer needs a name of its own, such as
    /// `vb.pp("norm")`.
    ///
    /// # Errors
    /// When `eps` is not above 0, or the `VarBuilder` has other variables of these names.
    pub fn new(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        layer_norm(size, eps, vb)
    }

    /// The same without a bias.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn no_bias(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        layer_norm_no_bias(size, eps, vb)
    }

    /// The scale of each element, `(size,)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The shift of each element, `(size,)`.
    #[must_use]
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// What is added to the variance.
    #[must_use]
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// Whether the mean is removed.
    #[must_use]
    pub fn remove_mean(&self) -> bool {
        self.center
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        last_dimension("LayerNorm", x, &self.weight, self.bias.as_ref(), self.eps, self.center)
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
    let layer = Layer {
        dims,
        sets: Sets::Segments(size),
        eps,
        center,
        weight: Some(weight),
        bias,
        then: Then::Nothing,
    };
    Ok(layer.normalize(x)?.0)
}
