//! Convolutional layers.
mod conv1d;
mod conv2d;
pub(in crate::nn) mod op;
mod sizes;
#[cfg(test)]
mod tests;

pub use conv1d::{conv1d, conv1d_no_bias, Conv1d};
pub use conv2d::{conv2d, conv2d_no_bias, Conv2d};

use crate::nn::{fused, stack, then::Then};
use candle_core::{DType, Result, Tensor};
use candle_nn::{init::DEFAULT_KAIMING_NORMAL, Init, VarBuilder};
use sizes::Layout;

/// The variable `weight` of a kernel with these sizes, as candle declares it.
fn weights(
    layout: Layout,
    inputs: usize,
    outputs: usize,
    kernel: &[usize],
    vb: &VarBuilder<'_>,
) -> Result<Tensor> {
    layout.check(inputs, outputs)?;
    let shape = [&[outputs, inputs / layout.groups], kernel].concat();
    vb.get_with_hints(shape, "weight", DEFAULT_KAIMING_NORMAL)
}

/// The variable `bias`, as candle declares it.
fn biases(inputs: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Tensor> {
    let bound = 1. / (inputs as f64).sqrt();
    vb.get_with_hints(outputs, "bias", Init::Uniform { lo: -bound, up: bound })
}

/// The outputs of a convolution and what follows it: one operation on the CPU, and elsewhere those of candle's layer,
/// which `candles` computes.
fn forward(
    layout: Layout,
    (weight, bias): (&Tensor, Option<&Tensor>),
    then: Then,
    x: &Tensor,
    candles: impl Fn(&Tensor, Tensor, Option<Tensor>) -> Result<Tensor>,
) -> Result<Tensor> {
    let sizes = layout.sizes(x, weight, bias)?;
    if fused::fits(x, weight, bias) {
        return fused::apply(op::Convolve { sizes, then }, x, weight, bias);
    }
    let dtype = x.dtype();
    let half = matches!(dtype, DType::F16 | DType::BF16) && weight.dtype() == dtype && x.device().is_cpu();
    if !half {
        return then.forward(by_candle((weight, bias), x, candles)?);
    }
    // candle has no products in bf16 on the CPU. Widened weights are not those of the members of a pass.
    let wide = |t: &Tensor| t.to_dtype(DType::F32);
    let (x, weight, bias) = (wide(x)?, wide(weight)?, bias.map(wide).transpose()?);
    let convolve = op::Convolve { sizes, then: Then::Nothing };
    // The activation is that of rounded numbers.
    then.forward(fused::apply(convolve, &x, &weight, bias.as_ref())?.to_dtype(dtype)?)
}

/// The outputs of candle's layer; those of each member, one after the other, in a pass for several members.
fn by_candle(
    (weight, bias): (&Tensor, Option<&Tensor>),
    x: &Tensor,
    candles: impl Fn(&Tensor, Tensor, Option<Tensor>) -> Result<Tensor>,
) -> Result<Tensor> {
    if !stack::is_passing() {
        return candles(x, weight.clone(), bias.cloned());
    }
    let (weights, biases) = (stack::operands(weight)?, bias.map(stack::operands).transpose()?);
    stack::each(x, |member, x| {
        let bias = biases.as_ref().map(|biases| biases[member].clone());
        candles(x, weights[member].clone(), bias)
    })
}

/// The methods of a layer of either number of dimensions, over candle's layer and its parameters.
macro_rules! methods {
    ($layer:ident, $config:ident, $spatial:literal) => {
        impl $layer {
            /// A layer with these weights and this bias `(outputs,)`, which may be variables or tensors that are
            /// computed.
            #[must_use]
            pub fn new(weight: Tensor, bias: Option<Tensor>, config: $config) -> Self {
                Self { weight, bias, config }
            }

            /// The parameters.
            #[must_use]
            pub fn config(&self) -> &$config {
                &self.config
            }

            /// The weights: `(outputs, inputs / groups, …)`, with the size of the kernel at the end.
            #[must_use]
            pub fn weight(&self) -> &Tensor {
                &self.weight
            }

            /// The bias, `(outputs,)`.
            #[must_use]
            pub fn bias(&self) -> Option<&Tensor> {
                self.bias.as_ref()
            }

            /// The activation of the outputs, as one operation where that is possible.
            ///
            /// The result is that of the two layers one after the other, to the bit. It saves the memory of the
            /// inputs of the activation and two passes over them.
            ///
            /// # Errors
            /// As for the forward passes of the two layers.
            pub fn forward_then(&self, activation: Activation, x: &Tensor) -> Result<Tensor> {
                self.activated(activation, x, false)
            }

            /// The layer and what follows it as one operation, if they can be one for such inputs.
            pub(in crate::nn) fn operation(
                &self,
                then: Then,
                x: &Tensor,
            ) -> Result<Option<crate::nn::conv::op::Convolve>> {
                let bias = self.bias.as_ref();
                let sizes = Self::layout(self.config).sizes(x, &self.weight, bias)?;
                let fits = crate::nn::fused::fits(x, &self.weight, bias);
                Ok(fits.then_some(crate::nn::conv::op::Convolve { sizes, then }))
            }

            fn layout($config { padding, stride, dilation, groups, .. }: $config) -> Layout {
                Layout { name: stringify!($layer), spatial: $spatial, padding, stride, dilation, groups }
            }
        }

        impl WithThen for $layer {
            fn forward_with(&self, then: Then, x: &Tensor, _train: bool) -> Result<Tensor> {
                let (layout, parts) = (Self::layout(self.config), (&self.weight, self.bias.as_ref()));
                crate::nn::conv::forward(layout, parts, then, x, |x, weight, bias| {
                    candle_nn::$layer::new(weight, bias, self.config).forward(x)
                })
            }
        }

        impl Module for $layer {
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                self.forward_with(Then::Nothing, x, false)
            }
        }
    };
}
use methods;
