//! NAdam.
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

/// NAdam: Adam with Nesterov's momentum, which uses the moment that the next step will have.
///
/// ```text
/// μₜ = β₁ (1 − ½ · 0.96^(ψ t))
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// d = μₜ₊₁ m / (1 − μ₁ ⋯ μₜ₊₁) + (1 − μₜ) g / (1 − μ₁ ⋯ μₜ)
/// w ← w − η · d / (√(v / (1 − β₂ᵗ)) + ε)
/// ```
///
/// at a variable's `t`-th step, with gradient `g` and learning rate `η`. Weight decay `λ` is `g ← g + λ w`
/// before that, or, decoupled, `w ← (1 − η λ) w`. This is the form of PyTorch. Keras has ψ = 1, so that the
/// momentum reaches `β₁` within some hundred steps rather than some ten thousand.
///
/// Use it like [`Adam`](crate::train::Adam), in place of which it sometimes converges in fewer steps. It
/// seldom changes the accuracy in the end.
///
/// Cost: two numbers for each weight.
///
/// # Errors
/// [`NAdam::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Source
/// Dozat 2016, "Incorporating Nesterov momentum into Adam", ICLR workshop.
///
/// ```
/// use candle_ensemble::train::NAdam;
///
/// let as_in_keras = NAdam::new(1e-3).momentum_decay(1.0).epsilon(1e-7);
/// assert!(as_in_keras.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NAdam {
    /// Base learning rate, above 0. Default 0.002.
    pub learning_rate: f64,
    /// Decay `β₁` of the first moment, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// Decay `β₂` of the second moment, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// The `ε` that is added to the root of the second moment, above 0. Default 1e-8.
    pub epsilon: f64,
    /// The `ψ` with which the momentum rises to `β₁`, 0 or more. Default 0.004.
    pub momentum_decay: f64,
    /// Weight decay `λ`, 0 or more. Default 0.
    pub weight_decay: f64,
    /// Whether weight decay acts on the weights directly rather than through the gradient. Default no.
    pub decoupled: bool,
}

impl Default for NAdam {
    fn default() -> Self {
        Self {
            learning_rate: 2e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            momentum_decay: 4e-3,
            weight_decay: 0.0,
            decoupled: false,
        }
    }
}

impl NAdam {
    /// NAdam with a learning rate, and the defaults for the other parameters.
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

    /// Sets how fast the momentum rises to `β₁`.
    #[must_use]
    pub fn momentum_decay(self, momentum_decay: f64) -> Self {
        Self { momentum_decay, ..self }
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
        positive("NAdam::learning_rate", self.learning_rate)?;
        below_one("NAdam::beta1", self.beta1)?;
        below_one("NAdam::beta2", self.beta2)?;
        check_epsilon("NAdam::epsilon", self.epsilon)?;
        non_negative("NAdam::momentum_decay", self.momentum_decay)?;
        non_negative("NAdam::weight_decay", self.weight_decay)
    }

    const ARGUMENTS: &[Argument] = &[
        learning_rate("0.002"),
        beta1("0.9"),
        beta2("0.999"),
        epsilon("1e-8"),
        weight_decay("0"),
        Argument::new("momentum-decay", "0.004", "How fast the momentum rises to beta1; 1 in Keras"),
        DECOUPLED,
    ];

    /// NAdam as texts name it.
    pub(super) const ENTRIES: &[Entry<Optimizer>] =
        &[Entry::new("nadam", "NAdam", "Adam with Nesterov's momentum", |arguments| {
            Ok(Self {
                learning_rate: arguments.get("learning-rate")?,
                beta1: arguments.get("beta1")?,
                beta2: arguments.get("beta2")?,
                epsilon: arguments.get("epsilon")?,
                weight_decay: arguments.get("weight-decay")?,
                momentum_decay: arguments.get("momentum-decay")?,
                decoupled: arguments.get("decoupled")?,
            }
            .into())
        })
        .with_arguments(Self::ARGUMENTS)
        .with_source("Dozat 2016, ICLR workshop")];

