//! A linear layer.
pub(in crate::nn) mod op;
#[cfg(test)]
mod tests;

use crate::{
    nn::{
        fused, stack,
        then::{Then, WithThen},
        Activation,
    },
    Error,
};
use candle_core::{Module, Result, Tensor};
use candle_nn::{init::DEFAULT_KAIMING_NORMAL, Init, VarBuilder};

/// A linear layer, also called dense or fully connected: each output is a weighted sum of all inputs and a
/// bias.
///
/// ```text
/// y = x · Wᵀ + b
/// ```
///
/// Inputs have the shape `(…, inputs)`, with any number of dimensions before the last, and outputs the shape
/// `(…, outputs)`. `W` is the variable `weight` of the shape `(outputs, inputs)`, and `b` the variable `bias`
/// of the shape `(outputs,)`. All have the same floating-point type.
///
/// It replaces candle's [`Linear`](candle_nn::Linear): change the line `use candle_nn::linear;` to
/// `use candle_ensemble::nn::linear;`. [`linear`], [`linear_no_bias`] and [`linear_b`] take the same arguments
/// and make the same variables with the same initial weights, so weights and checkpoints go from one layer to
/// the other. Results are those of candle's layer but for rounding. It also accepts a single row `(inputs,)`
/// and inputs that are not contiguous.
///
/// # Speed
/// On the CPU, in f32 and f64, the layer is one operation of the graph: the product is added to the bias where
/// the output is, and the backward pass reads transposed matrices in place and leaves out the gradient of
/// inputs that need none. In [`seq`](crate::nn::seq()) it also does the work of the [`Activation`] behind it,
/// where that is relu, leaky relu, tanh, sigmoid or the exponential function, or candle's
/// [relu](candle_nn::Activation::Relu); in a model of another kind call
/// [`forward_then`](Self::forward_then). With the trainer, networks of the sizes 64-64-32-10 and
/// 784-512-512-10 train in little more than half the time that they take with candle's layers. Elsewhere, and
/// in builds with the feature `accelerate` or `mkl`, the layer is made of candle's operations.
///
/// # Errors
/// The forward pass fails for inputs whose last dimension has another size.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::linear, weights::fresh};
///
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let layer = linear(3, 2, vb.pp("head"))?;
/// assert_eq!(layer.weight().dims(), [2, 3]);
/// assert_eq!(vars.snapshot()?.keys().collect::<Vec<_>>(), ["head.bias", "head.weight"]);
/// let y = layer.forward(&Tensor::zeros((5, 4, 3), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(y.dims(), [5, 4, 2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

/// A linear layer from `inputs` to `outputs` numbers, with the variables `weight` and `bias`.
///
/// A fresh `VarBuilder` of candle draws the weights from a normal distribution with a standard deviation of
/// `√(2 / inputs)` and the bias uniformly from `−1/√inputs` to `1/√inputs`, as for candle's own
/// [`linear`](candle_nn::linear()); one of [`fresh`](crate::weights::fresh()) follows its own scheme.
///
/// # Errors
/// When the `VarBuilder` has other variables of these names.
///
/// ```
/// use candle_ensemble::{nn::{linear, seq, Activation}, train::Trainer};
/// use candle_nn::VarBuilder;
///
/// let trainer = Trainer::new(|vb: VarBuilder| {
///     let hidden = seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu);
///     Ok(hidden.add(linear(16, 3, vb.pp(1))?))
/// });
/// ```
pub fn linear(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    let weight = weights(inputs, outputs, &vb)?;
    let bound = 1. / (inputs as f64).sqrt();
    let bias = vb.get_with_hints(outputs, "bias", Init::Uniform { lo: -bound, up: bound })?;
    Ok(Linear { weight, bias: Some(bias) })
}

/// [`linear`] without a bias.
///
/// # Errors
/// When the `VarBuilder` has another variable of the name `weight`.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::linear_no_bias, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// assert!(linear_no_bias(3, 2, vb)?.bias().is_none());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn linear_no_bias(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    Ok(Linear { weight: weights(inputs, outputs, &vb)?, bias: None })
}

/// [`linear`] or [`linear_no_bias`], by an argument.
///
/// # Errors
/// As for these.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::linear_b, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// assert!(linear_b(3, 2, true, vb)?.bias().is_some());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn linear_b(inputs: usize, outputs: usize, bias: bool, vb: VarBuilder<'_>) -> Result<Linear> {
    match bias {
        true => linear(inputs, outputs, vb),
        false => linear_no_bias(inputs, outputs, vb),
    }
}

