//! Activation functions by name.
pub(super) mod formula;
#[cfg(test)]
mod tests;

use crate::{
    check::{non_negative, require},
    kernels::{cpu, float::Real},
    nn::{gradients::apply_op1, tap::Bounds},
    registry::{Argument, Arguments, Entry, Registry},
};
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Module, Result, Shape, Tensor};
use candle_nn::ops;
use serde::{Deserialize, Serialize};
use std::{f64::consts::PI, sync::LazyLock};

/// An activation function, applied to each element, as data.
///
/// ```text
/// relu         max(x, 0)                            tanh          tanh x
/// leaky-relu   x if x > 0, else slope · x           sigmoid       1 / (1 + e⁻ˣ)
/// elu          x if x > 0, else α (eˣ − 1)          hard-sigmoid  x/6 + ½, limited to 0 … 1
/// selu         λ elu(x) with α = 1.673, λ = 1.051   softplus      ln(1 + eˣ)
/// gelu         x Φ(x)                               softsign      x / (1 + |x|)
/// gelu-tanh    x ½ (1 + tanh(√(2/π)(x + .0447 x³))) silu          x sigmoid(x)
/// exponential  eˣ                                   mish          x tanh(softplus(x))
/// linear       x
/// ```
///
/// Inputs have any shape and any floating-point type; outputs have the same. Half precision is computed in
/// f32. The formulas and their derivatives are those of PyTorch; where there is a kink, the derivative is
/// that from the left: 0 for relu at 0. candle's [`Activation`](candle_nn::Activation), which has fewer
/// functions and works as well in [`seq`](crate::nn::seq()), takes 1 there.
///
/// Use `Relu` with He initial weights unless there is a reason for another; `Gelu` or `Silu` in transformers;
/// `Selu` with LeCun initial weights and [`AlphaDropout`](crate::nn::AlphaDropout); `Tanh` in shallow or
/// recurrent networks. In a deep network with badly chosen initial weights `Tanh` and `Sigmoid` saturate, and
/// gradients vanish; with Glorot initial weights five layers of tanh learned a small problem as well as five
/// of relu. The last layer of a network has none as a rule: the losses take logits.
///
/// Cost: one pass over the elements forwards and one backwards.
///
/// # Errors
/// [`Activation::check`] and the forward pass name a parameter that is out of range.
///
/// # Sources
/// Leaky relu: Maas et al. 2013. ELU: Clevert et al. 2016, arXiv:1511.07289. SELU: Klambauer et al. 2017,
/// arXiv:1706.02515. GELU: Hendrycks and Gimpel 2016, arXiv:1606.08415. SiLU: Elfwing et al. 2018,
/// arXiv:1702.03118. Mish: Misra 2019, arXiv:1908.08681.
///
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use candle_ensemble::nn::Activation;
///
/// let leaky = Activation::registry().parse("leaky-relu:0.1")?;
/// assert_eq!(leaky, Activation::LeakyRelu { slope: 0.1 });
/// let y = leaky.forward(&Tensor::new(&[-2f64, 3.], &Device::Cpu)?)?;
/// assert_eq!(y.to_vec1::<f64>()?, [-0.2, 3.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Activation {
    /// The input itself.
    Linear,
    /// Rectified linear unit.
    Relu,
    /// Rectified linear unit with a slope for negative inputs.
    LeakyRelu {
        /// The slope, 0 or more. PyTorch's default is 0.01, that of Keras 0.3.
        slope: f64,
    },
    /// Exponential linear unit.
    Elu {
        /// The limit far below 0 is `−alpha`; 0 or more.
        alpha: f64,
    },
    /// Scaled exponential linear unit, which keeps mean 0 and variance 1.
    Selu,
    /// Gaussian error linear unit.
    Gelu,
    /// The approximation of [`Gelu`](Self::Gelu) by tanh.
    GeluTanh,
    /// Sigmoid linear unit, also called swish.
    Silu,
    /// Mish.
    Mish,
    /// A smooth relu.
    Softplus,
    /// A function like tanh that approaches its bounds slowly.
    Softsign,
    /// A sigmoid of three straight lines.
    HardSigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// Exponential.
    Exponential,
}

impl Activation {
    /// Checks the parameters.
    ///
    /// # Errors
    /// When one is negative or not finite.
    pub fn check(&self) -> crate::Result<()> {
        match *self {
            Self::LeakyRelu { slope } => {
                let must = "0 or more, and less than 1";
                require((0. ..1.).contains(&slope), "Activation::LeakyRelu::slope", must, slope)
            }
            Self::Elu { alpha } => non_negative("Activation::Elu::alpha", alpha),
            _ => Ok(()),
        }
    }