    /// The factors of the gradient and of the first moment, and that of the root of the second.
    fn coefficients(&self, step: Step) -> (f64, f64, f64) {
        let fall = 0.96f64.powf(self.momentum_decay);
        let momentum = |count| self.beta1 * (1.0 - 0.5 * power(fall, count));
        let product = self.momentum_product(fall, step.count);
        let (now, next) = (momentum(step.count), momentum(step.count.saturating_add(1)));
        let of_gradient = step.rate * (1.0 - now) / (1.0 - product);
        (of_gradient, step.rate * next / (1.0 - product * next), 1.0 / step.bias(self.beta2).sqrt())
    }

    /// `μ₁ ⋯ μₜ`, from the count of steps alone, so that nothing has to be saved.
    fn momentum_product(&self, fall: f64, count: u64) -> f64 {
        // No factor is above β₁. One minus a product below 2⁻⁵⁴ rounds to one.
        if power(self.beta1, count) < f64::EPSILON / 4.0 {
            return 0.0;
        }
        let (mut product, mut fallen) = (1.0, 1.0);
        for _ in 0..count {
            fallen *= fall;
            product *= self.beta1 * (1.0 - 0.5 * fallen);
        }
        product
    }
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct NAdamKernel<T> {
    gradient: Gradient<T>,
    /// Factor on the weights.
    keep: T,
    of_gradient: T,
    of_moment: T,
    /// Factor on the root of the second moment.
    root: T,
    epsilon: T,
    beta1: T,
    beta2: T,
    /// `1 − β₁` and `1 − β₂`.
    rest1: T,
    rest2: T,
}

impl UpdateRule for NAdam {
    type Kernel<T: Real> = NAdamKernel<T>;

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        [Some("first_moment"), Some("second_moment"), None]
    }

    fn kernel<T: Real>(&self, step: Step) -> NAdamKernel<T> {
        let (added, keep) = decays(self.weight_decay, self.decoupled, step.rate);
        let (of_gradient, of_moment, root) = self.coefficients(step);
        NAdamKernel {
            gradient: Gradient::new(step.limits, added),
            keep: T::of(keep),
            of_gradient: T::of(of_gradient),
            of_moment: T::of(of_moment),
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
        let (added, keep) = decays(self.weight_decay, self.decoupled, step.rate);
        let (of_gradient, of_moment, root) = self.coefficients(step);
        let g = add_decay(g, w, added)?;
        *m = average(self.beta1, m, &g)?;
        *v = average(self.beta2, v, &g.sqr()?)?;
        let direction = ((g * of_gradient)? + (&*m * of_moment)?)?;
        (w * keep)? - (direction / ((v.sqrt()? * root)? + self.epsilon)?)?
    }
}

impl<T: Real> Kernel<T> for NAdamKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [m, v, _]: [&mut [T]; MAX_MOMENTS]) {
        let k = *self;
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = k.gradient.at(*w, g);
            *m = (k.beta1 * *m + k.rest1 * g).flushed();
            *v = (k.beta2 * *v + k.rest2 * (g * g)).flushed();
            let direction = k.of_gradient * g + k.of_moment * *m;
            *w = k.keep * *w - direction / (v.sqrt() * k.root + k.epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_of_the_momenta_ends_where_it_no_longer_counts() {
        for (beta1, momentum_decay) in [(0.9, 4e-3), (0.5, 1.0), (0.99, 0.0), (0.0, 1.0)] {
            let nadam = NAdam { beta1, momentum_decay, ..NAdam::default() };
            let fall = 0.96f64.powf(momentum_decay);
            let mut product = 1.0;
            for count in 1..2000u64 {
                product *= beta1 * (1.0 - 0.5 * 0.96f64.powf(momentum_decay * count as f64));
                let got = nadam.momentum_product(fall, count);
                assert!((got - product).abs() <= 1e-15, "{count}: {got} against {product}");
                assert!(count > 20 || (got - product).abs() <= 1e-13 * product);
                assert!(power(beta1, count) > 1e-17 || got == 0.0);
            }
        }
    }
}
