//! Stochastic gradient descent.
use crate::{
    check::{below_one, non_negative, positive, require},
    kernels::float::Real,
    registry::{Argument, Arguments, Entry},
    train::optimizer::{
        rule::{add_decay, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
        text::{learning_rate, momentum, weight_decay},
        Optimizer,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent, with or without momentum.
///
/// ```text
/// w ← w − η g                                    without momentum
/// v ← μ v + g,   w ← w − η v                     with momentum μ
/// v ← μ v + g,   w ← w − η (μ v + g)             with Nesterov's momentum
/// ```
///
/// with gradient `g` and learning rate `η`. Weight decay is `g ← g + λ w` before that. [`Velocity`] selects
/// the form in which the learning rate is part of `v`.
///
/// Use it with momentum 0.9 and a schedule for networks that have been tuned for it, such as convolutional
/// networks, and for snapshot ensembles and weight averaging, which are defined for it. Use
/// [`Adam`](crate::train::Adam) where there is no time to tune the learning rate.
///
/// Cost: nothing besides the gradient; with momentum one number for each weight.
///
/// # Errors
/// [`Sgd::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Sources
/// Momentum: Polyak 1964, doi:10.1016/0041-5553(64)90137-5. Nesterov's momentum: Sutskever, Martens, Dahl and
/// Hinton 2013, ICML (PMLR 28(3):1139–1147).
///
/// ```
/// use candle_ensemble::train::{Sgd, Velocity};
///
/// let as_in_keras = Sgd::new(0.01).momentum(0.9).velocity(Velocity::LrInside);
/// assert!(as_in_keras.check().is_ok());
/// assert!(Sgd::new(0.01).nesterov(true).check().is_err()); // without momentum
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sgd {
    /// Base learning rate, above 0. Default 0.01.
    pub learning_rate: f64,
    /// Momentum `μ`, in [0, 1). Default 0.
    pub momentum: f64,
    /// Whether the momentum is Nesterov's. Default no.
    pub nesterov: bool,
    /// Weight decay `λ`, added to the gradient, 0 or more. Default 0.
    pub weight_decay: f64,
    /// Where the learning rate enters. Default [`Velocity::LrOutside`].
    pub velocity: Velocity,
}

/// Where the learning rate `η` enters the momentum.
///
/// The two forms are the same while the learning rate is constant. When it changes, the new rate applies to
/// the whole velocity at once in the first form; in the second, past gradients keep the rate that they had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Velocity {
    /// `v ← μ v + g`, `w ← w − η v`; Nesterov `w ← w − η (μ v + g)`. This is the form of PyTorch.
    #[default]
    LrOutside,
    /// `v ← μ v − η g`, `w ← w + v`; Nesterov `w ← w + μ v − η g`. This is the form of Keras and of Sutskever
    /// et al.
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
    /// Gradient descent with a learning rate, without momentum.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// Sets the momentum.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Sets whether the momentum is Nesterov's.
    #[must_use]
    pub fn nesterov(self, nesterov: bool) -> Self {
        Self { nesterov, ..self }
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Sets where the learning rate enters the momentum.
    #[must_use]
    pub fn velocity(self, velocity: Velocity) -> Self {
        Self { velocity, ..self }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        positive("Sgd::learning_rate", self.learning_rate)?;
        below_one("Sgd::momentum", self.momentum)?;
        let has_momentum = !self.nesterov || self.momentum > 0.0;
        require(has_momentum, "Sgd::momentum", "above 0 with Sgd::nesterov", self.momentum)?;
        non_negative("Sgd::weight_decay", self.weight_decay)
    }

    const RATE: Argument = Argument::new(
        "rate",
        "outside",
        "Where the learning rate enters: outside the velocity as in PyTorch, or inside as in Keras",
    );

    const ARGUMENTS: &[Argument] = &[learning_rate("0.01"), momentum("0"), weight_decay("0"), Self::RATE];

    const NESTEROV_ARGUMENTS: &[Argument] =
        &[learning_rate("0.01"), momentum("0.9"), weight_decay("0"), Self::RATE];

    /// Gradient descent without and with Nesterov's momentum, as texts name them.
    pub(super) const ENTRIES: &[Entry<Optimizer>] = &[
        Entry::new("sgd", "Sgd", "Stochastic gradient descent, with or without momentum", |arguments| {
            Ok(Self::named(arguments)?.into())
        })
        .with_arguments(Self::ARGUMENTS)
        .with_source("Polyak 1964, doi:10.1016/0041-5553(64)90137-5"),
        Entry::new("nesterov", "Sgd", "Stochastic gradient descent with Nesterov's momentum", |arguments| {
            Ok(Self { nesterov: true, ..Self::named(arguments)? }.into())
        })
        .with_arguments(Self::NESTEROV_ARGUMENTS)
        .with_source("Sutskever et al. 2013, PMLR 28(3):1139–1147"),
    ];

    fn named(arguments: &Arguments) -> Result<Self> {
        let forms = [("outside", Velocity::LrOutside), ("inside", Velocity::LrInside)];
        Ok(Self {
            learning_rate: arguments.get("learning-rate")?,
            momentum: arguments.get("momentum")?,
            weight_decay: arguments.get("weight-decay")?,
            velocity: arguments.choice("rate", &forms)?.unwrap_or_default(),
            nesterov: false,
        })
    }

    /// The factors `inside` and `outside` of both forms: `v ← μ v + inside · g`, `w ← w + outside · v`.
    fn rates(&self, rate: f64) -> (f64, f64) {
        match self.velocity {
            Velocity::LrOutside => (1.0, -rate),
            Velocity::LrInside => (-rate, 1.0),
        }
    }
}

/// The coefficients of a step.
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

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        // Two names, because neither form can continue with the moments of the other.
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

    fn update_tensors(
        &self,
        step: Step,
        w: &Tensor,
        g: &Tensor,
        [v, ..]: &mut [Tensor; MAX_MOMENTS],
    ) -> CResult<Tensor> {
        let (inside, outside) = self.rates(step.rate);
        let push = (add_decay(g, w, self.weight_decay)? * inside)?;
        if self.momentum == 0.0 {
            return w + (push * outside)?;
        }
        *v = ((&*v * self.momentum)? + &push)?;
        let direction = if self.nesterov { ((&*v * self.momentum)? + push)? } else { v.clone() };
        w + (direction * outside)?
    }
}

impl<T: Real> Kernel<T> for SgdKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [v, ..]: [&mut [T]; MAX_MOMENTS]) {
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
