//! Multiplicative Gaussian noise.
use crate::{check::below_one, nn::random::Draws};
use candle_core::{ModuleT, Result, Tensor};
use candle_nn::VarBuilder;

/// Gaussian dropout: multiplies each element by a number from `N(1, p / (1 − p))` in training, and does
/// nothing in evaluation.
///
/// ```text
/// y = x · n,   n ~ N(1, p / (1 − p))
/// ```
///
/// The factor has the mean and the variance of the factor in [`Dropout`](crate::nn::Dropout) with the same
/// `p`. Inputs have any shape and any floating-point type; outputs have the same. It is Keras' layer of this
/// name.
///
/// Use it where no element should be lost altogether. It regularizes about as much as dropout, so there is
/// rarely a reason to use both. Elements that are 0 get no noise; see
/// [`GaussianNoise`](crate::nn::GaussianNoise). Cost: one normal random number per element, drawn on the CPU,
/// seeded as in [`Dropout`](crate::nn::Dropout).
///
/// # Source
/// Srivastava et al. 2014, JMLR 15:1929–1958, section 10.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_ensemble::{nn::GaussianDropout, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let y = Tensor::ones(10_000, DType::F32, &Device::Cpu)?.apply_t(&GaussianDropout::new(0.2, vb)?, true)?;
/// assert!((y.mean_all()?.to_scalar::<f32>()? - 1.).abs() < 0.02);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GaussianDropout {
    p: f64,
    draws: Draws,
}

impl GaussianDropout {
    /// A layer whose noise is that of dropout with probability `p`, in [0, 1). Each layer needs a name of its
    /// own, such as `vb.pp("dropout")`.
    ///
    /// # Errors
    /// When `p` is out of range, or the `VarBuilder` cannot draw integers.
    pub fn new(p: f64, vb: VarBuilder<'_>) -> Result<Self> {
        below_one("the probability of GaussianDropout", p)?;
        Ok(Self { p, draws: Draws::new(&vb)? })
    }
}

impl ModuleT for GaussianDropout {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train || self.p == 0. {
            return Ok(x.clone());
        }
        x * self.draws.normal(x, 1., (self.p / (1. - self.p)).sqrt())?
    }
}
