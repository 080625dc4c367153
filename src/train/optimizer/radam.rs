//! RAdam.
use crate::{
    check::{below_one, non_negative, positive, power},
    kernels::float::Real,
    registry::{Argument, Entry},
    train::optimizer::{
        check_epsilon,
        rule::{add_decay, average, decays, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
        text::{beta1, beta2, epsilon, learning_rate, weight_decay, DECOUPLED},
        Optimizer,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// RAdam: Adam whose first steps are those of momentum, until the second moment can be trusted.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// ρ∞ = 2 / (1 − β₂) − 1,   ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)
/// r = √((ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ))
/// w ← w − η · m / (1 − β₁ᵗ) · r · √(1 − β₂ᵗ) / (√v + ε)      if ρ > 5
/// w ← w − η · m / (1 − β₁ᵗ)                                  else
/// ```
///
/// at a variable's `t`-th step, with gradient `g` and learning rate `η`. Weight decay `λ` is `g ← g + λ w`
/// before that, or, decoupled, `w ← (1 − η λ) w`. This is the form of PyTorch.
///
/// Use it in place of [`Adam`](crate::train::Adam) with a warm-up of the learning rate: `r` rises from 0 to 1
/// within about `2 / (1 − β₂)` steps. It needs no further warm-up. With the default of `β₂`, the first five
/// steps are in proportion to the gradient, and large where gradients are.
///
/// Cost: two numbers for each weight.
///
/// # Errors
/// [`RAdam::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Source
/// Liu et al. 2020, arXiv:1908.03265.
///
/// ```
/// use candle_ensemble::train::RAdam;
///
/// let radam = RAdam::new(1e-3).weight_decay(0.01).decoupled(true);
/// assert!(radam.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RAdam {
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
    /// Whether weight decay acts on the weights directly rather than through the gradient. Default no.
    pub decoupled: bool,
}

impl Default for RAdam {
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

impl RAdam {
    /// RAdam with a learning rate, and the defaults for the other parameters.
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

    /// Sets whether weight decay is decoupled from the gradient.
    #[must_use]
    pub fn decoupled(self, decoupled: bool) -> Self {
        Self { decoupled, ..self }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        positive("RAdam::learning_rate", self.learning_rate)?;
        below_one("RAdam::beta1", self.beta1)?;
        below_one("RAdam::beta2", self.beta2)?;
        check_epsilon("RAdam::epsilon", self.epsilon)?;
        non_negative("RAdam::weight_decay", self.weight_decay)
    }

    const ARGUMENTS: &[Argument] = &[
        learning_rate("0.001"),
        beta1("0.9"),
        beta2("0.999"),
        epsilon("1e-8"),
        weight_decay("0"),
        DECOUPLED,
    ];

    /// RAdam as texts name it.
    pub(super) const ENTRIES: &[Entry<Optimizer>] = &[Entry::new(
        "radam",
        "RAdam",
        "Adam with a warm-up that follows from its second moment",
        |arguments| {
            Ok(Self {
                learning_rate: arguments.get("learning-rate")?,
                beta1: arguments.get("beta1")?,
                beta2: arguments.get("beta2")?,
                epsilon: arguments.get("epsilon")?,
                weight_decay: arguments.get("weight-decay")?,
                decoupled: arguments.get("decoupled")?,
            }
            .into())
        },
    )
    .with_arguments(Self::ARGUMENTS)
    .with_source("Liu et al. 2020, arXiv:1908.03265")];

    /// The factor of the first moment, and whether it is divided by the root of the second.
    fn rate(&self, step: Step) -> (f64, bool) {
        let rate = step.rate / step.bias(self.beta1);
        let (bias, limit) = (step.bias(self.beta2), 2.0 / (1.0 - self.beta2) - 1.0);
        let length = limit - 2.0 * step.count as f64 * power(self.beta2, step.count) / bias;
        if length > 5.0 {
            let variance = |length: f64| (length - 4.0) * (length - 2.0) / length;
            (rate * (variance(length) / variance(limit) * bias).sqrt(), true)
        } else {
            (rate, false)
        }
    }
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct RAdamKernel<T> {
    gradient: Gradient<T>,
    /// Factor on the weights.
    keep: T,
    rate: T,
    /// Whether the second moment is used.
    adaptive: bool,
    epsilon: T,
    beta1: T,
    beta2: T,
    /// `1 − β₁` and `1 − β₂`.
    rest1: T,
    rest2: T,
}

impl UpdateRule for RAdam {
    type Kernel<T: Real> = RAdamKernel<T>;

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        [Some("first_moment"), Some("second_moment"), None]
    }

    fn kernel<T: Real>(&self, step: Step) -> RAdamKernel<T> {
        let (added, keep) = decays(self.weight_decay, self.decoupled, step.rate);
        let (rate, adaptive) = self.rate(step);
        RAdamKernel {
            gradient: Gradient::new(step.limits, added),
            keep: T::of(keep),
            rate: T::of(rate),
            adaptive,
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
        let (added, keep) = decays(self.weight_decay, self.decoupled, step.rate);
        let (rate, adaptive) = self.rate(step);
        let g = add_decay(g, w, added)?;
        *m = average(self.beta1, m, &g)?;
        *v = average(self.beta2, v, &g.sqr()?)?;
        let direction = if adaptive { (&*m / (v.sqrt()? + self.epsilon)?)? } else { m.clone() };
        (w * keep)? - (direction * rate)?
    }
}

impl<T: Real> RAdamKernel<T> {
    #[inline(always)]
    fn run<const ADAPTIVE: bool>(self, w: &mut [T], g: &[T], [m, v, _]: [&mut [T]; MAX_MOMENTS]) {
        let k = self;
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = k.gradient.at(*w, g);
            *m = (k.beta1 * *m + k.rest1 * g).flushed();
            *v = (k.beta2 * *v + k.rest2 * (g * g)).flushed();
            let direction = if ADAPTIVE { *m / (v.sqrt() + k.epsilon) } else { *m };
            *w = k.keep * *w - k.rate * direction;
        }
    }
}

impl<T: Real> Kernel<T> for RAdamKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], moments: [&mut [T]; MAX_MOMENTS]) {
        if self.adaptive {
            self.run::<true>(w, g, moments);
        } else {
            self.run::<false>(w, g, moments);
        }
    }
}
