//! Optimizers: parameters as data, state that can be saved and restored to the bit.
//!
//! Each optimizer has a file: its parameters, its loop over plain slices, and the same in tensor operations.
//! On the CPU a step updates `f32` and `f64` variables in place, in one pass through memory and without
//! allocating; everywhere else, and for half precision, it is made of candle's tensor operations with `f32`
//! moments.
mod adam;
mod rmsprop;
mod rule;
mod sgd;
mod state;

pub use adam::Adam;
pub use rmsprop::RmsProp;
pub use sgd::{Sgd, Velocity};
pub use state::{OptimizerState, SavedOptimizer, SavedVariable, Values};

use crate::Result;
use serde::{Deserialize, Serialize};

/// How gradients change weights, as data; [`OptimizerState`] does it.
///
/// ```
/// use candle_ensemble::train::{Adam, Optimizer, Sgd};
///
/// let optimizer = Optimizer::adamw(1e-3, 0.01);
/// assert_eq!(optimizer, Adam::new(1e-3).with_weight_decay(0.01).with_decoupled(true).into());
///
/// let nesterov: Optimizer = Sgd::new(0.1).with_momentum(0.9).with_nesterov(true).into();
/// assert_eq!(nesterov.learning_rate(), 0.1);
/// assert!(nesterov.with_learning_rate(-1.0).check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Optimizer {
    /// Adam, and AdamW.
    Adam(Adam),
    /// Stochastic gradient descent, with or without momentum.
    Sgd(Sgd),
    /// RMSProp.
    RmsProp(RmsProp),
}

impl Optimizer {
    /// [`Adam`] with its usual parameters.
    #[must_use]
    pub fn adam(learning_rate: f64) -> Self {
        Adam::new(learning_rate).into()
    }

    /// [`Adam`] with decoupled weight decay.
    #[must_use]
    pub fn adamw(learning_rate: f64, weight_decay: f64) -> Self {
        Adam::new(learning_rate).with_weight_decay(weight_decay).with_decoupled(true).into()
    }

    /// [`Sgd`] without momentum.
    #[must_use]
    pub fn sgd(learning_rate: f64) -> Self {
        Sgd::new(learning_rate).into()
    }

    /// [`RmsProp`] with its usual parameters.
    #[must_use]
    pub fn rmsprop(learning_rate: f64) -> Self {
        RmsProp::new(learning_rate).into()
    }

    /// The base learning rate.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Adam(o) => o.learning_rate,
            Self::Sgd(o) => o.learning_rate,
            Self::RmsProp(o) => o.learning_rate,
        }
    }

    /// The same with another base learning rate.
    #[must_use]
    pub fn with_learning_rate(mut self, learning_rate: f64) -> Self {
        match &mut self {
            Self::Adam(o) => o.learning_rate = learning_rate,
            Self::Sgd(o) => o.learning_rate = learning_rate,
            Self::RmsProp(o) => o.learning_rate = learning_rate,
        }
        self
    }

    /// Is every parameter in its range?
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Adam(o) => o.check(),
            Self::Sgd(o) => o.check(),
            Self::RmsProp(o) => o.check(),
        }
    }
}

macro_rules! variants {
    ($($name:ident),*) => {
        $(impl From<$name> for Optimizer {
            fn from(parameters: $name) -> Self {
                Self::$name(parameters)
            }
        })*
    };
}

variants!(Adam, Sgd, RmsProp);

/// `epsilon` must not vanish when it is rounded to `f32`: an element that never had a gradient would be 0 /
/// 0.
fn check_epsilon(what: &str, epsilon: f64) -> Result<()> {
    let least = f64::from(f32::MIN_POSITIVE);
    crate::check::require(
        epsilon >= least && epsilon.is_finite(),
        what,
        "at least 1.2e-38, and finite",
        epsilon,
    )
}

#[cfg(test)]
mod tests;
