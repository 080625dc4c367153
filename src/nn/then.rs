//! Activations that can be one operation with the layer before them.
use crate::{
    kernels::{float::Real, simd::vectorized},
    nn::{activation::formula, Activation},
};
use candle_core::{Module, Result, Tensor};
use std::{any::Any, borrow::Cow};

/// A layer that can do the work of an activation behind it in the same operation.
pub(super) trait WithThen {
    /// The outputs of the layer and what follows it.
    fn forward_with(&self, then: Then, x: &Tensor, train: bool) -> Result<Tensor>;

    /// The activation of the outputs, in one operation where that is possible.
    fn activated(&self, activation: Activation, x: &Tensor, train: bool) -> Result<Tensor> {
        match Then::ours(activation) {
            Some(then) => self.forward_with(then, x, train),
            None => activation.forward(&self.forward_with(Then::Nothing, x, train)?),
        }
    }
}

/// What follows a layer in the same operation. The inputs of the activation are not kept, so its
/// derivative must follow from its outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Then {
    Nothing,
    /// One of [`Activation`]'s functions whose derivative is the same function of the output as of the input,
    /// or does not need the input.
    Ours(Activation),
    /// candle's relu, whose derivative at 0 is 1. Outputs for inputs below 0 are `−0`, which equals 0, so that
    /// they are told from those for inputs of 0.
    CandlesRelu,
}

impl Then {
    /// An activation, if it can be one operation with the layer before it.
    pub(super) fn of(layer: &dyn Any) -> Option<Self> {
        if let Some(candle_nn::Activation::Relu) = layer.downcast_ref() {
            return Some(Self::CandlesRelu);
        }
        Self::ours(*layer.downcast_ref()?)
    }

    /// One of our activations, if it can be one operation with the layer before it.
    pub(super) fn ours(activation: Activation) -> Option<Self> {
        match activation {
            Activation::Linear => Some(Self::Nothing),
            Activation::LeakyRelu { .. } if activation.check().is_err() => None,
            Activation::Relu
            | Activation::LeakyRelu { .. }
            | Activation::Tanh
            | Activation::Sigmoid
            | Activation::Exponential => Some(Self::Ours(activation)),
            _ => None,
        }
    }

    /// The activation as an operation of its own.
    pub(super) fn forward(self, x: Tensor) -> Result<Tensor> {
        match self {
            Self::Nothing => Ok(x),
            Self::Ours(activation) => activation.forward(&x),
            Self::CandlesRelu => x.relu(),
        }
    }

    /// Replaces inputs by outputs.
    pub(super) fn apply<T: Real>(self, elements: &mut [T]) {
        match self {
            Self::Nothing => {}
            Self::Ours(activation) => formula::apply(activation, elements),
            Self::CandlesRelu => signed_relu(elements),
        }
    }

    /// The gradient of the inputs, of the outputs and their gradient.
    pub(super) fn gradient<'g, T: Real>(self, y: &[T], g: &'g [T]) -> Cow<'g, [T]> {
        match self {
            Self::Nothing => Cow::Borrowed(g),
            Self::Ours(activation) => Cow::Owned(formula::gradients(activation, y, y, g)),
            Self::CandlesRelu => Cow::Owned(masked_by_sign(y, g)),
        }
    }
}

/// `−0` for numbers below 0, and never for others. NaN stays NaN.
fn signed_relu<T: Real>(elements: &mut [T]) {
    let (zero, below) = (T::zero(), T::of(-0.));
    vectorized(
        #[inline(always)]
        || {
            for x in &mut *elements {
                *x = if *x < zero { below } else { *x + zero };
            }
        },
    );
}

/// The gradient where `y` has a positive sign, and 0 elsewhere. The sum is the gradient itself: it makes the compiler write
/// every element, because vectors of which some elements are written are slow.
fn masked_by_sign<T: Real>(y: &[T], g: &[T]) -> Vec<T> {
    let mut masked = g.to_vec();
    vectorized(
        #[inline(always)]
        || {
            for (g, y) in masked.iter_mut().zip(y) {
                *g = if y.has_minus() { T::zero() } else { *g + T::zero() };
            }
        },
    );
    masked
}
