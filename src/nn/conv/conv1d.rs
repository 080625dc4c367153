//! A convolution over sequences.
use crate::nn::{
    conv::{biases, methods, sizes::Layout, weights},
    then::{Then, WithThen},
    Activation,
};
use candle_core::{Module, Result, Tensor};
use candle_nn::{Conv1dConfig, VarBuilder};

/// A convolution over sequences: each output is a weighted sum of the inputs near its position, with the same
/// weights at every position, and a bias.
///
/// ```text
/// y[b, o, t] = bias[o] + Σ_{c,k} weight[o, c, k] · x[b, c, stride · t + dilation · k − padding]
/// ```
///
/// Inputs have the shape `(rows, inputs, length)` and outputs `(rows, outputs, new length)`, with
/// `new length = (length + 2 · padding − dilation · (kernel − 1) − 1) / stride + 1`, rounded down. Inputs beyond the
/// ends count as 0. With `groups`, channels are divided into that many groups, and each output sums over the inputs
/// of its group. `weight` has the shape `(outputs, inputs / groups, kernel)` and `bias` the shape `(outputs,)`. All
/// have the same floating-point type.
///
/// It replaces candle's [`Conv1d`](candle_nn::Conv1d), as [`Conv2d`](crate::nn::Conv2d) does, which says how it is
/// computed. On the CPU, candle 0.11 computes wrong gradients of the weights for batches of two rows or more, because its
/// convolution of sequences reads a transposed kernel as if it were contiguous; those of this layer are right. Use it for
/// series, texts and signals.
///
/// # Errors
/// The forward pass fails for inputs with another number of channels or dimensions, and for inputs that with their
/// padding are shorter than the kernel.
///
/// # Source
/// LeCun et al. 1989, doi:10.1162/neco.1989.1.4.541.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::{conv1d, Activation}, weights::fresh};
/// use candle_nn::Conv1dConfig;
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let config = Conv1dConfig { padding: 1, stride: 2, ..Default::default() };
/// let layer = conv1d(3, 8, 3, config, vb.pp("conv"))?;
/// let x = Tensor::ones((4, 3, 20), DType::F32, &Device::Cpu)?;
/// assert_eq!(layer.forward(&x)?.dims(), [4, 8, 10]);
/// assert_eq!(layer.forward_then(Activation::Relu, &x)?.dims(), [4, 8, 10]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv1d {
    weight: Tensor,
    bias: Option<Tensor>,
    config: Conv1dConfig,
}

methods!(Conv1d, Conv1dConfig, 1);

/// A [`Conv1d`] from `inputs` to `outputs` channels with kernels of `kernel` elements, with the variables `weight`
/// and `bias`.
///
/// A fresh `VarBuilder` of candle draws the same initial weights as for candle's own [`conv1d`](candle_nn::conv1d());
/// one of [`fresh`](crate::weights::fresh()) follows its own scheme.
///
/// # Errors
/// When the stride, the dilation or the number of groups is 0, the groups do not divide the channels, or the
/// `VarBuilder` has other variables of these names.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::conv1d, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// assert_eq!(conv1d(3, 8, 5, Default::default(), vb)?.weight().dims(), [8, 3, 5]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn conv1d(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    config: Conv1dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv1d> {
    let weight = weights(Conv1d::layout(config), inputs, outputs, &[kernel], &vb)?;
    Ok(Conv1d::new(weight, Some(biases(inputs, outputs, &vb)?), config))
}

/// [`conv1d`] without a bias.
///
/// # Errors
/// As for [`conv1d`].
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::conv1d_no_bias, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// assert!(conv1d_no_bias(3, 8, 5, Default::default(), vb)?.bias().is_none());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn conv1d_no_bias(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    config: Conv1dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv1d> {
    Ok(Conv1d::new(weights(Conv1d::layout(config), inputs, outputs, &[kernel], &vb)?, None, config))
}
