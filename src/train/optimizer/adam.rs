//! Adam and AdamW.
use crate::{
    check::{below_one, non_negative, positive, power},
    kernels::float::Real,
    train::optimizer::{
        check_epsilon,
        rule::{add_decay, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Adam: steps of about the size of the learning rate, whatever the size of the gradient. With
/// [`decoupled`](Adam::decoupled) weight decay it is AdamW.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// w ← w − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)
/// ```
///
/// at a variable's `t`-th step, with gradient `g` and learning rate `η`. Weight decay `λ` is `g ← g + λ w`
/// before that, or, decoupled, `w ← (1 − η λ) w`.
///
/// Use it as the default: it needs little tuning and works for gradients of very different sizes. Decouple
/// the weight decay if there is any, because Adam rescales a decay that is part of the gradient. Stochastic
/// gradient descent with momentum sometimes gives better test accuracy on images, after more tuning.
///
/// Cost: two numbers for each weight.
///
/// # Errors
/// [`Adam::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Sources
/// Kingma and Ba 2015, arXiv:1412.6980. AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101.
///
/// ```
/// use candle_ensemble::train::Adam;
///
/// let adam = Adam::new(3e-4).betas(0.9, 0.95);
/// assert_eq!((adam.beta2, adam.epsilon), (0.95, 1e-8));
/// assert!(adam.betas(0.9, 1.0).check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Adam {
    /// Base learning rate, above 0. Default 0.001.
    pub learning_rate: f64,
    /// Decay `β₁` of the first moment, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Decay `β₂` of the second moment, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// The `ε` that is added to the root of the second moment, above 0. Default 1e-8.
    pub epsilon: f64,
    /// Weight decay `λ`, 0 or more. Default 0.
    pub weight_decay: f64,
    /// Whether weight decay acts on the weights directly (AdamW) rather than through the gradient. Default
    /// no.
    pub decoupled: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
        }
    }
}

impl Adam {
    /// Adam with a learning rate, and the defaults for the other parameters.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// Sets the decays of the two moments.
    #[must_use]
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self { beta1, beta2, ..self }
    }

    /// Sets `epsilon`.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Sets whether weight decay is decoupled from the gradient (AdamW).
    #[must_use]
    pub fn decoupled(self, decoupled: bool) -> Self {
        Self { decoupled, ..self }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        positive("Adam::learning_rate", self.learning_rate)?;
        below_one("Adam::beta1", self.beta1)?;
        below_one("Adam::beta2", self.beta2)?;
        check_epsilon("Adam::epsilon", self.epsilon)?;
        non_negative("Adam::weight_decay", self.weight_decay)
    }

    /// Weight decay as the part that is added to the gradient, and the factor on the weights.
    fn decays(&self, rate: f64) -> (f64, f64) {
        if self.decoupled {
            (0.0, 1.0 - rate * self.weight_decay)
        } else {
            (self.weight_decay, 1.0)
        }
    }

    /// The bias corrections: `η / (1 − β₁ᵗ)` and `1 / √(1 − β₂ᵗ)`.
    fn corrections(&self, step: Step) -> (f64, f64) {
        let bias = |beta| 1.0 - power(beta, step.count);
        (step.rate / bias(self.beta1), 1.0 / bias(self.beta2).sqrt())
    }
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct AdamKernel<T> {
    gradient: Gradient<T>,
    /// Factor on the weights.
    keep: T,
    rate: T,
    /// `1 / √(1 − β₂ᵗ)`.
    root: T,
    epsilon: T,
    beta1: T,
    beta2: T,
    /// `1 − β₁` and `1 − β₂`.
    rest1: T,
    rest2: T,
}

impl UpdateRule for Adam {
    type Kernel<T: Real> = AdamKernel<T>;

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        [Some("first_moment"), Some("second_moment"), None]
    }

    fn kernel<T: Real>(&self, step: Step) -> AdamKernel<T> {
        let (added, keep) = self.decays(step.rate);
        let (rate, root) = self.corrections(step);
        AdamKernel {
            gradient: Gradient::new(step.limits, added),
            keep: T::of(keep),
            rate: T::of(rate),
            root: T::of(root),
            epsilon: T::of(self.epsilon),
            beta1: T::of(self.beta1),
            beta2: T::of(self.beta2),
            rest1: T::of(1.0 - self.beta1),
            rest2: T::of(1.0 - self.beta2),
        }
    }

    fn update_tensors(
        &self,
        step: Step,
        w: &Tensor,
        g: &Tensor,
        [m, v, _]: &mut [Tensor; MAX_MOMENTS],
    ) -> CResult<Tensor> {
        let (added, keep) = self.decays(step.rate);
        let (rate, root) = self.corrections(step);
        let g = add_decay(g, w, added)?;
        *m = ((&*m * self.beta1)? + (&g * (1.0 - self.beta1))?)?;
        *v = ((&*v * self.beta2)? + (g.sqr()? * (1.0 - self.beta2))?)?;
        let denominator = ((v.sqrt()? * root)? + self.epsilon)?;
        (w * keep)? - ((&*m * rate)? / denominator)?
    }
}

impl<T: Real> Kernel<T> for AdamKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [m, v, _]: [&mut [T]; MAX_MOMENTS]) {
        let k = *self;
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = k.gradient.at(*w, g);
            *m = (k.beta1 * *m + k.rest1 * g).flushed();
            *v = (k.beta2 * *v + k.rest2 * (g * g)).flushed();
            *w = k.keep * *w - k.rate * *m / (v.sqrt() * k.root + k.epsilon);
        }
    }
}
