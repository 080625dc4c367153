//! Dropout that keeps the mean and the variance of units with the SELU activation.
use crate::{
    check::below_one,
    nn::random::{of_elements, Draws},
};
use candle_core::{ModuleT, Result, Tensor};
use candle_nn::VarBuilder;

/// The value of SELU far below 0 is `−α'`.
const ALPHA: f64 = 1.758_099_340_847_376_6;

/// Alpha dropout: sets elements to the lower bound of SELU with probability `p` in training and restores the
/// mean and the variance by an affine map. It does nothing in evaluation.
///
/// ```text
/// y = a · d + b,   d = −α' with probability p,  d = x otherwise
/// a = ((1 − p)(1 + p α'²))^−½,   b = a p α',   α' = 1.758…
/// ```
///
/// If the elements of `x` have mean 0 and variance 1, so do those of `y`. Inputs have any shape and any
/// floating-point type; outputs have the same. The formula is that of PyTorch's layer of this name.
///
/// Use it after the activation [`Selu`](crate::nn::Activation::Selu), in networks that
/// normalize themselves: fully connected, with LeCun-normal initial weights and standardized inputs. With any
/// other activation use [`Dropout`](crate::nn::Dropout). Cost: one random number per element, drawn on the
/// CPU, seeded as in [`Dropout`](crate::nn::Dropout).
///
/// # Source
/// Klambauer et al. 2017, arXiv:1706.02515.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_ensemble::{nn::AlphaDropout, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F64, &Device::Cpu);
/// let zeros = Tensor::zeros(10_000, DType::F64, &Device::Cpu)?;
/// let y = zeros.apply_t(&AlphaDropout::new(0.1, vb)?, true)?.to_vec1::<f64>()?;
/// let dropped = y.iter().filter(|y| **y < 0.).count();
/// assert!((900..1100).contains(&dropped));
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AlphaDropout {
    p: f64,
    draws: Draws,
}

impl AlphaDropout {
    /// A layer that drops elements with probability `p`, in [0, 1). Each layer needs a name of its own, such
    /// as `vb.pp("dropout")`.
    ///
    /// # Errors
    /// When `p` is out of range, or the `VarBuilder` cannot draw integers.
    pub fn new(p: f64, vb: VarBuilder<'_>) -> Result<Self> {
        below_one("the probability of AlphaDropout", p)?;
        Ok(Self { p, draws: Draws::new(&vb)? })
    }
}

impl ModuleT for AlphaDropout {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train || self.p == 0. {
            return Ok(x.clone());
        }
        let a = ((1. - self.p) * (1. + self.p * ALPHA * ALPHA)).sqrt().recip();
        let kept = a * self.p * ALPHA;
        // 1 for dropped elements, so that both the factor and the addend are affine functions of it.
        let dropped = of_elements(self.draws.mask(self.p, x.elem_count(), 1., 0.)?, x.shape(), x)?;
        (x * dropped.affine(-a, a)?)? + dropped.affine(-a * ALPHA, kept)?
    }
}
