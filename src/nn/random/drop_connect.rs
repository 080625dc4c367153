//! A linear layer whose weights are dropped in training.
use crate::{
    check::below_one,
    nn::random::{of_elements, Draws},
};
use candle_core::{Module, ModuleT, Result, Tensor};
use candle_nn::{linear, Linear, VarBuilder};

/// DropConnect: a linear layer whose weights are set to 0 with probability `p` in training. In evaluation it
/// is the linear layer with the mean weights.
///
/// ```text
/// training:    y = x (M ⊙ W)ᵀ / (1 − p) + b,   Mᵢⱼ = 0 with probability p, else 1
/// evaluation:  y = x Wᵀ + b
/// ```
///
/// One mask serves all rows of a batch, and biases are not dropped; the source draws a mask for each row and
/// drops biases, too, which costs a product of its own for each row. The weights are divided by `1 − p` in
/// training, so that the variables `weight` and `bias` are those of [`linear`](candle_nn::linear()) and mean
/// the same in evaluation. Inputs have the shape `(…, in)`, outputs `(…, out)`; any floating-point type.
///
/// Use it like [`Dropout`](crate::nn::Dropout), in wide fully connected layers that overfit; it is seldom
/// clearly better. Prefer dropout for batches of few rows, where one mask for all rows makes the gradient
/// noisy. Cost: one random number for each weight and step, drawn on the CPU, seeded as in
/// [`Dropout`](crate::nn::Dropout), and a product with the mask.
///
/// # Source
/// Wan et al. 2013, "Regularization of neural networks using DropConnect", ICML, PMLR 28(3):1058–1066.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_ensemble::{nn::DropConnect, weights::fresh};
///
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let layer = DropConnect::new(2, 16, 0.5, vb.pp("hidden"))?;
/// let x = Tensor::ones((5, 2), DType::F32, &Device::Cpu)?;
/// assert_eq!(layer.forward_t(&x, true)?.dims(), [5, 16]);
/// let names: Vec<String> = vars.named().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["hidden.bias", "hidden.seed", "hidden.step", "hidden.weight"]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DropConnect {
    linear: Linear,
    p: f64,
    draws: Draws,
}

impl DropConnect {
    /// A linear layer from `in_dim` to `out_dim` with biases, whose weights are dropped with probability `p`,
    /// in [0, 1).
    ///
    /// # Errors
    /// When `p` is out of range, or the `VarBuilder` cannot draw integers.
    pub fn new(in_dim: usize, out_dim: usize, p: f64, vb: VarBuilder<'_>) -> Result<Self> {
        Self::of(linear(in_dim, out_dim, vb.clone())?, p, vb)
    }

    /// The same for a linear layer that exists already, with or without biases. `vb` gives the variables
    /// `seed` and `step`.
    ///
    /// # Errors
    /// When `p` is out of range, or the `VarBuilder` cannot draw integers.
    pub fn of(linear: Linear, p: f64, vb: VarBuilder<'_>) -> Result<Self> {
        below_one("the probability of DropConnect", p)?;
        Ok(Self { linear, p, draws: Draws::new(&vb)? })
    }

    /// The linear layer of evaluation.
    #[must_use]
    pub fn linear(&self) -> &Linear {
        &self.linear
    }
}

impl ModuleT for DropConnect {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train || self.p == 0. {
            return self.linear.forward(x);
        }
        let weight = self.linear.weight();
        let kept = (1. / (1. - self.p)) as f32;
        let mask = self.draws.mask(self.p, weight.elem_count(), 0., kept)?;
        let weight = (weight * of_elements(mask, weight.shape(), weight)?)?;
        Linear::new(weight, self.linear.bias().cloned()).forward(x)
    }
}
