//! Lion.
use crate::{
    check::{below_one, non_negative, positive},
    kernels::float::Real,
    registry::{Argument, Entry},
    train::optimizer::{
        rule::{average, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
        text::{learning_rate, weight_decay},
        Optimizer,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Lion: every weight moves by exactly the learning rate, in the direction of a moment's sign.
///
/// ```text
/// w ← w − η · (sign(β₁ m + (1 − β₁) g) + λ w)
/// m ← β₂ m + (1 − β₂) g
/// ```
///
/// with gradient `g`, learning rate `η` and decoupled weight decay `λ`.
///
/// Use it for large networks with large batches, where its source found it as good as AdamW with half the
/// memory. Its steps are larger than Adam's: take a learning rate that is 3 to 10 times smaller and a weight
/// decay that is larger by the same factor. Do not use it with small batches, in which signs are mostly
/// noise, nor without a schedule that lowers the rate: its steps do not shrink near a minimum.
///
/// Cost: one number for each weight.
///
/// # Errors
/// [`Lion::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Source
/// Chen et al. 2023, arXiv:2302.06675.
///
/// ```
/// use candle_ensemble::train::Lion;
///
/// let lion = Lion::new(1e-4).betas(0.95, 0.98).weight_decay(0.1);
/// assert!(lion.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lion {
    /// Base learning rate, above 0. Default 1e-4.
    pub learning_rate: f64,
    /// Share `β₁` of the moment in the step, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Decay `β₂` of the moment, in [0, 1). Default 0.99.
    pub beta2: f64,
    /// Decoupled weight decay `λ`, 0 or more. Default 0.
    pub weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Self { learning_rate: 1e-4, beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

impl Lion {
    /// Lion with a learning rate, and the defaults for the other parameters.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// Sets the share of the moment in the step, and the decay of the moment.
    #[must_use]
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self { beta1, beta2, ..self }
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
        positive("Lion::learning_rate", self.learning_rate)?;
        below_one("Lion::beta1", self.beta1)?;
        below_one("Lion::beta2", self.beta2)?;
        non_negative("Lion::weight_decay", self.weight_decay)
    }

    const ARGUMENTS: &[Argument] = &[
        learning_rate("0.0001"),
        weight_decay("0"),
        Argument::new("beta1", "0.9", "The share of the moment in the step"),
        Argument::new("beta2", "0.99", "The decay of the moment"),
    ];

    /// Lion as texts name it.
    pub(super) const ENTRIES: &[Entry<Optimizer>] =
        &[Entry::new("lion", "Lion", "Steps of one size, by the sign of a moment", |arguments| {
            Ok(Self {
                learning_rate: arguments.get("learning-rate")?,
                weight_decay: arguments.get("weight-decay")?,
                beta1: arguments.get("beta1")?,
                beta2: arguments.get("beta2")?,
            }
            .into())
        })
        .with_arguments(Self::ARGUMENTS)
        .with_source("Chen et al. 2023, arXiv:2302.06675")];
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct LionKernel<T> {
    gradient: Gradient<T>,
    /// Factor on the weights.
    keep: T,
    rate: T,
    beta1: T,
    beta2: T,
    /// `1 − β₁` and `1 − β₂`.
    rest1: T,
    rest2: T,
}

impl UpdateRule for Lion {
    type Kernel<T: Real> = LionKernel<T>;

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        [Some("moment"), None, None]
    }

    fn kernel<T: Real>(&self, step: Step) -> LionKernel<T> {
        LionKernel {
            gradient: Gradient::new(step.limits, 0.0),
            keep: T::of(1.0 - step.rate * self.weight_decay),
            rate: T::of(step.rate),
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
        [m, ..]: &mut [Tensor; MAX_MOMENTS],
    ) -> CResult<Tensor> {
        let mixed = average(self.beta1, m, g)?;
        *m = average(self.beta2, m, g)?;
        // The sign of NaN is 0 for candle.
        let direction = mixed.eq(&mixed)?.where_cond(&mixed.sign()?, &mixed)?;
        (w * (1.0 - step.rate * self.weight_decay))? - (direction * step.rate)?
    }
}

/// The sign of a number; NaN for NaN.
#[inline(always)]
fn sign<T: Real>(x: T) -> T {
    if x > T::zero() {
        T::one()
    } else if x < T::zero() {
        T::zero() - T::one()
    } else {
        x
    }
}

impl<T: Real> Kernel<T> for LionKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [m, ..]: [&mut [T]; MAX_MOMENTS]) {
        let k = *self;
        for ((w, &g), m) in w.iter_mut().zip(g).zip(m) {
            let g = k.gradient.at(*w, g);
            let direction = sign(k.beta1 * *m + k.rest1 * g);
            *m = (k.beta2 * *m + k.rest2 * g).flushed();
            *w = k.keep * *w - k.rate * direction;
        }
    }
}
