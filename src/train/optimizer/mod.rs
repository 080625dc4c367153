//! Optimizers: their parameters as data, and a state that can be saved and restored to the bit.
//!
//! Each optimizer has a file with its parameters, its update as a loop over slices, and the same update in
//! tensor operations. On the CPU, a step updates `f32` and `f64` variables in place, in one pass through
//! memory and without allocations. On other devices, and for half precision, it uses candle's tensor
//! operations; in half precision with moments and weights in `f32`.
//!
//! To add an optimizer, write a file with a type that implements [`UpdateRule`](rule::UpdateRule), and add
//! one line to the list below.
mod adam;
mod rmsprop;
mod rule;
mod sgd;
mod state;

pub use adam::Adam;
pub use rmsprop::RmsProp;
pub use sgd::{Sgd, Velocity};
pub use state::{OptimizerState, SavedOptimizer, SavedVariable, Values};

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

macro_rules! optimizers {
    ($($(#[$doc:meta])* $optimizer:ident,)+) => {
        /// How gradients change weights, as data: one of the optimizers with its parameters.
        ///
        /// [`Trainer::optimizer`](crate::train::Trainer::optimizer) accepts an `Optimizer` or one of the
        /// concrete types. [`OptimizerState`] applies an optimizer to variables.
        ///
        /// ```
        /// use candle_ensemble::train::{Adam, Optimizer, Sgd};
        ///
        /// let optimizer = Optimizer::adamw(1e-3, 0.01);
        /// assert_eq!(optimizer, Adam::new(1e-3).weight_decay(0.01).decoupled(true).into());
        ///
        /// let nesterov: Optimizer = Sgd::new(0.1).momentum(0.9).nesterov(true).into();
        /// assert_eq!(nesterov.learning_rate(), 0.1);
        /// assert!(Optimizer::sgd(-1.0).check().is_err());
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Optimizer {
            $(
                $(#[$doc])*
                $optimizer($optimizer),
            )+
        }

        $(
            impl From<$optimizer> for Optimizer {
                fn from(optimizer: $optimizer) -> Self {
                    Self::$optimizer(optimizer)
                }
            }
        )+

        /// Evaluates an expression with the parameters of the optimizer, whichever it is.
        macro_rules! each {
            ($of:expr, $parameters:ident => $expression:expr) => {
                match $of {
                    $(Optimizer::$optimizer($parameters) => $expression,)+
                }
            };
        }
        use each;
    };
}

optimizers! {
    /// Adam, and AdamW with decoupled weight decay. See [`Adam`].
    Adam,
    /// Stochastic gradient descent, with or without momentum. See [`Sgd`].
    Sgd,
    /// RMSProp. See [`RmsProp`].
    RmsProp,
}

impl Optimizer {
    /// [`Adam`] with its default parameters.
    #[must_use]
    pub fn adam(learning_rate: f64) -> Self {
        Adam::new(learning_rate).into()
    }

    /// [`Adam`] with decoupled weight decay, which is AdamW.
    #[must_use]
    pub fn adamw(learning_rate: f64, weight_decay: f64) -> Self {
        Adam::new(learning_rate).weight_decay(weight_decay).decoupled(true).into()
    }

    /// [`Sgd`] without momentum.
    #[must_use]
    pub fn sgd(learning_rate: f64) -> Self {
        Sgd::new(learning_rate).into()
    }

    /// [`RmsProp`] with its default parameters.
    #[must_use]
    pub fn rmsprop(learning_rate: f64) -> Self {
        RmsProp::new(learning_rate).into()
    }

    /// The base learning rate.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        each!(self, o => o.learning_rate)
    }

    pub(crate) fn set_learning_rate(&mut self, learning_rate: f64) {
        each!(self, o => o.learning_rate = learning_rate);
    }

    pub(crate) fn set_weight_decay(&mut self, weight_decay: f64) {
        each!(self, o => o.weight_decay = weight_decay);
    }

    /// # Errors
    /// For Adam, which has no momentum.
    pub(crate) fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        match self {
            Self::Sgd(o) => o.momentum = momentum,
            Self::RmsProp(o) => o.momentum = momentum,
            Self::Adam(_) => {
                return Err(Error::invalid("momentum", "set for SGD or RMSprop", "set for Adam"))
            }
        }
        Ok(())
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        each!(self, o => o.check())
    }
}

/// Checks that `epsilon` does not vanish when it is rounded to `f32`: an element that never had a gradient
/// would otherwise be 0 / 0.
fn check_epsilon(what: &str, epsilon: f64) -> Result<()> {
    let in_range = epsilon >= f64::from(f32::MIN_POSITIVE) && epsilon.is_finite();
    crate::check::require(in_range, what, "at least 1.2e-38, and finite", epsilon)
}

#[cfg(test)]
mod tests;