fn weights(inputs: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Tensor> {
    vb.get_with_hints((outputs, inputs), "weight", DEFAULT_KAIMING_NORMAL)
}

impl Linear {
    /// A layer with these weights `(outputs, inputs)` and this bias `(outputs,)`, which may be variables or
    /// tensors that are computed.
    ///
    /// ```
    /// use candle_core::{Device::Cpu, Module, Tensor};
    /// use candle_ensemble::nn::Linear;
    ///
    /// let layer = Linear::new(Tensor::new(&[[1f32, 2.], [3., 4.]], &Cpu)?, None);
    /// assert_eq!(layer.forward(&Tensor::new(&[10f32, 1.], &Cpu)?)?.to_vec1::<f32>()?, [12., 34.]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    #[must_use]
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// The weights, `(outputs, inputs)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, `(outputs,)`.
    #[must_use]
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The activation of the outputs: `activation(x · Wᵀ + b)`, as one operation where that is possible.
    ///
    /// The result is that of the two layers one after the other, to the bit. It saves the memory of the
    /// inputs of the activation and two passes over them.
    ///
    /// # Errors
    /// As for the forward passes of the two layers.
    ///
    /// ```
    /// use candle_core::{DType, Device, Module, Tensor};
    /// use candle_ensemble::nn::{Activation, Linear};
    ///
    /// struct Mlp(Linear, Linear);
    /// impl Module for Mlp {
    ///     fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
    ///         self.1.forward(&self.0.forward_then(Activation::Relu, x)?)
    ///     }
    /// }
    /// ```
    pub fn forward_then(&self, activation: Activation, x: &Tensor) -> Result<Tensor> {
        self.activated(activation, x, false)
    }

    /// The forward pass with what follows it.
    fn with(&self, then: Then, x: &Tensor) -> Result<Tensor> {
        let (outputs, inputs) = self.weight.dims2()?;
        let bias = self.bias.as_ref();
        if let Some(operation) = self.operation(then, x)? {
            return fused::apply(operation, x, &self.weight, bias);
        }
        then.forward(self.by_tensors(x, inputs, outputs)?)
    }

    /// The layer and what follows it as one operation, if they can be one for such inputs.
    pub(in crate::nn) fn operation(&self, then: Then, x: &Tensor) -> Result<Option<op::Dense>> {
        let (outputs, inputs) = self.weight.dims2()?;
        self.check(x, outputs, inputs)?;
        let products_of_ours = !cfg!(any(feature = "accelerate", feature = "mkl"));
        let fits = products_of_ours && fused::fits(x, &self.weight, self.bias.as_ref());
        Ok(fits.then_some(op::Dense(then)))
    }

    fn check(&self, x: &Tensor, outputs: usize, inputs: usize) -> Result<()> {
        if x.dims().last() != Some(&inputs) {
            let got = format!("{:?}", x.dims());
            return Err(
                Error::invalid("the shape of the inputs of Linear", format!("(…, {inputs})"), got).into()
            );
        }
        match &self.bias {
            Some(bias) if bias.dims() != [outputs] => {
                let got = format!("{:?}", bias.dims());
                Err(Error::invalid("the shape of the bias of Linear", format!("({outputs},)"), got).into())
            }
            _ => Ok(()),
        }
    }

    /// In tensor operations, for other devices and types.
    fn by_tensors(&self, x: &Tensor, inputs: usize, outputs: usize) -> Result<Tensor> {
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        let rows = dims.iter().rev().skip(1).product::<usize>();
        if stack::is_passing() {
            return self.by_tensors_of_members(&x.contiguous()?, [rows, inputs])?.reshape(dims);
        }
        let y = x.contiguous()?.reshape((rows, inputs))?.matmul(&self.weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        y.reshape(dims)
    }

    /// The same for the rows of several members, `(members, rows, outputs)`.
    fn by_tensors_of_members(&self, x: &Tensor, [rows, inputs]: [usize; 2]) -> Result<Tensor> {
        let rows = stack::rows_of_each(rows)?;
        let weights = Tensor::stack(&stack::operands(&self.weight)?, 0)?;
        let y = x.reshape((stack::parts(), rows, inputs))?.matmul(&weights.transpose(1, 2)?)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(&Tensor::stack(&stack::operands(bias)?, 0)?.unsqueeze(1)?),
            None => Ok(y),
        }
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.with(Then::Nothing, x)
    }
}

impl WithThen for Linear {
    fn forward_with(&self, then: Then, x: &Tensor, _train: bool) -> Result<Tensor> {
        self.with(then, x)
    }
}
