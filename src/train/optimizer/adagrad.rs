//! Adagrad.
use crate::{
    check::{non_negative, positive},
    kernels::float::Real,
    registry::{Argument, Entry},
    train::optimizer::{
        check_epsilon,
        rule::{add_decay, Gradient, Kernel, Step, UpdateRule, MAX_MOMENTS},
        text::{epsilon, learning_rate, weight_decay},
        Optimizer,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Adagrad: divides the gradient by the root of the sum of all its squares so far.
///
/// ```text
/// s ← s + g²
/// w ← w − η / (1 + (t − 1) δ) · g / (√s + ε)
/// ```
///
/// at a variable's `t`-th step, with gradient `g` and learning rate `η`; `s` begins with the initial
/// accumulator. Weight decay is `g ← g + λ w` before that. This is the form of PyTorch. Keras adds ε below
/// the root, and `s` begins with 0.1 there.
///
/// Use it for sparse features, such as embeddings of rare words: a weight whose gradient is seldom other than
/// 0 keeps a large rate. Do not use it for long trainings of deep networks: the rate only ever falls, and the
/// training stops before it is done. There prefer [`RmsProp`](crate::train::RmsProp) or
/// [`Adam`](crate::train::Adam).
///
/// Cost: one number for each weight.
///
/// # Errors
/// [`Adagrad::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Source
/// Duchi, Hazan and Singer 2011, Journal of Machine Learning Research 12:2121–2159.
///
/// ```
/// use candle_ensemble::train::Adagrad;
///
/// let as_in_keras = Adagrad::new(1e-3).initial_accumulator(0.1).epsilon(1e-7);
/// assert!(as_in_keras.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Adagrad {
    /// Base learning rate, above 0. Default 0.01.
    pub learning_rate: f64,
    /// The `δ` by which the learning rate falls with the steps, 0 or more. Default 0.
    pub learning_rate_decay: f64,
    /// The value with which the sum of squares begins, 0 or more. Default 0.
    pub initial_accumulator: f64,
    /// The `ε` that is added to the root, above 0. Default 1e-10.
    pub epsilon: f64,
    /// Weight decay `λ`, added to the gradient, 0 or more. Default 0.
    pub weight_decay: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self {
            learning_rate: 1e-2,
            learning_rate_decay: 0.0,
            initial_accumulator: 0.0,
            epsilon: 1e-10,
            weight_decay: 0.0,
        }
    }
}

impl Adagrad {
    /// Adagrad with a learning rate, and the defaults for the other parameters.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, ..Self::default() }
    }

    /// Sets by how much the learning rate falls with the steps.
    #[must_use]
    pub fn learning_rate_decay(self, learning_rate_decay: f64) -> Self {
        Self { learning_rate_decay, ..self }
    }

    /// Sets the value with which the sum of squares begins.
    #[must_use]
    pub fn initial_accumulator(self, initial_accumulator: f64) -> Self {
        Self { initial_accumulator, ..self }
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
        positive("Adagrad::learning_rate", self.learning_rate)?;
        non_negative("Adagrad::learning_rate_decay", self.learning_rate_decay)?;
        non_negative("Adagrad::initial_accumulator", self.initial_accumulator)?;
        check_epsilon("Adagrad::epsilon", self.epsilon)?;
        non_negative("Adagrad::weight_decay", self.weight_decay)
    }

    const ARGUMENTS: &[Argument] = &[
        learning_rate("0.01"),
        epsilon("1e-10"),
        Argument::new("initial-accumulator", "0", "The value with which the sum of squares begins"),
        Argument::new("learning-rate-decay", "0", "By how much the learning rate falls with the steps"),
        weight_decay("0"),
    ];

    /// Adagrad as texts name it.
    pub(super) const ENTRIES: &[Entry<Optimizer>] = &[Entry::new(
        "adagrad",
        "Adagrad",
        "The gradient over the root of the sum of its squares",
        |arguments| {
            Ok(Self {
                learning_rate: arguments.get("learning-rate")?,
                epsilon: arguments.get("epsilon")?,
                initial_accumulator: arguments.get("initial-accumulator")?,
                learning_rate_decay: arguments.get("learning-rate-decay")?,
                weight_decay: arguments.get("weight-decay")?,
            }
            .into())
        },
    )
    .with_arguments(Self::ARGUMENTS)
    .with_source("Duchi, Hazan and Singer 2011, JMLR 12:2121–2159")];

    fn rate(&self, step: Step) -> f64 {
        step.rate / (1.0 + step.count.saturating_sub(1) as f64 * self.learning_rate_decay)
    }
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(crate) struct AdagradKernel<T> {
    gradient: Gradient<T>,
    rate: T,
    epsilon: T,
}

impl UpdateRule for Adagrad {
    type Kernel<T: Real> = AdagradKernel<T>;

    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS] {
        [Some("sum_of_squares"), None, None]
    }

    fn initial(&self) -> f64 {
        self.initial_accumulator
    }

    fn kernel<T: Real>(&self, step: Step) -> AdagradKernel<T> {
        AdagradKernel {
            gradient: Gradient::new(step.limits, self.weight_decay),
            rate: T::of(self.rate(step)),
            epsilon: T::of(self.epsilon),
        }
    }

    fn update_tensors(
        &self,
        step: Step,
        w: &Tensor,
        g: &Tensor,
        [s, ..]: &mut [Tensor; MAX_MOMENTS],
    ) -> CResult<Tensor> {
        let g = add_decay(g, w, self.weight_decay)?;
        *s = (&*s + g.sqr()?)?;
        w - ((g / (s.sqrt()? + self.epsilon)?)? * self.rate(step))?
    }
}

impl<T: Real> Kernel<T> for AdagradKernel<T> {
    #[inline(always)]
    fn update(&self, w: &mut [T], g: &[T], [s, ..]: [&mut [T]; MAX_MOMENTS]) {
        let k = *self;
        for ((w, &g), s) in w.iter_mut().zip(g).zip(s) {
            let g = k.gradient.at(*w, g);
            *s = (*s + g * g).flushed();
            *w -= k.rate * (g / (s.sqrt() + k.epsilon));
        }
    }
}