    /// The activations by name.
    ///
    /// ```
    /// use candle_ensemble::nn::Activation;
    ///
    /// assert_eq!(Activation::registry().parse("swish")?, Activation::Silu);
    /// assert!(Activation::registry().help().contains("hard-sigmoid"));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        const SLOPE: &[Argument] = &[Argument::new("slope", "0.01", "The slope for negative inputs")];
        const ALPHA: &[Argument] = &[Argument::new("alpha", "1", "Minus the limit far below 0")];
        fn checked(made: Activation) -> crate::Result<Activation> {
            made.check().map(|()| made)
        }
        fn leaky_relu(arguments: &Arguments) -> crate::Result<Activation> {
            checked(Activation::LeakyRelu { slope: arguments.get("slope")? })
        }
        fn elu(arguments: &Arguments) -> crate::Result<Activation> {
            checked(Activation::Elu { alpha: arguments.get("alpha")? })
        }
        macro_rules! entry {
            ($name:literal, $variant:ident, $summary:literal) => {
                Entry::new($name, concat!("Activation::", stringify!($variant)), $summary, |_| {
                    Ok(Activation::$variant)
                })
            };
        }
        static REGISTRY: LazyLock<Registry<Activation>> = LazyLock::new(|| {
            let entries = vec![
                entry!("linear", Linear, "The input itself").with_aliases(&["identity", "none"]),
                entry!("relu", Relu, "Rectified linear unit"),
                Entry::new(
                    "leaky-relu",
                    "Activation::LeakyRelu",
                    "Rectified linear unit with a slope for negative inputs",
                    leaky_relu,
                )
                .with_arguments(SLOPE),
                Entry::new("elu", "Activation::Elu", "Exponential linear unit", elu).with_arguments(ALPHA),
                entry!("selu", Selu, "Scaled exponential linear unit"),
                entry!("gelu", Gelu, "Gaussian error linear unit"),
                entry!("gelu-tanh", GeluTanh, "GELU, approximated by tanh"),
                entry!("silu", Silu, "Sigmoid linear unit").with_aliases(&["swish"]),
                entry!("mish", Mish, "Mish"),
                entry!("softplus", Softplus, "A smooth relu"),
                entry!("softsign", Softsign, "A function like tanh with slow tails"),
                entry!("hard-sigmoid", HardSigmoid, "A sigmoid of three straight lines"),
                entry!("tanh", Tanh, "Hyperbolic tangent"),
                entry!("sigmoid", Sigmoid, "Logistic function"),
                entry!("exponential", Exponential, "Exponential"),
            ];
            Registry::new("activation", entries)
        });
        &REGISTRY
    }

    /// The range beyond which an output is within 1 % of a bound of the function. `None` for a function that
    /// is not bounded on both sides.
    pub(crate) fn bounds(self) -> Option<Bounds> {
        match self {
            Self::Tanh | Self::Softsign => Some(Bounds { low: -0.99, high: 0.99 }),
            Self::Sigmoid | Self::HardSigmoid => Some(Bounds { low: 0.01, high: 0.99 }),
            _ => None,
        }
    }

    /// In tensor operations, for devices other than the CPU.
    fn by_tensors(self, x: &Tensor) -> Result<Tensor> {
        let zero_or_less = x.le(0f32)?;
        let zeros = x.zeros_like()?;
        // The branch for positive inputs must not overflow in the branch that is not taken.
        let negative = || zero_or_less.where_cond(x, &zeros);
        let elu = |alpha: f64, scale: f64| {
            let below = ((negative()?.exp()? - 1.)? * (alpha * scale))?;
            zero_or_less.where_cond(&below, &(x * scale)?)
        };
        // The kinks of the two terms at 0 cancel with the derivatives that candle's operations have there.
        let softplus = || x.relu()? + (x.abs()?.neg()?.exp()? + 1.)?.log()?;
        match self {
            Self::Linear => Ok(x.clone()),
            Self::Relu => zero_or_less.where_cond(&zeros, x),
            Self::LeakyRelu { slope } => zero_or_less.where_cond(&(x * slope)?, x),
            Self::Elu { alpha } => elu(alpha, 1.),
            Self::Selu => elu(formula::SELU_ALPHA, formula::SELU_SCALE),
            Self::Gelu => (x * 0.5)? * ((x / 2f64.sqrt())?.erf()? + 1.)?,
            Self::GeluTanh => {
                let inner = ((x.sqr()? * formula::GELU_CUBE)? + 1.)?;
                (x * 0.5)? * (((x * inner)? * (2. / PI).sqrt())?.tanh()? + 1.)?
            }
            Self::Silu => x * ops::sigmoid(x)?,
            Self::Mish => x * softplus()?.tanh()?,
            Self::Softplus => softplus(),
            Self::Softsign => x / (x.abs()? + 1.)?,
            Self::HardSigmoid => ops::hard_sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => ops::sigmoid(x),
            Self::Exponential => x.exp(),
        }
    }
}

impl Module for Activation {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.check()?;
        if *self == Self::Linear {
            return Ok(x.clone());
        }
        let wide = match x.dtype() {
            DType::F64 => x.clone(),
            _ => x.to_dtype(DType::F32)?,
        };
        let y = match x.device().is_cpu() {
            true => apply_op1(&wide.contiguous()?, Apply(*self))?,
            false => self.by_tensors(&wide)?,
        };
        y.to_dtype(x.dtype())
    }
}

/// An activation as one operation of the graph.
struct Apply(Activation);

impl Apply {
    fn values<T: Real>(&self, storage: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
        let mut values = cpu::storage_slice::<T>(storage, layout)?.to_vec();
        formula::apply(self.0, &mut values);
        Ok(T::to_cpu_storage_owned(values))
    }

    fn gradient<T: Real>(&self, x: &Tensor, y: &Tensor, upstream: &Tensor) -> Result<Tensor> {
        let gradient = cpu::with_slice(&x.detach(), |x: &[T]| {
            cpu::with_slice(&y.detach(), |y: &[T]| {
                cpu::with_slice(upstream, |g: &[T]| formula::gradients(self.0, x, y, g))
            })
        })???;
        Tensor::from_vec(gradient, x.shape(), x.device())
    }
}

impl CustomOp1 for Apply {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = match storage {
            CpuStorage::F64(_) => self.values::<f64>(storage, layout)?,
            _ => self.values::<f32>(storage, layout)?,
        };
        Ok((values, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let gradient = match x.dtype() {
            DType::F64 => self.gradient::<f64>(x, y, upstream)?,
            _ => self.gradient::<f32>(x, y, upstream)?,
        };
        Ok(Some(gradient))
    }
}
