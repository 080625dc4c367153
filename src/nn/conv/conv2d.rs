//! A convolution over images.
use crate::nn::{
    conv::{biases, methods, sizes::Layout, weights},
    then::{Then, WithThen},
    Activation, BatchNorm,
};
use candle_core::{Module, Result, Tensor};
use candle_nn::{Conv2dConfig, VarBuilder};

/// A convolution over images: each output is a weighted sum of the inputs near its position, with the same weights
/// at every position, and a bias.
///
/// ```text
/// y[b, o, s, t] = bias[o] + Σ_{c,i,j} weight[o, c, i, j] · x[b, c, stride · s + dilation · i − padding, stride · t + dilation · j − padding]
/// ```
///
/// Inputs have the shape `(rows, inputs, height, width)` and outputs `(rows, outputs, new height, new width)`, with
/// `new height = (height + 2 · padding − dilation · (kernel − 1) − 1) / stride + 1`, rounded down. Inputs beyond the
/// edges count as 0. With `groups`, channels are divided into that many groups, and each output sums over the inputs
/// of its group. `weight` has the shape `(outputs, inputs / groups, kernel, kernel)` and `bias` the shape
/// `(outputs,)`. All have the same floating-point type.
///
/// It replaces candle's [`Conv2d`](candle_nn::Conv2d): change the line `use candle_nn::conv2d;` to
/// `use candle_ensemble::nn::conv2d;`. [`conv2d`] and [`conv2d_no_bias`] take the same arguments and make the same
/// variables with the same initial weights, so weights and checkpoints go from one layer to the other. Results are
/// those of candle's layer but for rounding. Kernels given to [`new`](Self::new) may be higher than wide.
///
/// # Speed
/// On the CPU, in f32 and f64, the layer is one operation of the graph. Its products of matrices are for a few rows
/// of the batch at a time, so that the inputs under the kernels stay in the cache, and each block of outputs gets its
/// bias and its activation there: in [`seq`](crate::nn::seq()) the [`Activation`] behind it, where that is relu, leaky
/// relu, tanh, sigmoid or the exponential function, or candle's [relu](candle_nn::Activation::Relu); in a model of
/// another kind call [`forward_then`](Self::forward_then). The backward pass is made of the same products and leaves
/// out the gradient of inputs that need none. It also works where that of candle's layer fails: where the stride leaves
/// another number of inputs at the right edge than at the lower one. Large products use candle's threads, and the rest
/// is done on the calling thread. Half precision is computed in f32. On other devices the layer is made of candle's
/// operations.
///
/// # Errors
/// The forward pass fails for inputs with another number of channels or dimensions, and for inputs that with their
/// padding are smaller than the kernel.
///
/// # Source
/// LeCun et al. 1989, doi:10.1162/neco.1989.1.4.541. The products of matrices: Chellapilla, Puri and Simard 2006,
/// "High performance convolutional neural networks for document processing".
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{nn::{batch_norm, conv2d, linear, seq}, weights::fresh};
/// use candle_nn::{Activation, Conv2dConfig, VarBuilder};
///
/// let network = |vb: VarBuilder| {
///     let config = Conv2dConfig { padding: 1, ..Default::default() };
///     let block = seq().add(conv2d(1, 16, 3, config, vb.pp("conv"))?).add(Activation::Relu);
///     let block = block.add(batch_norm(16, 1e-5, vb.pp("norm"))?).add_fn(|x| x.max_pool2d(2));
///     Ok::<_, candle_core::Error>(block.add_fn(|x| x.flatten_from(1)).add(linear(16 * 4 * 4, 10, vb.pp("out"))?))
/// };
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let x = Tensor::ones((5, 1, 8, 8), DType::F32, &Device::Cpu)?;
/// assert_eq!(network(vb)?.forward(&x)?.dims(), [5, 10]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    config: Conv2dConfig,
}

methods!(Conv2d, Conv2dConfig, 2);

impl Conv2d {
    /// The layer that does the work of this one and a batch normalization after it, in evaluation.
    ///
    /// ```text
    /// weight ← weight · γ / √(σ² + ε),   bias ← (bias − μ) · γ / √(σ² + ε) + β
    /// ```
    ///
    /// # Errors
    /// When the normalization has no weights, or another number of channels.
    ///
    /// ```
    /// use candle_core::{DType, Device, Module, Tensor};
    /// use candle_ensemble::{nn::{batch_norm, conv2d}, weights::fresh};
    ///
    /// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    /// let conv = conv2d(3, 8, 3, Default::default(), vb.pp("conv"))?;
    /// let both = conv.absorb_bn(&batch_norm(8, 1e-5, vb.pp("norm"))?)?;
    /// assert_eq!(both.forward(&Tensor::ones((2, 3, 6, 6), DType::F32, &Device::Cpu)?)?.dims(), [2, 8, 4, 4]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn absorb_bn(&self, norm: &BatchNorm) -> Result<Self> {
        let Some((weight, bias)) = norm.weight_and_bias() else {
            let what = "the batch normalization that a Conv2d absorbs";
            return Err(crate::Error::invalid(what, "with weights and biases", "without").into());
        };
        let scale = (weight / (norm.running_var() + norm.eps())?.sqrt()?)?;
        let shifted = match &self.bias {
            Some(own) => (own - norm.running_mean())?,
            None => norm.running_mean().neg()?,
        };
        let weight = self.weight.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
        Ok(Self::new(weight, Some((bias + (scale * shifted)?)?), self.config))
    }
}

/// A [`Conv2d`] from `inputs` to `outputs` channels with kernels of `kernel` by `kernel` elements, with the variables
/// `weight` and `bias`.
///
/// A fresh `VarBuilder` of candle draws the same initial weights as for candle's own [`conv2d`](candle_nn::conv2d());
/// one of [`fresh`](crate::weights::fresh()) follows its own scheme.
///
/// # Errors
/// When the stride, the dilation or the number of groups is 0, the groups do not divide the channels, or the
/// `VarBuilder` has other variables of these names.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::conv2d, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// assert_eq!(conv2d(3, 8, 5, Default::default(), vb)?.weight().dims(), [8, 3, 5, 5]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn conv2d(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    config: Conv2dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let weight = weights(Conv2d::layout(config), inputs, outputs, &[kernel; 2], &vb)?;
    Ok(Conv2d::new(weight, Some(biases(inputs, outputs, &vb)?), config))
}

/// [`conv2d`] without a bias, which a normalization after it would remove.
///
/// # Errors
/// As for [`conv2d`].
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::conv2d_no_bias, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// assert!(conv2d_no_bias(3, 8, 5, Default::default(), vb)?.bias().is_none());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn conv2d_no_bias(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    config: Conv2dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    Ok(Conv2d::new(weights(Conv2d::layout(config), inputs, outputs, &[kernel; 2], &vb)?, None, config))
}
