use crate::{
    check::{below_one, non_negative, positive, power},
    kernels::float::Real,
    train::optimizer::{
        check_epsilon,
        rule::{Gradient, Kernel, Step, UpdateRule, SLOTS},
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Adam (Kingma & Ba 2015, arXiv:1412.6980), and with `decoupled` AdamW (Loshchilov & Hutter 2019,
/// arXiv:1711.05101).
///
/// With gradient `g` at the variable's `t`-th step, rate `η` and weight decay `λ`:
/// `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`,
/// `w ← w − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)`,
/// where weight decay is `g ← g + λ w` beforehand, or, decoupled, `w ← (1 − η λ) w` beforehand.
///
/// ```
/// use candle_ensemble::train::Adam;
///
/// let adam = Adam::new(3e-4).with_betas(0.9, 0.95);
/// assert_eq!((adam.beta2, adam.epsilon), (0.95, 1e-8));
/// assert!(adam.with_betas(0.9, 1.0).check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Adam {
    /// Base learning rate, above 0. Default 0.001.
    pub learning_rate: f64,
    /// Decay of the first moment, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// Added to the root of the second moment, above 0. Default 1e-8.
    pub epsilon: f64,
    /// Weight decay, 0 or more. Default 0.
    pub weight_decay: f64,
    /// Is weight decay kept out of the moments (AdamW), rather than added to the gradient? Default no.
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
    /// Adam with a learning rate and the usual other parameters.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// With other decays of the moments.
    #[must_use]
    pub fn with_betas(self, beta1: f64, beta2: f64) -> Self {
        Self { beta1, beta2, ..self }
    }

    /// With another `epsilon`.
    #[must_use]
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// With weight decay.
    #[must_use]
    pub fn with_weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// With decoupled weight decay (AdamW), or without.
    #[must_use]
    pub fn with_decoupled(self, decoupled: bool) -> Self {
        Self { decoupled, ..self }
    }

    /// Is every parameter in its range?
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

    /// Weight decay as (added to the gradient, factor on the weights).
    fn decays(&self, rate: f64) -> (f64, f64) {
        if self.decoupled {
            (0.0, 1.0 - rate * self.weight_decay)
        } else {
            (self.weight_decay, 1.0)
        }
    }

    /// The rate divided by the first moment's bias, and the root of one over the second's.
    fn corrections(&self, step: Step) -> (f64, f64) {
        let bias = |beta| 1.0 - power(beta, step.count);
        (step.rate / bias(self.beta1), 1.0 / bias(self.beta2).sqrt())
    }
}

/// Coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct AdamKernel<T> {
    gradient: Gradient<T>,
    keep: T,
    rate: T,
    root: T,
    epsilon: T,
    beta1: T,
    beta2: T,
    rest1: T,
    rest2: T,
}

impl UpdateRule for Adam {
    type Kernel<T: Real> = AdamKernel<T>;

    fn slots(&self) -> [Option<&'static str>; SLOTS] {
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

    fn tensors(
        &self,
        step: Step,
        w: &Tensor,
        g: &Tensor,
        [m, v, _]: &mut [Tensor; SLOTS],
    ) -> CResult<Tensor> {
        let (added, keep) = self.decays(step.rate);
        let (rate, root) = self.corrections(step);
        let g = if added == 0.0 { g.clone() } else { (g + (w * added)?)? };
        *m = ((&*m * self.beta1)? + (&g * (1.0 - self.beta1))?)?;
        *v = ((&*v * self.beta2)? + (g.sqr()? * (1.0 - self.beta2))?)?;
        let denominator = ((v.sqrt()? * root)? + self.epsilon)?;
        (w * keep)? - ((&*m * rate)? / denominator)?
    }
}

impl<T: Real> Kernel<T> for AdamKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [m, v, _]: [&mut [T]; SLOTS]) {
        let k = *self;
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = k.gradient.at(*w, g);
            *m = (k.beta1 * *m + k.rest1 * g).flushed();
            *v = (k.beta2 * *v + k.rest2 * (g * g)).flushed();
            *w = k.keep * *w - k.rate * *m / (v.sqrt() * k.root + k.epsilon);
        }
    }
}
