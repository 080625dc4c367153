//! Adamax.
use crate::{
    check::{below_one, non_negative, positive},
    kernels::float::Real,
    registry::{Argument, Entry},
    train::optimizer::{
        check_epsilon,
        rule::{add_decay, average, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
        text::{beta1, beta2, epsilon, learning_rate, weight_decay},
        Optimizer,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Adamax: Adam with the largest recent size of the gradient in place of its root mean square.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// u ← max(β₂ u, |g| + ε)
/// w ← w − η / (1 − β₁ᵗ) · m / u
/// ```
///
/// at a variable's `t`-th step, with gradient `g` and learning rate `η`. Weight decay is `g ← g + λ w` before
/// that. This is the form of PyTorch. Keras adds ε to `u` where it divides; the difference is about ε.
///
/// Use it for gradients with rare large values, as embeddings have. No step is larger than the learning rate
/// by much. Elsewhere it is seldom better than [`Adam`](crate::train::Adam).
///
/// Cost: two numbers for each weight.
///
/// # Errors
/// [`Adamax::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980, section 7.1.
///
/// ```
/// use candle_ensemble::train::Adamax;
///
/// let adamax = Adamax::new(2e-3).betas(0.9, 0.99);
/// assert_eq!((adamax.beta2, adamax.epsilon), (0.99, 1e-8));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Adamax {
    /// Base learning rate, above 0. Default 0.002.
    pub learning_rate: f64,
    /// Decay `β₁` of the first moment, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Decay `β₂` of the largest size, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// The `ε` that is added to the gradient's size, above 0. Default 1e-8.
    pub epsilon: f64,
    /// Weight decay `λ`, added to the gradient, 0 or more. Default 0.
    pub weight_decay: f64,
}

impl Default for Adamax {
    fn default() -> Self {
        Self { learning_rate: 2e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl Adamax {
    /// Adamax with a learning rate, and the defaults for the other parameters.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// Sets the decays of the first moment and of the largest size.
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

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        positive("Adamax::learning_rate", self.learning_rate)?;
        below_one("Adamax::beta1", self.beta1)?;
        below_one("Adamax::beta2", self.beta2)?;
        check_epsilon("Adamax::epsilon", self.epsilon)?;
        non_negative("Adamax::weight_decay", self.weight_decay)
    }

    const ARGUMENTS: &[Argument] =
        &[learning_rate("0.002"), beta1("0.9"), beta2("0.999"), epsilon("1e-8"), weight_decay("0")];

    /// Adamax as texts name it.
    pub(super) const ENTRIES: &[Entry<Optimizer>] =
        &[Entry::new("adamax", "Adamax", "Adam with the largest recent size of the gradient", |arguments| {
            Ok(Self {
                learning_rate: arguments.get("learning-rate")?,
                beta1: arguments.get("beta1")?,
                beta2: arguments.get("beta2")?,
                epsilon: arguments.get("epsilon")?,
                weight_decay: arguments.get("weight-decay")?,
            }
            .into())
        })
        .with_arguments(Self::ARGUMENTS)
        .with_source("Kingma and Ba 2015, arXiv:1412.6980")];
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct AdamaxKernel<T> {
    gradient: Gradient<T>,
    rate: T,
    beta1: T,
    beta2: T,
    /// `1 − β₁`.
    rest1: T,
    epsilon: T,
}

impl UpdateRule for Adamax {
    type Kernel<T: Real> = AdamaxKernel<T>;

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        [Some("first_moment"), Some("largest"), None]
    }

    fn kernel<T: Real>(&self, step: Step) -> AdamaxKernel<T> {
        AdamaxKernel {
            gradient: Gradient::new(step.limits, self.weight_decay),
            rate: T::of(step.rate / step.bias(self.beta1)),
            beta1: T::of(self.beta1),
            beta2: T::of(self.beta2),
            rest1: T::of(1.0 - self.beta1),
            epsilon: T::of(self.epsilon),
        }
    }

    fn update_tensors(
        &self,
        step: Step,
        w: &Tensor,
        g: &Tensor,
        [m, u, _]: &mut [Tensor; MAX_MOMENTS],
    ) -> CResult<Tensor> {
        let g = add_decay(g, w, self.weight_decay)?;
        *m = average(self.beta1, m, &g)?;
        *u = (&*u * self.beta2)?.maximum(&(g.abs()? + self.epsilon)?)?;
        w - ((&*m / &*u)? * (step.rate / step.bias(self.beta1)))?
    }
}

impl<T: Real> Kernel<T> for AdamaxKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [m, u, _]: [&mut [T]; MAX_MOMENTS]) {
        let k = *self;
        for (((w, &g), m), u) in w.iter_mut().zip(g).zip(m).zip(u) {
            let g = k.gradient.at(*w, g);
            *m = (k.beta1 * *m + k.rest1 * g).flushed();
            let (old, new) = (k.beta2 * *u, g.abs() + k.epsilon);
            *u = if old > new { old } else { new };
            *w -= k.rate * (*m / *u);
        }
    }
}
