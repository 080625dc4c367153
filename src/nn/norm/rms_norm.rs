//! Root-mean-square normalization.
use crate::{check::positive, nn::norm::layer_norm::last_dimension};
use candle_core::{Module, Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// Root-mean-square normalization, with a backward pass: divides each row by the root of the mean of its
/// squares over the last dimension, and multiplies by a learned scale for each element.
///
/// ```text
/// y = x / √(mean(x²) + ε) · weight
/// ```
///
/// Inputs have the shape `(…, size)` and any floating-point type; outputs have the same. Half precision is
/// computed in f32. The variable is `weight`, as in candle's [`rms_norm`](candle_nn::rms_norm()), which is
/// for inference only: on contiguous inputs no gradient flows through it.
///
/// Use it as [`LayerNorm`](crate::nn::LayerNorm), where a little less work counts; results are about as good.
///
/// # Errors
/// The forward pass fails for inputs whose last dimension has another size.
///
/// # Source
/// Zhang and Sennrich 2019, arXiv:1910.07467.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::RmsNorm, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F64, &Device::Cpu);
/// let y = RmsNorm::new(2, 1e-9, vb.pp("norm"))?.forward(&Tensor::new(&[[1f64, 7.]], &Device::Cpu)?)?;
/// assert!((y.to_vec2::<f64>()?[0][1] - 1.4).abs() < 1e-9);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

/// An [`RmsNorm`] with the arguments and the variable of candle's [`rms_norm`](candle_nn::rms_norm()), so that a model
/// changes its `use` line only.
///
/// # Errors
/// As for [`RmsNorm::new`].
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::rms_norm, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F64, &Device::Cpu);
/// let y = rms_norm(2, 1e-9, vb.pp("norm"))?.forward(&Tensor::new(&[[1f64, 7.]], &Device::Cpu)?)?;
/// assert!((y.to_vec2::<f64>()?[0][1] - 1.4).abs() < 1e-9);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn rms_norm(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<RmsNorm> {
    RmsNorm::new(size, eps, vb)
}

impl RmsNorm {
    /// A layer for a last dimension of this size. Each layer needs a name of its own, such as
    /// `vb.pp("norm")`.
    ///
    /// # Errors
    /// When `eps` is not above 0, or the `VarBuilder` has another variable of this name.
    pub fn new(size: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        positive("the eps of RmsNorm", eps)?;
        Ok(Self { weight: vb.get_with_hints(size, "weight", Init::Const(1.))?, eps })
    }

    /// The scale of each element.
    pub(in crate::nn) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// What is added to the mean square.
    pub(in crate::nn) fn eps(&self) -> f64 {
        self.eps
    }
}

impl Module for RmsNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        last_dimension("RmsNorm", x, &self.weight, None, self.eps, false)
    }
}
