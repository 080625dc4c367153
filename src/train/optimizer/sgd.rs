use crate::{
    check::{below_one, non_negative, positive, require},
    kernels::float::Real,
    train::optimizer::rule::{Gradient, Kernel, Step, UpdateRule, SLOTS},
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever, Martens, Dahl & Hinton
/// 2013, ICML) if wanted.
///
/// Without momentum `w ← w − η g`, with weight decay `g ← g + λ w` beforehand. With momentum see
/// [`Velocity`].
///
/// ```
/// use candle_ensemble::train::{Sgd, Velocity};
///
/// let keras = Sgd::new(0.01).with_momentum(0.9).with_velocity(Velocity::LrInside);
/// assert!(keras.check().is_ok());
/// assert!(Sgd::new(0.01).with_nesterov(true).check().is_err()); // without momentum
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sgd {
    /// Base learning rate, above 0. Default 0.01.
    pub learning_rate: f64,
    /// Momentum `μ`, in [0, 1). Default 0.
    pub momentum: f64,
    /// Nesterov's momentum? Default no.
    pub nesterov: bool,
    /// Weight decay added to the gradient, 0 or more. Default 0.
    pub weight_decay: f64,
    /// Where the learning rate enters. Default outside.
    pub velocity: Velocity,
}

/// Where the learning rate `η` enters momentum `μ`. The two are the same while the rate is; once it changes,
/// the velocity gathered so far is rescaled at once in the first form, and keeps its own rate in the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Velocity {
    /// `v ← μ v + g`, `w ← w − η v`; Nesterov `w ← w − η (μ v + g)`. So does PyTorch.
    #[default]
    LrOutside,
    /// `v ← μ v − η g`, `w ← w + v`; Nesterov `w ← w + μ v − η g`. So do Keras and Sutskever et al.
    LrInside,
}

impl Default for Sgd {
    fn default() -> Self {
        Self {
            learning_rate: 1e-2,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            velocity: Velocity::default(),
        }
    }
}

impl Sgd {
    /// Plain gradient descent with a learning rate.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// With momentum.
    #[must_use]
    pub fn with_momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// With Nesterov's momentum, or without.
    #[must_use]
    pub fn with_nesterov(self, nesterov: bool) -> Self {
        Self { nesterov, ..self }
    }

    /// With weight decay.
    #[must_use]
    pub fn with_weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// With the learning rate inside the velocity, or outside.
    #[must_use]
    pub fn with_velocity(self, velocity: Velocity) -> Self {
        Self { velocity, ..self }
    }

    /// Is every parameter in its range?
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        positive("Sgd::learning_rate", self.learning_rate)?;
        below_one("Sgd::momentum", self.momentum)?;
        let momentum = !self.nesterov || self.momentum > 0.0;
        require(momentum, "Sgd::momentum", "above 0 when Sgd::nesterov is set", self.momentum)?;
        non_negative("Sgd::weight_decay", self.weight_decay)
    }

    /// Both forms are `v ← μ v + inside · g`, `w ← w + outside · v`.
    fn rates(&self, rate: f64) -> (f64, f64) {
        match self.velocity {
            Velocity::LrOutside => (1.0, -rate),
            Velocity::LrInside => (-rate, 1.0),
        }
    }
}

/// Coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct SgdKernel<T> {
    gradient: Gradient<T>,
    momentum: T,
    nesterov: bool,
    inside: T,
    outside: T,
}

impl UpdateRule for Sgd {
    type Kernel<T: Real> = SgdKernel<T>;

    fn slots(&self) -> [Option<&'static str>; SLOTS] {
        // Two names, as one form cannot go on from the other's.
        let name = match self.velocity {
            Velocity::LrOutside => "velocity",
            Velocity::LrInside => "displacement",
        };
        [(self.momentum > 0.0).then_some(name), None, None]
    }

    fn kernel<T: Real>(&self, step: Step) -> SgdKernel<T> {
        let (inside, outside) = self.rates(step.rate);
        SgdKernel {
            gradient: Gradient::new(step.limits, self.weight_decay),
            momentum: T::of(self.momentum),
            nesterov: self.nesterov,
            inside: T::of(inside),
            outside: T::of(outside),
        }
    }

    fn tensors(&self, step: Step, w: &Tensor, g: &Tensor, [v, ..]: &mut [Tensor; SLOTS]) -> CResult<Tensor> {
        let (inside, outside) = self.rates(step.rate);
        let g = if self.weight_decay == 0.0 { g.clone() } else { (g + (w * self.weight_decay)?)? };
        let push = (g * inside)?;
        if self.momentum == 0.0 {
            return w + (push * outside)?;
        }
        *v = ((&*v * self.momentum)? + &push)?;
        let along = if self.nesterov { ((&*v * self.momentum)? + push)? } else { v.clone() };
        w + (along * outside)?
    }
}

impl<T: Real> Kernel<T> for SgdKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [v, ..]: [&mut [T]; SLOTS]) {
        let k = *self;
        if v.is_empty() {
            for (w, &g) in w.iter_mut().zip(g) {
                *w += k.outside * (k.inside * k.gradient.at(*w, g));
            }
            return;
        }
        for ((w, &g), v) in w.iter_mut().zip(g).zip(v) {
            let push = k.inside * k.gradient.at(*w, g);
            *v = (k.momentum * *v + push).flushed();
            *w += k.outside * if k.nesterov { k.momentum * *v + push } else { *v };
        }
    }
}
