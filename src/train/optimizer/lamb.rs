//! LAMB.
use crate::{
    check::{below_one, non_negative, positive},
    kernels::float::Real,
    registry::{Argument, Entry},
    train::{
        clip::norm,
        optimizer::{
            check_epsilon,
            rule::{add_decay, average, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
            text::{beta1, beta2, epsilon, learning_rate, weight_decay},
            Optimizer,
        },
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// LAMB: Adam whose step of each variable is as large as the variable itself, times the learning rate.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// r = m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε) + λ w
/// w ← w − η · ‖w‖ / ‖r‖ · r
/// ```
///
/// at a variable's `t`-th step, with gradient `g`, learning rate `η`, weight decay `λ` and the Euclidean
/// norms over all elements of the variable. The ratio of the norms is 1 where one of them is 0, as for biases
/// that begin at 0. Without [`adapt_vectors`](Lamb::adapt_vectors) it is also 1 for every variable with one
/// dimension, as in implementations that exclude biases and gains.
///
/// Use it to train with very large batches, for which it was made (BERT in batches of 32768). Do not use it
/// for small ones: there it does not do better than [`Adam`](crate::train::Adam), and a variable that is near
/// 0 moves slowly.
///
/// Cost: two numbers for each weight, and a second pass through them.
///
/// # Errors
/// [`Lamb::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Source
/// You et al. 2020, arXiv:1904.00962.
///
/// ```
/// use candle_ensemble::train::Lamb;
///
/// let lamb = Lamb::new(2e-3).weight_decay(0.01).adapt_vectors(false);
/// assert!(lamb.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lamb {
    /// Base learning rate, above 0. Default 0.001.
    pub learning_rate: f64,
    /// Decay `β₁` of the first moment, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Decay `β₂` of the second moment, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// The `ε` that is added to the root of the second moment, above 0. Default 1e-6.
    pub epsilon: f64,
    /// Weight decay `λ`, part of the step that is scaled, 0 or more. Default 0.
    pub weight_decay: f64,
    /// Whether steps of variables with one dimension or none, such as biases, are scaled too. Default yes.
    pub adapt_vectors: bool,
}

impl Default for Lamb {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-6,
            weight_decay: 0.0,
            adapt_vectors: true,
        }
    }
}

impl Lamb {
    /// LAMB with a learning rate, and the defaults for the other parameters.
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

    /// Sets whether steps of variables with one dimension or none are scaled too.
    #[must_use]
    pub fn adapt_vectors(self, adapt_vectors: bool) -> Self {
        Self { adapt_vectors, ..self }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        positive("Lamb::learning_rate", self.learning_rate)?;
        below_one("Lamb::beta1", self.beta1)?;
        below_one("Lamb::beta2", self.beta2)?;
        check_epsilon("Lamb::epsilon", self.epsilon)?;
        non_negative("Lamb::weight_decay", self.weight_decay)
    }

    const ARGUMENTS: &[Argument] = &[
        learning_rate("0.001"),
        weight_decay("0"),
        beta1("0.9"),
        beta2("0.999"),
        epsilon("1e-6"),
        Argument::new("adapt-vectors", "true", "Whether variables with one dimension are scaled too"),
    ];

    /// LAMB as texts name it.
    pub(super) const ENTRIES: &[Entry<Optimizer>] =
        &[Entry::new("lamb", "Lamb", "Adam with steps in proportion to each variable's norm", |arguments| {
            Ok(Self {
                learning_rate: arguments.get("learning-rate")?,
                weight_decay: arguments.get("weight-decay")?,
                beta1: arguments.get("beta1")?,
                beta2: arguments.get("beta2")?,
                epsilon: arguments.get("epsilon")?,
                adapt_vectors: arguments.get("adapt-vectors")?,
            }
            .into())
        })
        .with_arguments(Self::ARGUMENTS)
        .with_source("You et al. 2020, arXiv:1904.00962")];

