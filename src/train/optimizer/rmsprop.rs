//! RMSProp.
use crate::{
    check::{below_one, non_negative, positive},
    kernels::float::Real,
    registry::{Argument, Entry},
    train::optimizer::{
        check_epsilon,
        rule::{add_decay, average, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
        text::{epsilon, learning_rate, momentum, weight_decay},
        Optimizer,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// RMSProp: divides the gradient by a running root mean square of its size, in the form of PyTorch.
///
/// ```text
/// s ← α s + (1 − α) g²,   d ← g / (√s + ε),   w ← w − η d
/// a ← α a + (1 − α) g,    with s − a² in place of s under the root      centered
/// b ← μ b + d,            with w ← w − η b                             with momentum μ
/// ```
///
/// with gradient `g` and learning rate `η`. Weight decay is `g ← g + λ w` before that.
///
/// TensorFlow and Keras add ε below the root, `√(s + ε)`: [`epsilon_in_root`](RmsProp::epsilon_in_root). With
/// the same ε that is a much larger floor, as `√ε` is added to a small root. Their defaults are α = 0.9, ε =
/// 1e-7 and a learning rate of 0.001. With momentum they multiply by `η` before they add to `b`, which makes
/// no difference while the rate is constant.
///
/// Use it to reproduce results that were obtained with it, and for recurrent networks and reinforcement
/// learning, where it is common. In other cases prefer [`Adam`](crate::train::Adam), which adds momentum and
/// bias correction.
///
/// Cost: one number for each weight; one more if centered, and one more with momentum.
///
/// # Errors
/// [`RmsProp::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Sources
/// Tieleman and Hinton 2012, Coursera lecture 6.5. Centered: Graves 2013, arXiv:1308.0850.
///
/// ```
/// use candle_ensemble::train::RmsProp;
///
/// let rmsprop = RmsProp::new(1e-3).momentum(0.9).centered(true);
/// assert!(rmsprop.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RmsProp {
    /// Base learning rate, above 0. Default 0.01.
    pub learning_rate: f64,
    /// Decay `α` of the mean square, in [0, 1). Default 0.99.
    pub alpha: f64,
    /// The `ε` that is added to the root, or below it, above 0. Default 1e-8.
    pub epsilon: f64,
    /// Momentum `μ`, in [0, 1). Default 0.
    pub momentum: f64,
    /// Whether the gradient is divided by its standard deviation rather than by its root mean square. Default
    /// no.
    pub centered: bool,
    /// Weight decay `λ`, added to the gradient, 0 or more. Default 0.
    pub weight_decay: f64,
    /// Whether `ε` is added below the root, as in TensorFlow and Keras. Default no.
    #[serde(default)]
    pub epsilon_in_root: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self {
            learning_rate: 1e-2,
            alpha: 0.99,
            epsilon: 1e-8,
            momentum: 0.0,
            centered: false,
            weight_decay: 0.0,
            epsilon_in_root: false,
        }
    }
}

impl RmsProp {
    /// RMSProp with a learning rate, and the defaults for the other parameters.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// Sets the decay of the mean square.
    #[must_use]
    pub fn alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// Sets `epsilon`.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// Sets the momentum.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Sets whether the gradient is divided by its standard deviation.
    #[must_use]
    pub fn centered(self, centered: bool) -> Self {
        Self { centered, ..self }
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Sets whether `ε` is added below the root, as in TensorFlow and Keras.
    #[must_use]
    pub fn epsilon_in_root(self, epsilon_in_root: bool) -> Self {
        Self { epsilon_in_root, ..self }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        positive("RmsProp::learning_rate", self.learning_rate)?;
        below_one("RmsProp::alpha", self.alpha)?;
        check_epsilon("RmsProp::epsilon", self.epsilon)?;
        below_one("RmsProp::momentum", self.momentum)?;
        non_negative("RmsProp::weight_decay", self.weight_decay)
    }

    const ARGUMENTS: &[Argument] = &[
        learning_rate("0.01"),
        Argument::new("alpha", "0.99", "The decay of the mean square"),
        epsilon("1e-8"),
        momentum("0"),
        Argument::new("centered", "false", "Whether the standard deviation divides the gradient"),
        weight_decay("0"),
        Argument::new("epsilon-in-root", "false", "Whether epsilon is added below the root, as in Keras"),
    ];

    /// RMSProp as texts name it.
    pub(super) const ENTRIES: &[Entry<Optimizer>] = &[Entry::new(
        "rmsprop",
        "RmsProp",
        "The gradient over a running root mean square of it",
        |arguments| {
            Ok(Self {
                learning_rate: arguments.get("learning-rate")?,
                alpha: arguments.get("alpha")?,
                epsilon: arguments.get("epsilon")?,
                momentum: arguments.get("momentum")?,
                centered: arguments.get("centered")?,
                weight_decay: arguments.get("weight-decay")?,
                epsilon_in_root: arguments.get("epsilon-in-root")?,
            }
            .into())
        },
    )
    .with_arguments(Self::ARGUMENTS)
    .with_source("Tieleman and Hinton 2012, Coursera lecture 6.5")];

    /// `ε` below the root, and `ε` added to the root: one of them is 0.
    fn epsilons(&self) -> (f64, f64) {
        if self.epsilon_in_root {
            (self.epsilon, 0.0)
        } else {
            (0.0, self.epsilon)
        }
    }
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct RmsPropKernel<T> {
    gradient: Gradient<T>,
    rate: T,
    alpha: T,
    /// `1 − α`.
    rest: T,
    /// `ε` below the root, and `ε` added to it.
    inner: T,
    outer: T,
    momentum: T,
}

impl UpdateRule for RmsProp {
    type Kernel<T: Real> = RmsPropKernel<T>;

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        let momentum = (self.momentum > 0.0).then_some("momentum");
        [Some("mean_square"), self.centered.then_some("mean"), momentum]
    }

    fn kernel<T: Real>(&self, step: Step) -> RmsPropKernel<T> {
        let (inner, outer) = self.epsilons();
        RmsPropKernel {
            gradient: Gradient::new(step.limits, self.weight_decay),
            rate: T::of(step.rate),
            alpha: T::of(self.alpha),
            rest: T::of(1.0 - self.alpha),
            inner: T::of(inner),
            outer: T::of(outer),
            momentum: T::of(self.momentum),
        }
    }

    fn update_tensors(
        &self,
        step: Step,
        w: &Tensor,
        g: &Tensor,
        [s, a, b]: &mut [Tensor; MAX_MOMENTS],
    ) -> CResult<Tensor> {
        let g = add_decay(g, w, self.weight_decay)?;
        let (inner, outer) = self.epsilons();
        *s = average(self.alpha, s, &g.sqr()?)?;
        let variance = if self.centered {
            *a = average(self.alpha, a, &g)?;
            (&*s - a.sqr()?)?.relu()?
        } else {
            s.clone()
        };
        let mut direction = (g / ((variance + inner)?.sqrt()? + outer)?)?;
        if self.momentum > 0.0 {
            *b = ((&*b * self.momentum)? + direction)?;
            direction = b.clone();
        }
        w - (direction * step.rate)?
    }
}

impl<T: Real> RmsPropKernel<T> {
    #[inline(always)]
    fn run<const CENTERED: bool, const MOMENTUM: bool>(
        self,
        w: &mut [T],
        g: &[T],
        moments: [&mut [T]; MAX_MOMENTS],
    ) {
        let [s, a, b] = moments;
        let n = w.len();
        // Slices of the same length let the compiler remove the bounds checks.
        let (g, s) = (&g[..n], &mut s[..n]);
        let a = if CENTERED { &mut a[..n] } else { a };
        let b = if MOMENTUM { &mut b[..n] } else { b };
        for i in 0..n {
            let g = self.gradient.at(w[i], g[i]);
            s[i] = (self.alpha * s[i] + self.rest * (g * g)).flushed();
            let mut variance = s[i];
            if CENTERED {
                a[i] = (self.alpha * a[i] + self.rest * g).flushed();
                variance -= a[i] * a[i];
                // Rounding can make a variance of 0 negative.
                if variance < T::zero() {
                    variance = T::zero();
                }
            }
            let mut direction = g / ((variance + self.inner).sqrt() + self.outer);
            if MOMENTUM {
                b[i] = (self.momentum * b[i] + direction).flushed();
                direction = b[i];
            }
            w[i] -= self.rate * direction;
        }
    }
}

impl<T: Real> Kernel<T> for RmsPropKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], moments: [&mut [T]; MAX_MOMENTS]) {
        match (moments[1].is_empty(), moments[2].is_empty()) {
            (true, true) => self.run::<false, false>(w, g, moments),
            (true, false) => self.run::<false, true>(w, g, moments),
            (false, true) => self.run::<true, false>(w, g, moments),
            (false, false) => self.run::<true, true>(w, g, moments),
        }
    }
}
