use crate::{
    check::{below_one, non_negative, positive},
    kernels::float::Real,
    train::optimizer::{
        check_epsilon,
        rule::{Gradient, Kernel, Step, UpdateRule, SLOTS},
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// RMSProp (Tieleman & Hinton 2012, Coursera lecture 6.5), in the form PyTorch has given it.
///
/// With gradient `g`, rate `η` and weight decay `g ← g + λ w` beforehand: `s ← α s + (1 − α) g²`, `d ← g /
/// (√s + ε)`, `w ← w − η d`. Centered (Graves 2013, arXiv:1308.0850) there is also `a ← α a + (1 − α) g`, and
/// `s − a²` stands under the root. With momentum `μ`: `b ← μ b + d`, `w ← w − η b`.
///
/// ```
/// use candle_ensemble::train::RmsProp;
///
/// let rmsprop = RmsProp::new(1e-3).with_momentum(0.9).with_centered(true);
/// assert!(rmsprop.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RmsProp {
    /// Base learning rate, above 0. Default 0.01.
    pub learning_rate: f64,
    /// Decay of the mean square, in [0, 1). Default 0.99.
    pub alpha: f64,
    /// Added to the root, above 0. Default 1e-8.
    pub epsilon: f64,
    /// Momentum, in [0, 1). Default 0.
    pub momentum: f64,
    /// Divide by the standard deviation rather than by the root mean square? Default no.
    pub centered: bool,
    /// Weight decay added to the gradient, 0 or more. Default 0.
    pub weight_decay: f64,
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
        }
    }
}

impl RmsProp {
    /// RMSProp with a learning rate and the usual other parameters.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// With another decay of the mean square.
    #[must_use]
    pub fn with_alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// With another `epsilon`.
    #[must_use]
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// With momentum.
    #[must_use]
    pub fn with_momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Centered, or not.
    #[must_use]
    pub fn with_centered(self, centered: bool) -> Self {
        Self { centered, ..self }
    }

    /// With weight decay.
    #[must_use]
    pub fn with_weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Is every parameter in its range?
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
}

/// Coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct RmsPropKernel<T> {
    gradient: Gradient<T>,
    rate: T,
    alpha: T,
    rest: T,
    epsilon: T,
    momentum: T,
}

impl UpdateRule for RmsProp {
    type Kernel<T: Real> = RmsPropKernel<T>;

    fn slots(&self) -> [Option<&'static str>; SLOTS] {
        let momentum = (self.momentum > 0.0).then_some("momentum");
        [Some("mean_square"), self.centered.then_some("mean"), momentum]
    }

    fn kernel<T: Real>(&self, step: Step) -> RmsPropKernel<T> {
        RmsPropKernel {
            gradient: Gradient::new(step.limits, self.weight_decay),
            rate: T::of(step.rate),
            alpha: T::of(self.alpha),
            rest: T::of(1.0 - self.alpha),
            epsilon: T::of(self.epsilon),
            momentum: T::of(self.momentum),
        }
    }

    fn tensors(
        &self,
        step: Step,
        w: &Tensor,
        g: &Tensor,
        [s, a, b]: &mut [Tensor; SLOTS],
    ) -> CResult<Tensor> {
        let g = if self.weight_decay == 0.0 { g.clone() } else { (g + (w * self.weight_decay)?)? };
        let average = |old: &Tensor, new: &Tensor| (old * self.alpha)? + (new * (1.0 - self.alpha))?;
        *s = average(s, &g.sqr()?)?;
        let spread = if self.centered {
            *a = average(a, &g)?;
            (&*s - a.sqr()?)?.relu()?
        } else {
            s.clone()
        };
        let mut along = (g / (spread.sqrt()? + self.epsilon)?)?;
        if self.momentum > 0.0 {
            *b = ((&*b * self.momentum)? + along)?;
            along = b.clone();
        }
        w - (along * step.rate)?
    }
}

impl<T: Real> RmsPropKernel<T> {
    #[inline(always)]
    fn run<const CENTERED: bool, const MOMENTUM: bool>(
        self,
        w: &mut [T],
        g: &[T],
        moments: [&mut [T]; SLOTS],
    ) {
        let [s, a, b] = moments;
        let n = w.len();
        // Cut to one length, so that the loop needs no checks.
        let (g, s) = (&g[..n], &mut s[..n]);
        let a = if CENTERED { &mut a[..n] } else { a };
        let b = if MOMENTUM { &mut b[..n] } else { b };
        for i in 0..n {
            let g = self.gradient.at(w[i], g[i]);
            s[i] = (self.alpha * s[i] + self.rest * (g * g)).flushed();
            let mut spread = s[i];
            if CENTERED {
                a[i] = (self.alpha * a[i] + self.rest * g).flushed();
                spread -= a[i] * a[i];
                // Rounding may take a variance of nothing below nothing.
                if spread < T::zero() {
                    spread = T::zero();
                }
            }
            let mut along = g / (spread.sqrt() + self.epsilon);
            if MOMENTUM {
                b[i] = (self.momentum * b[i] + along).flushed();
                along = b[i];
            }
            w[i] -= self.rate * along;
        }
    }
}

impl<T: Real> Kernel<T> for RmsPropKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], moments: [&mut [T]; SLOTS]) {
        match (moments[1].is_empty(), moments[2].is_empty()) {
            (true, true) => self.run::<false, false>(w, g, moments),
            (true, false) => self.run::<false, true>(w, g, moments),
            (false, true) => self.run::<true, false>(w, g, moments),
            (false, false) => self.run::<true, true>(w, g, moments),
        }
    }
}
