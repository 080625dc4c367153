//! Adam, AdamW and AMSGrad.
use crate::{
    check::{below_one, non_negative, positive},
    kernels::float::Real,
    registry::{Argument, Arguments, Entry},
    train::optimizer::{
        check_epsilon,
        rule::{add_decay, average, decays, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
        text::{beta1, beta2, epsilon, learning_rate, weight_decay},
        Optimizer,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Adam: steps of about the size of the learning rate, whatever the size of the gradient. With
/// [`decoupled`](Adam::decoupled) weight decay it is AdamW, and with [`amsgrad`](Adam::amsgrad) it is
/// AMSGrad.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// w ← w − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)
/// ```
///
/// at a variable's `t`-th step, with gradient `g` and learning rate `η`. Weight decay `λ` is `g ← g + λ w`
/// before that, or, decoupled, `w ← (1 − η λ) w`. AMSGrad has the largest `v` so far in place of the last.
///
/// This is the form of PyTorch. Keras and TensorFlow add ε before they correct the bias, and their default of
/// it is 1e-7: [`epsilon_hat`](Adam::epsilon_hat). The forms differ by a factor `√(1 − β₂ᵗ)` of ε, so only
/// while `√v` is not much larger than ε, and in the first steps.
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
/// Kingma and Ba 2015, arXiv:1412.6980, whose section 2 has the other place of ε. AdamW: Loshchilov and
/// Hutter 2019, arXiv:1711.05101. AMSGrad: Reddi, Kale and Kumar 2018, arXiv:1904.09237.
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
    /// Whether the largest second moment so far divides the first (AMSGrad). Default no.
    #[serde(default)]
    pub amsgrad: bool,
    /// Whether `ε` is added to the root before its bias is corrected, as in Keras. Default no.
    #[serde(default)]
    pub epsilon_hat: bool,
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
            amsgrad: false,
            epsilon_hat: false,
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

    /// Sets whether the largest second moment so far divides the first (AMSGrad).
    #[must_use]
    pub fn amsgrad(self, amsgrad: bool) -> Self {
        Self { amsgrad, ..self }
    }

    /// Sets whether `ε` is added to the root of the second moment before the bias is corrected:
    ///
    /// ```text
    /// w ← w − η · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)
    /// ```
    ///
    /// Keras computes Adam in this form, with ε = 1e-7, and the paper describes it with ε̂ ("epsilon hat").
    #[must_use]
    pub fn epsilon_hat(self, epsilon_hat: bool) -> Self {
        Self { epsilon_hat, ..self }
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

    const ARGUMENTS: &[Argument] = &[
        learning_rate("0.001"),
        beta1("0.9"),
        beta2("0.999"),
        epsilon("1e-8"),
        weight_decay("0"),
        Argument::new(
            "epsilon-hat",
            "false",
            "Whether epsilon is added before the bias correction, as in Keras",
        ),
    ];

    const ADAMW_ARGUMENTS: &[Argument] = &[
        learning_rate("0.001"),
        weight_decay("0.01"),
        beta1("0.9"),
        beta2("0.999"),
        epsilon("1e-8"),
        Argument::new("amsgrad", "false", "Whether the largest second moment so far counts"),
    ];

    /// Adam, AdamW and AMSGrad as texts name them.
    pub(super) const ENTRIES: &[Entry<Optimizer>] = &[
        Entry::new("adam", "Adam", "Steps of about the size of the learning rate", |arguments| {
            Ok(Self { epsilon_hat: arguments.get("epsilon-hat")?, ..Self::named(arguments)? }.into())
        })
        .with_arguments(Self::ARGUMENTS)
        .with_source("Kingma and Ba 2015, arXiv:1412.6980"),
        Entry::new("adamw", "Adam", "Adam with decoupled weight decay", |arguments| {
            let amsgrad = arguments.get("amsgrad")?;
            Ok(Self { amsgrad, decoupled: true, ..Self::named(arguments)? }.into())
        })
        .with_arguments(Self::ADAMW_ARGUMENTS)
        .with_source("Loshchilov and Hutter 2019, arXiv:1711.05101"),
        Entry::new("amsgrad", "Adam", "Adam with the largest second moment so far", |arguments| {
            let epsilon_hat = arguments.get("epsilon-hat")?;
            Ok(Self { epsilon_hat, amsgrad: true, ..Self::named(arguments)? }.into())
        })
        .with_arguments(Self::ARGUMENTS)
        .with_source("Reddi, Kale and Kumar 2018, arXiv:1904.09237"),
    ];

    fn named(arguments: &Arguments) -> Result<Self> {
        Ok(Self {
            learning_rate: arguments.get("learning-rate")?,
            beta1: arguments.get("beta1")?,
            beta2: arguments.get("beta2")?,
            epsilon: arguments.get("epsilon")?,
            weight_decay: arguments.get("weight-decay")?,
            ..Self::default()
        })
    }

    /// The factors `rate` of the first moment and `root` of the root of the second: `w ← w − rate · m / (root
    /// · √v + ε)`.
    fn corrections(&self, step: Step) -> (f64, f64) {
        let (rate, root) = (step.rate / step.bias(self.beta1), step.bias(self.beta2).sqrt());
        if self.epsilon_hat {
            (rate * root, 1.0)
        } else {
            (rate, 1.0 / root)
        }
    }
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct AdamKernel<T> {
    gradient: Gradient<T>,
    /// Factor on the weights.
    keep: T,
    rate: T,
    /// Factor on the root of the second moment.
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
        let largest = self.amsgrad.then_some("largest_second_moment");
        [Some("first_moment"), Some("second_moment"), largest]
    }

    fn kernel<T: Real>(&self, step: Step) -> AdamKernel<T> {
        let (added, keep) = decays(self.weight_decay, self.decoupled, step.rate);
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
        [m, v, largest]: &mut [Tensor; MAX_MOMENTS],
    ) -> CResult<Tensor> {
        let (added, keep) = decays(self.weight_decay, self.decoupled, step.rate);
        let (rate, root) = self.corrections(step);
        let g = add_decay(g, w, added)?;
        *m = average(self.beta1, m, &g)?;
        *v = average(self.beta2, v, &g.sqr()?)?;
        let second = if self.amsgrad {
            *largest = largest.maximum(&*v)?;
            largest
        } else {
            v
        };
        let denominator = ((second.sqrt()? * root)? + self.epsilon)?;
        (w * keep)? - ((&*m * rate)? / denominator)?
    }
}

impl<T: Real> AdamKernel<T> {
    #[inline(always)]
    fn run<const AMSGRAD: bool>(self, w: &mut [T], g: &[T], [m, v, largest]: [&mut [T]; MAX_MOMENTS]) {
        let n = w.len();
        // Slices of the same length let the compiler remove the bounds checks.
        let (g, m, v) = (&g[..n], &mut m[..n], &mut v[..n]);
        let largest = if AMSGRAD { &mut largest[..n] } else { largest };
        for i in 0..n {
            let g = self.gradient.at(w[i], g[i]);
            m[i] = (self.beta1 * m[i] + self.rest1 * g).flushed();
            v[i] = (self.beta2 * v[i] + self.rest2 * (g * g)).flushed();
            let mut second = v[i];
            if AMSGRAD {
                if second > largest[i] {
                    largest[i] = second;
                }
                second = largest[i];
            }
            w[i] = self.keep * w[i] - self.rate * m[i] / (second.sqrt() * self.root + self.epsilon);
        }
    }
}

impl<T: Real> Kernel<T> for AdamKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], moments: [&mut [T]; MAX_MOMENTS]) {
        if moments[2].is_empty() {
            self.run::<false>(w, g, moments);
        } else {
            self.run::<true>(w, g, moments);
        }
    }
}
