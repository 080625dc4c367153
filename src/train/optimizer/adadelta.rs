//! Adadelta.
use crate::{
    check::{below_one, non_negative, positive},
    kernels::float::Real,
    registry::{Argument, Entry},
    train::optimizer::{
        check_epsilon,
        rule::{add_decay, average, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
        text::{epsilon, learning_rate, weight_decay},
        Optimizer,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Adadelta: RMSProp whose steps have the size of the steps before, so that it needs no learning rate.
///
/// ```text
/// s ← ρ s + (1 − ρ) g²
/// d ← √(a + ε) / √(s + ε) · g
/// a ← ρ a + (1 − ρ) d²
/// w ← w − η d
/// ```
///
/// with gradient `g` and a learning rate `η` that is 1 in the paper. Weight decay is `g ← g + λ w` before
/// that. PyTorch and Keras compute the same; Keras has the defaults ρ = 0.95, ε = 1e-7 and η = 0.001, with
/// which it hardly moves.
///
/// Use it to reproduce results that were obtained with it. The first steps have a size of about `√ε`, so ε is
/// in truth its learning rate, and it starts slowly. In other cases prefer [`Adam`](crate::train::Adam).
///
/// Cost: two numbers for each weight.
///
/// # Errors
/// [`Adadelta::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Source
/// Zeiler 2012, arXiv:1212.5701.
///
/// ```
/// use candle_ensemble::train::Adadelta;
///
/// let adadelta = Adadelta::new(1.0).rho(0.95);
/// assert_eq!((adadelta.learning_rate, adadelta.epsilon), (1.0, 1e-6));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Adadelta {
    /// Base learning rate, above 0. Default 1.
    pub learning_rate: f64,
    /// Decay `ρ` of both mean squares, in [0, 1). Default 0.9.
    pub rho: f64,
    /// The `ε` that is added to both mean squares, above 0. Default 1e-6.
    pub epsilon: f64,
    /// Weight decay `λ`, added to the gradient, 0 or more. Default 0.
    pub weight_decay: f64,
}

impl Default for Adadelta {
    fn default() -> Self {
        Self { learning_rate: 1.0, rho: 0.9, epsilon: 1e-6, weight_decay: 0.0 }
    }
}

impl Adadelta {
    /// Adadelta with a learning rate, and the defaults for the other parameters.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// Sets the decay of both mean squares.
    #[must_use]
    pub fn rho(self, rho: f64) -> Self {
        Self { rho, ..self }
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
        positive("Adadelta::learning_rate", self.learning_rate)?;
        below_one("Adadelta::rho", self.rho)?;
        check_epsilon("Adadelta::epsilon", self.epsilon)?;
        non_negative("Adadelta::weight_decay", self.weight_decay)
    }

    const ARGUMENTS: &[Argument] = &[
        learning_rate("1"),
        Argument::new("rho", "0.9", "The decay of both mean squares"),
        epsilon("1e-6"),
        weight_decay("0"),
    ];

    /// Adadelta as texts name it.
    pub(super) const ENTRIES: &[Entry<Optimizer>] =
        &[Entry::new("adadelta", "Adadelta", "Steps of the size of the steps before", |arguments| {
            Ok(Self {
                learning_rate: arguments.get("learning-rate")?,
                rho: arguments.get("rho")?,
                epsilon: arguments.get("epsilon")?,
                weight_decay: arguments.get("weight-decay")?,
            }
            .into())
        })
        .with_arguments(Self::ARGUMENTS)
        .with_source("Zeiler 2012, arXiv:1212.5701")];
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct AdadeltaKernel<T> {
    gradient: Gradient<T>,
    rate: T,
    rho: T,
    /// `1 − ρ`.
    rest: T,
    epsilon: T,
}

impl UpdateRule for Adadelta {
    type Kernel<T: Real> = AdadeltaKernel<T>;

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        [Some("mean_square"), Some("mean_square_step"), None]
    }

    fn kernel<T: Real>(&self, step: Step) -> AdadeltaKernel<T> {
        AdadeltaKernel {
            gradient: Gradient::new(step.limits, self.weight_decay),
            rate: T::of(step.rate),
            rho: T::of(self.rho),
            rest: T::of(1.0 - self.rho),
            epsilon: T::of(self.epsilon),
        }
    }

    fn update_tensors(
        &self,
        step: Step,
        w: &Tensor,
        g: &Tensor,
        [s, a, _]: &mut [Tensor; MAX_MOMENTS],
    ) -> CResult<Tensor> {
        let root = |square: &Tensor| (square + self.epsilon)?.sqrt();
        let g = add_decay(g, w, self.weight_decay)?;
        *s = average(self.rho, s, &g.sqr()?)?;
        let d = ((root(a)? / root(s)?)? * g)?;
        *a = average(self.rho, a, &d.sqr()?)?;
        w - (d * step.rate)?
    }
}

impl<T: Real> Kernel<T> for AdadeltaKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [s, a, _]: [&mut [T]; MAX_MOMENTS]) {
        let k = *self;
        for (((w, &g), s), a) in w.iter_mut().zip(g).zip(s).zip(a) {
            let g = k.gradient.at(*w, g);
            *s = (k.rho * *s + k.rest * (g * g)).flushed();
            let d = (*a + k.epsilon).sqrt() / (*s + k.epsilon).sqrt() * g;
            *a = (k.rho * *a + k.rest * (d * d)).flushed();
            *w -= k.rate * d;
        }
    }
}