    fn adapts(&self, step: Step) -> bool {
        self.adapt_vectors || step.rank > 1
    }
}

/// `‖w‖ / ‖r‖`, or 1 if one of them is 0.
#[inline(always)]
fn trust(weights: f64, direction: f64) -> f64 {
    if weights > 0.0 && direction > 0.0 {
        weights / direction
    } else {
        1.0
    }
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct LambKernel<T> {
    gradient: Gradient<T>,
    rate: f64,
    /// Whether the step is scaled.
    adapts: bool,
    decay: T,
    /// `1 / (1 − β₁ᵗ)` and `1 / √(1 − β₂ᵗ)`.
    first: T,
    root: T,
    epsilon: T,
    beta1: T,
    beta2: T,
    /// `1 − β₁` and `1 − β₂`.
    rest1: T,
    rest2: T,
}

impl UpdateRule for Lamb {
    type Kernel<T: Real> = LambKernel<T>;

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        [Some("first_moment"), Some("second_moment"), None]
    }

    fn kernel<T: Real>(&self, step: Step) -> LambKernel<T> {
        LambKernel {
            gradient: Gradient::new(step.limits, 0.0),
            rate: step.rate,
            adapts: self.adapts(step),
            decay: T::of(self.weight_decay),
            first: T::of(1.0 / step.bias(self.beta1)),
            root: T::of(1.0 / step.bias(self.beta2).sqrt()),
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
        *m = average(self.beta1, m, g)?;
        *v = average(self.beta2, v, &g.sqr()?)?;
        let denominator = ((v.sqrt()? / step.bias(self.beta2).sqrt())? + self.epsilon)?;
        let adam = ((&*m / step.bias(self.beta1))? / denominator)?;
        let direction = add_decay(&adam, w, self.weight_decay)?;
        let ratio = if self.adapts(step) {
            trust(norm([w].into_iter())?, norm([&direction].into_iter())?)
        } else {
            1.0
        };
        w - (direction * (step.rate * ratio))?
    }
}

impl<T: Real> LambKernel<T> {
    /// The step of a weight before it is scaled.
    #[inline(always)]
    fn direction(self, w: T, m: T, v: T) -> T {
        self.first * m / (v.sqrt() * self.root + self.epsilon) + self.decay * w
    }

    /// The ratio of the norms of the weights and of the step, in sums whose order does not depend on the
    /// processor.
    #[inline(always)]
    fn ratio(self, w: &[T], m: &[T], v: &[T]) -> f64 {
        const LANES: usize = 8;
        let (mut weights, mut steps) = ([0.0; LANES], [0.0; LANES]);
        let parts = w.chunks(LANES).zip(m.chunks(LANES)).zip(v.chunks(LANES));
        for ((w, m), v) in parts {
            let lanes = weights.iter_mut().zip(steps.iter_mut());
            for ((((weights, steps), &w), &m), &v) in lanes.zip(w).zip(m).zip(v) {
                let r = self.direction(w, m, v).wide();
                *weights += w.wide() * w.wide();
                *steps += r * r;
            }
        }
        trust(weights.iter().sum::<f64>().sqrt(), steps.iter().sum::<f64>().sqrt())
    }
}

impl<T: Real> Kernel<T> for LambKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [m, v, _]: [&mut [T]; MAX_MOMENTS]) {
        let k = *self;
        for (((&w, &g), m), v) in w.iter().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
            let g = k.gradient.at(w, g);
            *m = (k.beta1 * *m + k.rest1 * g).flushed();
            *v = (k.beta2 * *v + k.rest2 * (g * g)).flushed();
        }
        let ratio = if k.adapts { k.ratio(w, m, v) } else { 1.0 };
        let rate = T::of(k.rate * ratio);
        for ((w, &m), &v) in w.iter_mut().zip(&*m).zip(&*v) {
            *w -= rate * k.direction(*w, m, v);
        }
    }
}
